/*
 * The load of the proxy bench: so many tunnels at once through one proxy, from one thread.
 *
 *     tunnels MODE SPEAK PROXY_PORT TO_PORT CONCURRENCY SECONDS [USER PASSWORD]
 *
 *     MODE   requests  each tunnel carries one GET and is closed; then the next
 *            bulk      each tunnel carries bytes without an end
 *            idle      each tunnel carries one GET and is kept, until the end of standard input
 *     SPEAK  connect, socks5, or direct: no proxy
 *
 * It goes to eight addresses of the origin, and comes from sixteen of its own, so that nobody runs out
 * of ports. It tells what it has measured as one line of JSON.
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TO_COUNT 8
#define FROM_COUNT 16
#define MAX_SAMPLES 4000000
#define BULK_WARM_UP_US 500000
/* Tunnels that are being opened at once, where many are to stand. */
#define OPENING_COUNT 64

enum stage { OPENING, METHOD, LOGIN, REPLY, ANSWER, STREAM, KEPT };

struct tunnel {
  int fd, length, to;
  enum stage stage;
  long begun_us;
  char bytes[2048];
};

static const char *mode, *speak, *user, *password;
static int proxy_port, to_port, concurrency, poll_fd, is_stopping;
static char basic[1024];
static long sample_count, error_count, byte_count, kept_count, opened_count;
static unsigned *samples;
static unsigned turn;

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void fill_basic(void) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char plain[700];
  int length = snprintf(plain, sizeof plain, "%s:%s", user, password), at = 0;
  for (int n = 0; n < length; n += 3) {
    int left = length - n;
    unsigned three = (unsigned char)plain[n] << 16;
    if (left > 1) three |= (unsigned char)plain[n + 1] << 8;
    if (left > 2) three |= (unsigned char)plain[n + 2];
    basic[at++] = digits[three >> 18];
    basic[at++] = digits[three >> 12 & 63];
    basic[at++] = left > 1 ? digits[three >> 6 & 63] : '=';
    basic[at++] = left > 2 ? digits[three & 63] : '=';
  }
}

static void address(struct sockaddr_in *place, const char *net, int host, int port) {
  char text[32];
  snprintf(text, sizeof text, "%s.%d", net, host);
  memset(place, 0, sizeof *place);
  place->sin_family = AF_INET;
  place->sin_port = htons(port);
  inet_pton(AF_INET, text, &place->sin_addr);
}

static void open_tunnel(struct tunnel *tunnel) {
  struct sockaddr_in from, to;
  int on = 1;
  turn += 1;
  tunnel->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (tunnel->fd < 0) {
    perror("socket");
    exit(1);
  }
  tunnel->length = 0;
  tunnel->stage = OPENING;
  tunnel->to = 1 + turn % TO_COUNT;
  tunnel->begun_us = now_us();
  setsockopt(tunnel->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(tunnel->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  address(&from, "127.0.2", 1 + turn / TO_COUNT % FROM_COUNT, 0);
  if (speak[0] == 'd') address(&to, "127.0.1", tunnel->to, to_port);
  else address(&to, "127.0.0", 1, proxy_port);
  if (bind(tunnel->fd, (struct sockaddr *)&from, sizeof from) != 0 ||
      (connect(tunnel->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
    perror("connect");
    exit(1);
  }
  struct epoll_event event = { .events = EPOLLOUT, .data.ptr = tunnel };
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, tunnel->fd, &event);
}

static void open_next(struct tunnel *tunnel) {
  close(tunnel->fd);
  if (!is_stopping) open_tunnel(tunnel);
}

static void fail(struct tunnel *tunnel, const char *what) {
  /* The first is shown, the rest counted. */
  if (error_count == 0) fprintf(stderr, "tunnels: %s: %s\n", what, strerror(errno));
  error_count += 1;
  if (error_count > 10000) exit(1);
  open_next(tunnel);
}

static int say(struct tunnel *tunnel, const void *bytes, int length, enum stage next) {
  tunnel->length = 0;
  tunnel->stage = next;
  if (send(tunnel->fd, bytes, length, MSG_NOSIGNAL) == length) return 1;
  fail(tunnel, "send");
  return 0;
}

static void ask_for_place(struct tunnel *tunnel) {
  struct sockaddr_in to;
  char message[10] = { 5, 1, 0, 1 };
  address(&to, "127.0.1", tunnel->to, to_port);
  memcpy(message + 4, &to.sin_addr, 4);
  memcpy(message + 8, &to.sin_port, 2);
  say(tunnel, message, sizeof message, REPLY);
}

static void send_get(struct tunnel *tunnel) {
  char text[256];
  int is_bulk = mode[0] == 'b';
  int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.1.%d:%d\r\n\r\n",
                        is_bulk ? "/bulk" : "/", tunnel->to, to_port);
  say(tunnel, text, length, is_bulk ? STREAM : ANSWER);
}

static void on_connected(struct tunnel *tunnel) {
  int fault = 0;
  socklen_t size = sizeof fault;
  getsockopt(tunnel->fd, SOL_SOCKET, SO_ERROR, &fault, &size);
  if (fault != 0) {
    errno = fault;
    return fail(tunnel, "connect");
  }
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = tunnel };
  epoll_ctl(poll_fd, EPOLL_CTL_MOD, tunnel->fd, &event);
  if (speak[0] == 'd') {
    send_get(tunnel);
  } else if (speak[0] == 's') {
    char greeting[3] = { 5, 1, user == NULL ? 0 : 2 };
    say(tunnel, greeting, sizeof greeting, METHOD);
  } else {
    char text[2048], login[1100] = "";
    if (user != NULL) snprintf(login, sizeof login, "Proxy-Authorization: Basic %s\r\n", basic);
    int length = snprintf(text, sizeof text, "CONNECT 127.0.1.%d:%d HTTP/1.1\r\nHost: 127.0.1.%d:%d\r\n%s\r\n",
                          tunnel->to, to_port, tunnel->to, to_port, login);
    say(tunnel, text, length, REPLY);
  }
}

static void send_login(struct tunnel *tunnel) {
  char message[600] = { 1 };
  int user_length = strlen(user), password_length = strlen(password);
  message[1] = user_length;
  memcpy(message + 2, user, user_length);
  message[2 + user_length] = password_length;
  memcpy(message + 3 + user_length, password, password_length);
  say(tunnel, message, 3 + user_length + password_length, LOGIN);
}

static void on_answer(struct tunnel *tunnel) {
  char *end = strstr(tunnel->bytes, "\r\n\r\n");
  if (end == NULL) return;
  char *field = strcasestr(tunnel->bytes, "content-length:");
  if (strncmp(tunnel->bytes, "HTTP/1.1 200", 12) != 0 || field == NULL) return fail(tunnel, "answer");
  if (tunnel->length < end + 4 - tunnel->bytes + atoi(field + 15)) return;
  if (sample_count < MAX_SAMPLES) samples[sample_count++] = now_us() - tunnel->begun_us;
  if (mode[0] != 'i') return open_next(tunnel);
  tunnel->stage = KEPT;
  kept_count += 1;
  if (opened_count < concurrency) open_tunnel(tunnel - kept_count + ++opened_count);
}

static void on_bytes(struct tunnel *tunnel) {
  if (tunnel->stage == STREAM) {
    /* MSG_TRUNC: what has come is counted and dropped, and never copied. */
    ssize_t got = recv(tunnel->fd, NULL, 1 << 22, MSG_TRUNC);
    if (got > 0) byte_count += got;
    else if (got == 0 || errno != EAGAIN) fail(tunnel, "stream");
    return;
  }
  ssize_t got = recv(tunnel->fd, tunnel->bytes + tunnel->length, sizeof tunnel->bytes - 1 - tunnel->length, 0);
  if (got <= 0) {
    if (got < 0 && errno == EAGAIN) return;
    return fail(tunnel, tunnel->stage == KEPT ? "a kept tunnel ended" : "ended");
  }
  tunnel->length += got;
  tunnel->bytes[tunnel->length] = 0;
  int is_socks = speak[0] == 's';
  switch (tunnel->stage) {
    case METHOD:
      if (tunnel->length < 2) return;
      if (tunnel->bytes[1] != (user == NULL ? 0 : 2)) return fail(tunnel, "method");
      if (user == NULL) ask_for_place(tunnel);
      else send_login(tunnel);
      return;
    case LOGIN:
      if (tunnel->length < 2) return;
      if (tunnel->bytes[1] != 0) return fail(tunnel, "login");
      ask_for_place(tunnel);
      return;
    case REPLY:
      if (is_socks ? tunnel->length < 10 : strstr(tunnel->bytes, "\r\n\r\n") == NULL) return;
      if (is_socks ? tunnel->bytes[1] != 0 : strncmp(tunnel->bytes + 8, " 200", 4) != 0) return fail(tunnel, "reply");
      send_get(tunnel);
      return;
    case ANSWER:
      on_answer(tunnel);
      return;
    default:
      fail(tunnel, "unexpected bytes");
  }
}

static int by_size(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return (x > y) - (x < y);
}

static void turn_once(int timeout_ms) {
  struct epoll_event events[256];
  int count = epoll_wait(poll_fd, events, 256, timeout_ms);
  for (int n = 0; n < count; n += 1) {
    struct tunnel *tunnel = events[n].data.ptr;
    if (tunnel->stage == OPENING) on_connected(tunnel);
    else on_bytes(tunnel);
  }
}

static void run_for(long duration_us) {
  long end_us = now_us() + duration_us;
  while (now_us() < end_us) turn_once(50);
}

int main(int argc, char **argv) {
  if (argc != 7 && argc != 9) return 2;
  mode = argv[1];
  speak = argv[2];
  proxy_port = atoi(argv[3]);
  to_port = atoi(argv[4]);
  concurrency = atoi(argv[5]);
  double seconds = atof(argv[6]);
  if (argc == 9) {
    user = argv[7];
    password = argv[8];
    if (strlen(user) > 255 || strlen(password) > 255) return 2;
    fill_basic();
  }
  signal(SIGPIPE, SIG_IGN);
  samples = malloc(MAX_SAMPLES * sizeof *samples);
  struct tunnel *tunnels = calloc(concurrency, sizeof *tunnels);
  poll_fd = epoll_create1(0);
  int is_idle = mode[0] == 'i';
  opened_count = is_idle && concurrency > OPENING_COUNT ? OPENING_COUNT : concurrency;
  long begun_us = now_us();
  for (int n = 0; n < opened_count; n += 1) open_tunnel(&tunnels[n]);
  if (is_idle) {
    while (kept_count < concurrency && now_us() < begun_us + seconds * 1e6) turn_once(50);
  } else {
    if (mode[0] == 'b') {
      run_for(BULK_WARM_UP_US);
      byte_count = 0;
    }
    begun_us = now_us();
    run_for(seconds * 1e6);
  }
  double elapsed_s = (now_us() - begun_us) / 1e6;
  is_stopping = 1;
  qsort(samples, sample_count, sizeof *samples, by_size);
  unsigned p50 = sample_count > 0 ? samples[sample_count / 2] : 0;
  unsigned p99 = sample_count > 0 ? samples[sample_count * 99 / 100] : 0;
  printf("{\"count\":%ld,\"errors\":%ld,\"seconds\":%.3f,\"p50Us\":%u,\"p99Us\":%u,\"bytes\":%ld,\"kept\":%ld}\n",
         sample_count, error_count, elapsed_s, p50, p99, byte_count, kept_count);
  fflush(stdout);
  char end;
  if (is_idle) while (read(0, &end, 1) > 0);
  return 0;
}
