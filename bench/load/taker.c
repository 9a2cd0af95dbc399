/*
 * The far end of the bench of the translation: takes connections on many ports, reads what comes, and answers nothing.
 *
 *     taker PORT PORT_COUNT
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 65535
#define CHUNK_BYTES (256 << 10)

static char chunk[CHUNK_BYTES];
static int poll_fd;

static void watch(int fd) {
  struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

int main(int count, char **words) {
  if (count != 3) return 2;
  int first = atoi(words[1]), port_count = atoi(words[2]), last_listener = 0;
  poll_fd = epoll_create1(0);
  for (int n = 0; n < port_count; n += 1) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(first + n) };
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0) {
      perror("listen");
      return 1;
    }
    watch(fd);
    /* They are opened before all others, so that their numbers are the lowest. */
    last_listener = fd;
  }
  puts("listening");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int ready_count = epoll_wait(poll_fd, events, 256, -1);
    for (int n = 0; n < ready_count; n += 1) {
      int fd = events[n].data.fd, taken;
      if (fd <= last_listener) {
        while ((taken = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) watch(taken);
      } else if (recv(fd, chunk, sizeof chunk, MSG_TRUNC) <= 0) {
        close(fd);
      }
    }
  }
}
