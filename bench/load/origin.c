/*
 * The origin of the proxy bench: as little work for each answer as can be.
 *
 *     origin PORT
 *
 * `GET /bulk` is answered by bytes without an end, sent from pages that are never copied here; any
 * other GET by a small body, and the connection is kept.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define BULK_FILE_BYTES (4 << 20)
#define MAX_FDS 65536
#define HEAD_BYTES 4096

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
static const char BULK_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n";

struct peer {
  char head[HEAD_BYTES];
  int length;
  int is_bulk;
};

static struct peer *peers[MAX_FDS];
static int poll_fd, bulk_fd;

static void drop(int fd) {
  free(peers[fd]);
  peers[fd] = NULL;
  close(fd);
}

static void send_bulk(int fd) {
  /* In turns, so that one fast reader does not keep the others waiting. */
  for (int turn = 0; turn < 4; turn += 1) {
    off_t at = 0;
    if (sendfile(fd, bulk_fd, &at, BULK_FILE_BYTES) <= 0) {
      if (errno != EAGAIN) drop(fd);
      return;
    }
  }
}

static void begin_bulk(int fd) {
  peers[fd]->is_bulk = 1;
  if (send(fd, BULK_HEAD, sizeof BULK_HEAD - 1, MSG_NOSIGNAL) < 0) return drop(fd);
  struct epoll_event event = { .events = EPOLLOUT | EPOLLRDHUP, .data.fd = fd };
  epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &event);
}

static void read_requests(int fd) {
  struct peer *peer = peers[fd];
  ssize_t got = recv(fd, peer->head + peer->length, HEAD_BYTES - 1 - peer->length, 0);
  if (got <= 0) {
    if (got < 0 && errno == EAGAIN) return;
    return drop(fd);
  }
  peer->length += got;
  peer->head[peer->length] = 0;
  char *from = peer->head, *end;
  while ((end = strstr(from, "\r\n\r\n")) != NULL) {
    if (strncmp(from, "GET /bulk", 9) == 0) return begin_bulk(fd);
    if (send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0) return drop(fd);
    from = end + 4;
  }
  peer->length -= from - peer->head;
  memmove(peer->head, from, peer->length);
  if (peer->length == HEAD_BYTES - 1) drop(fd);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (fd >= MAX_FDS) {
      close(fd);
      continue;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peers[fd] = calloc(1, sizeof(struct peer));
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  signal(SIGPIPE, SIG_IGN);
  bulk_fd = memfd_create("bulk", 0);
  if (bulk_fd < 0 || ftruncate(bulk_fd, BULK_FILE_BYTES) != 0) return 1;
  char *pages = mmap(NULL, BULK_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, bulk_fd, 0);
  if (pages == MAP_FAILED) return 1;
  memset(pages, 'x', BULK_FILE_BYTES);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in place = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
  if (bind(listener, (struct sockaddr *)&place, sizeof place) != 0 || listen(listener, 4096) != 0) {
    perror("origin");
    return 1;
  }
  poll_fd = epoll_create1(0);
  struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int count = epoll_wait(poll_fd, events, 256, -1);
    for (int n = 0; n < count; n += 1) {
      int fd = events[n].data.fd;
      if (fd == listener) accept_all(listener);
      else if (peers[fd] == NULL) continue;
      else if (events[n].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) drop(fd);
      else if (peers[fd]->is_bulk) send_bulk(fd);
      else read_requests(fd);
    }
  }
}
