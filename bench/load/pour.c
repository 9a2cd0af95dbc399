/*
 * As much as goes through, for the bench of the translation.
 *
 *     pour bytes ADDRESS PORT STREAMS SECONDS       by so many TCP connections at once
 *     pour datagrams ADDRESS PORT FLOWS SECONDS     of 64 octets, one system call each, by so many sockets in turn
 *
 * Tells as JSON what went out after the first half second, and the processor's time for it: what the kernel does for
 * a packet on its way through namespaces is done in the sender's own calls.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_US 500000
#define MAX_SOCKETS 4096
#define CHUNK_BYTES (256 << 10)
#define DATAGRAM_BYTES 64
/* So many calls between two looks at the clock. */
#define ROUND 256

static int fds[MAX_SOCKETS];
static char chunk[CHUNK_BYTES];

static long read_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static long pour_bytes(int poll_fd) {
  struct epoll_event events[16];
  long sent = 0;
  int count = epoll_wait(poll_fd, events, 16, 100);
  for (int n = 0; n < count; n += 1) {
    ssize_t got = send(events[n].data.fd, chunk, sizeof chunk, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (got > 0) sent += got;
    else if (errno != EAGAIN) {
      perror("send");
      exit(1);
    }
  }
  return sent;
}

static long pour_datagrams(int socket_count) {
  static int turn;
  long sent = 0;
  for (int n = 0; n < ROUND; n += 1) {
    if (send(fds[turn++ % socket_count], chunk, DATAGRAM_BYTES, 0) > 0) sent += 1;
  }
  return sent;
}

int main(int count, char **words) {
  if (count != 6) return 2;
  int is_bytes = strcmp(words[1], "bytes") == 0, socket_count = atoi(words[4]);
  double seconds = atof(words[5]);
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(words[3])) };
  if (inet_pton(AF_INET, words[2], &to.sin_addr) != 1 || socket_count < 1 || socket_count > MAX_SOCKETS) return 2;
  int poll_fd = epoll_create1(0);
  for (int n = 0; n < socket_count; n += 1) {
    fds[n] = socket(AF_INET, is_bytes ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (connect(fds[n], (struct sockaddr *)&to, sizeof to) < 0) {
      perror("connect");
      return 1;
    }
    struct epoll_event event = { .events = EPOLLOUT, .data.fd = fds[n] };
    if (is_bytes) epoll_ctl(poll_fd, EPOLL_CTL_ADD, fds[n], &event);
  }
  long begun_us = read_us(CLOCK_MONOTONIC), counted_us = 0, cpu_us = 0, sum = 0, now_us;
  while ((now_us = read_us(CLOCK_MONOTONIC)) < begun_us + WARM_UP_US + seconds * 1e6) {
    if (counted_us == 0 && now_us > begun_us + WARM_UP_US) {
      counted_us = now_us;
      cpu_us = read_us(CLOCK_PROCESS_CPUTIME_ID);
      sum = 0;
    }
    sum += is_bytes ? pour_bytes(poll_fd) : pour_datagrams(socket_count);
  }
  double took = (now_us - counted_us) / 1e6, cpu = (read_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us) / 1e6;
  printf("{\"count\":%ld,\"seconds\":%.3f,\"cpuSeconds\":%.3f}\n", sum, took, cpu);
  return 0;
}
