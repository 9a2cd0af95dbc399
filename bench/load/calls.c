/*
 * Calls for the bench of the translation: TCP connections that somebody on the way must find a port for.
 *
 *     calls rate ADDRESS PORT PORT_COUNT CONCURRENCY SECONDS
 *         opens and closes connections, so many at once, to so many ports in turn; tells their number, and the
 *         processor's time for them
 *     calls hold ADDRESS PORT
 *         keeps connections to one port; standard input says `open N` or `drop N`, and each is answered by a line
 *
 * A call counts as failed when it is refused, or when nothing came of its first packet: before the kernel sends a
 * second one, it is given up. All that is told is JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 65536
#define HOLD_CONCURRENCY 64
/* Linux repeats the first packet after a second. */
#define PATIENCE_US 700000
#define LOOK_US 100000

static struct sockaddr_in to;
static int poll_fd, open_count;
static long failed_count;
static long begun_us[MAX_FDS];
static int kept[MAX_FDS], kept_count;

static long read_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static long now_us(void) {
  return read_us(CLOCK_MONOTONIC);
}

static void begin(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0 || fd >= MAX_FDS) {
    perror("socket");
    exit(1);
  }
  to.sin_port = htons(port);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
    failed_count += 1;
    close(fd);
    return;
  }
  struct epoll_event event = { .events = EPOLLOUT, .data.fd = fd };
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
  begun_us[fd] = now_us();
  open_count += 1;
}

static void give_up(int fd) {
  failed_count += 1;
  begun_us[fd] = 0;
  open_count -= 1;
  close(fd);
}

/* Waits for what becomes of calls; those that came to be are in `done`, and belong to the caller. */
static int settle(int *done, int room) {
  static long looked_us;
  struct epoll_event events[256];
  int count = epoll_wait(poll_fd, events, room < 256 ? room : 256, 20), done_count = 0;
  for (int n = 0; n < count; n += 1) {
    int fd = events[n].data.fd, fault = 0;
    socklen_t length = sizeof fault;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &length);
    if (fault != 0) {
      give_up(fd);
      continue;
    }
    epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
    begun_us[fd] = 0;
    open_count -= 1;
    done[done_count++] = fd;
  }
  long now = now_us();
  if (now - looked_us < LOOK_US) return done_count;
  looked_us = now;
  for (int fd = 0; fd < MAX_FDS; fd += 1) {
    if (begun_us[fd] != 0 && now - begun_us[fd] > PATIENCE_US) give_up(fd);
  }
  return done_count;
}

static void rate(int first, int port_count, int concurrency, double seconds) {
  long begin_us = now_us(), end_us = begin_us + seconds * 1e6, count = 0, turn = 0;
  long cpu_us = read_us(CLOCK_PROCESS_CPUTIME_ID);
  int done[256];
  while (now_us() < end_us) {
    while (open_count < concurrency) begin(first + turn++ % port_count);
    int done_count = settle(done, 256);
    for (int n = 0; n < done_count; n += 1) close(done[n]);
    count += done_count;
  }
  double took = (now_us() - begin_us) / 1e6, cpu = (read_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us) / 1e6;
  printf("{\"count\":%ld,\"failed\":%ld,\"seconds\":%.3f,\"cpuSeconds\":%.3f}\n", count, failed_count, took, cpu);
}

static void open_more(int port, int wanted) {
  long failed_before = failed_count;
  int begun = 0, before = kept_count, done[256];
  while (begun < wanted || open_count > 0) {
    while (begun < wanted && open_count < HOLD_CONCURRENCY) {
      begin(port);
      begun += 1;
    }
    int done_count = settle(done, 256);
    for (int n = 0; n < done_count; n += 1) kept[kept_count++] = done[n];
  }
  printf("{\"count\":%d,\"failed\":%ld,\"kept\":%d}\n", kept_count - before, failed_count - failed_before, kept_count);
}

static void drop(int count) {
  struct linger at_once = { 1, 0 };
  for (int n = 0; n < count && kept_count > 0; n += 1) {
    int at = rand() % kept_count;
    setsockopt(kept[at], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(kept[at]);
    kept[at] = kept[--kept_count];
  }
  printf("{\"count\":0,\"failed\":0,\"kept\":%d}\n", kept_count);
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count < 4) return 2;
  to.sin_family = AF_INET;
  if (inet_pton(AF_INET, words[2], &to.sin_addr) != 1) return 2;
  int port = atoi(words[3]);
  poll_fd = epoll_create1(0);
  if (strcmp(words[1], "rate") == 0 && count == 7) {
    rate(port, atoi(words[4]), atoi(words[5]), atof(words[6]));
    return 0;
  }
  if (strcmp(words[1], "hold") != 0) return 2;
  char line[64];
  int number;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "open %d", &number) == 1) open_more(port, number);
    else if (sscanf(line, "drop %d", &number) == 1) drop(number);
  }
  return 0;
}
