/*
 * A parcel locker on pike.h, over POSIX sockets: everything a device has to bring along.
 *
 *     locker host port device secret [state-file [door-ms]]
 *
 * It opens doors (prints so), replies, reports `door-opened`, and keeps its position and outbox in
 * the state file. `door-ms` is the time a door takes: meanwhile the connection goes on.
 */
#define _GNU_SOURCE /* CLOCK_BOOTTIME */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sha256.h"
#define PIKE_IMPLEMENTATION
#include "pike.h"

#define DOORS 12

struct locker {
  int socket; /* -1: none */
  const char *host, *port, *state_file;
  bool open[DOORS + 1]; /* what the sensors see */
  /* The door in motion, and the command that moves it. */
  int door;
  struct pike_id command;
  uint64_t deadline_ms, moved_ms, door_ms;
};

static uint8_t rx[1088], tx[512], image[1024]; /* longest command: 1,024 octets; outbox: 880 */
static struct pike pike;
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
  (void)number;
  stopped = 1;
}

/* ---- transport ---- */

static int start_connecting(struct locker *l, const char *endpoint)
{
  struct addrinfo hints, *found = NULL;
  char host[PIKE_ENDPOINT_MAX];
  const char *port = l->port, *colon = endpoint == NULL ? NULL : strrchr(endpoint, ':');
  int yes = 1, result;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  if (colon != NULL) { /* `host:port` or `[address]:port` */
    size_t length = (size_t)(colon - endpoint);
    if (endpoint[0] == '[' && length > 2) {
      endpoint++;
      length -= 2;
    }
    memcpy(host, endpoint, length);
    host[length] = 0;
    port = colon + 1;
  }
  if (getaddrinfo(colon == NULL ? l->host : host, port, &hints, &found) != 0) return -1;
  l->socket = socket(found->ai_family, SOCK_STREAM, 0);
  if (l->socket < 0 || fcntl(l->socket, F_SETFL, O_NONBLOCK) != 0) {
    freeaddrinfo(found);
    return -1;
  }
  (void)setsockopt(l->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  result = connect(l->socket, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return result == 0 ? 1 : errno == EINPROGRESS ? 0 : -1;
}

static int locker_connect(void *context, const char *endpoint)
{
  struct locker *l = context;
  struct pollfd ready;
  int error = 0;
  socklen_t size = sizeof error;
  if (l->socket < 0) return start_connecting(l, endpoint);
  ready.fd = l->socket;
  ready.events = POLLOUT;
  ready.revents = 0;
  if (poll(&ready, 1, 0) == 0) return 0;
  if (getsockopt(l->socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return -1;
  return 1;
}

static bool later(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static int32_t locker_send(void *context, const uint8_t *octets, size_t length)
{
  struct locker *l = context;
  ssize_t went = send(l->socket, octets, length, MSG_NOSIGNAL);
  return went >= 0 ? (int32_t)went : later() ? 0 : -1;
}

static int32_t locker_recv(void *context, uint8_t *octets, size_t length)
{
  struct locker *l = context;
  ssize_t came = recv(l->socket, octets, length, 0);
  return came > 0 ? (int32_t)came : came < 0 && later() ? 0 : -1;
}

static void locker_close(void *context, bool reset)
{
  struct locker *l = context;
  struct linger cut = {1, 0};
  if (l->socket < 0) return;
  if (reset) (void)setsockopt(l->socket, SOL_SOCKET, SO_LINGER, &cut, sizeof cut);
  else (void)shutdown(l->socket, SHUT_WR);
  (void)close(l->socket);
  l->socket = -1;
}

static uint64_t locker_now(void *context)
{
  struct timespec now;
  (void)context;
#ifdef CLOCK_BOOTTIME /* goes on while the device sleeps; CLOCK_MONOTONIC does not */
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
#endif
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void locker_random(void *context, uint8_t *octets, size_t length)
{
  FILE *source = fopen("/dev/urandom", "rb");
  (void)context;
  if (source == NULL || fread(octets, 1, length, source) != length) abort(); /* never guess */
  (void)fclose(source);
}

static void locker_hmac(void *context, const uint8_t *key, size_t key_length,
                        const uint8_t *octets, size_t length, uint8_t out[32])
{
  (void)context;
  hmac_sha256(key, key_length, octets, length, out);
}

static void locker_sha256(void *context, const uint8_t *octets, size_t length, uint8_t out[32])
{
  (void)context;
  sha256(octets, length, out);
}

/* ---- what is remembered: one file, replaced whole ---- */

static size_t locker_load(void *context, uint8_t *octets, size_t capacity)
{
  struct locker *l = context;
  FILE *file = fopen(l->state_file, "rb");
  size_t length;
  if (file == NULL) return 0;
  length = fread(octets, 1, capacity, file);
  (void)fclose(file);
  return length;
}

static bool locker_store(void *context, const uint8_t *octets, size_t length)
{
  struct locker *l = context;
  char path[1024];
  int file;
  bool done;
  if (snprintf(path, sizeof path, "%s.new", l->state_file) >= (int)sizeof path) return false;
  file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0) return false;
  done = write(file, octets, length) == (ssize_t)length && fsync(file) == 0;
  if (close(file) != 0 || !done || rename(path, l->state_file) != 0) return false;
  /* The new name has to survive the power cut too. */
  {
    char *slash = strrchr(path, '/');
    if (slash != NULL) slash[1] = 0;
    file = open(slash == NULL ? "." : path, O_RDONLY);
    done = file >= 0 && fsync(file) == 0;
    if (file >= 0) (void)close(file);
  }
  return done;
}

/* ---- doors ---- */

static void say(const char *what)
{
  (void)printf("%s\n", what);
  (void)fflush(stdout);
}

/* The number behind "door" in {"door": 7}; -1 when there is none. */
static int door_of(const uint8_t *payload, size_t length)
{
  static const char key[] = "\"door\"";
  size_t at = 0, digits = 0;
  int door = 0;
  while (at + 6 <= length && memcmp(payload + at, key, 6) != 0) at++;
  if (at + 6 > length) return -1;
  for (at += 6; at < length && (payload[at] == ' ' || payload[at] == ':'); at++) {}
  for (; at < length && payload[at] >= '0' && payload[at] <= '9' && digits < 3; at++, digits++)
    door = door * 10 + (payload[at] - '0');
  return digits == 0 ? -1 : door;
}

static void refuse(struct pike_id id, const char *reason)
{
  if (pike_reply(&pike, id, PIKE_REJECTED, reason, NULL, 0, 0) != PIKE_OK) say("reply not stored");
}

static void locker_command(void *context, const struct pike_command *command)
{
  struct locker *l = context;
  int door = door_of(command->payload, command->payload_length);
  if (command->name_length != 4 || memcmp(command->name, "open", 4) != 0) {
    refuse(command->id, "unknown-command");
  } else if (door < 0) {
    refuse(command->id, "bad-payload");
  } else if (door < 1 || door > DOORS) {
    refuse(command->id, "unknown-door");
  } else {
    l->door = door;
    l->command = command->id;
    l->deadline_ms = command->deadline_ms;
    l->moved_ms = locker_now(l) + l->door_ms;
    if (command->repeated && l->open[door]) l->moved_ms = 0; /* it did it, before the answer */
  }
}

/* Between steps: the door has moved, or its time to begin is over. */
static void move_door(struct locker *l)
{
  char text[64], payload[32];
  int length, result;
  if (l->door == 0 || locker_now(l) < l->moved_ms) return;
  length = snprintf(payload, sizeof payload, "{\"door\":%d}", l->door);
  if (!l->open[l->door]) {
    if (pike_late(&pike, l->deadline_ms)) {
      l->door = 0;
      refuse(l->command, "late");
      return;
    }
    l->open[l->door] = true; /* here a real lock would click */
    (void)snprintf(text, sizeof text, "open door %d", l->door);
    say(text);
    if (pike_event(&pike, "door-opened", payload, (size_t)length, 0, NULL) != PIKE_OK)
      say("event not stored");
  }
  result = pike_reply(&pike, l->command, PIKE_DONE, NULL, payload, (size_t)length, 0);
  if (result == PIKE_FULL || result == PIKE_STORE_FAILED) return; /* again, after the next step */
  l->open[l->door] = false; /* somebody takes the parcel and shuts it */
  l->door = 0;
}

static void locker_state(void *context, enum pike_state state, int code, const char *text,
                         size_t length)
{
  static const char *const names[] = {"waiting", "connecting", "greeting", "proving",
                                      "open",    "closing",    "stopped"};
  (void)context;
  (void)printf("%s %d %.*s\n", names[state], code, (int)length, text);
  (void)fflush(stdout);
}

static void locker_kept(void *context, uint64_t up_to)
{
  (void)context;
  (void)printf("kept up to %llu\n", (unsigned long long)up_to);
  (void)fflush(stdout);
}

int main(int count, char **words)
{
  static struct locker locker;
  static struct pike_keys keys;
  static struct pike_config config;
  char state_file[256];
  if (count < 5 || words[4][0] == 0) { /* "$secret" that was never set */
    (void)fprintf(stderr, "usage: locker host port device secret [state-file [door-ms]]\n"
                          "the secret is what `pike device add` shows, once\n");
    return 2;
  }
  (void)snprintf(state_file, sizeof state_file, "%s.state", words[3]);
  locker.socket = -1;
  locker.host = words[1];
  locker.port = words[2];
  locker.state_file = count > 5 ? words[5] : state_file;
  locker.door_ms = count > 6 ? strtoull(words[6], NULL, 10) : 0;

  config.context = &locker;
  config.device = words[3];
  config.keys = &keys;
  config.rx = rx;
  config.rx_size = sizeof rx;
  config.tx = tx;
  config.tx_size = sizeof tx;
  config.image = image;
  config.image_size = sizeof image;
  config.connect = locker_connect;
  config.send = locker_send;
  config.recv = locker_recv;
  config.close = locker_close;
  config.now_ms = locker_now;
  config.random = locker_random;
  config.hmac_sha256 = locker_hmac;
  config.sha256 = locker_sha256;
  config.load = locker_load;
  config.store = locker_store;
  config.on_command = locker_command;
  config.on_kept = locker_kept;
  config.on_state = locker_state;

  if (pike_derive_keys(&keys, &config, words[4]) != PIKE_OK) {
    (void)fprintf(stderr, "the secret is weak (section 4): ask the gateway for a new one\n");
    return 2;
  }
  if (pike_init(&pike, &config) != PIKE_OK) {
    (void)fprintf(stderr, "the device's name is too long for these buffers\n");
    return 2;
  }
  (void)signal(SIGTERM, on_signal);
  (void)signal(SIGINT, on_signal);
  while (pike.state != PIKE_STOPPED) {
    struct pollfd ready;
    uint32_t wait = pike_step(&pike);
    if (locker.door != 0) {
      uint64_t now = locker_now(&locker);
      move_door(&locker);
      wait = locker.door == 0 || locker.moved_ms <= now ? 0
             : locker.moved_ms - now < wait             ? (uint32_t)(locker.moved_ms - now)
                                                        : wait;
      if (locker.door != 0 && wait == 0) wait = 100; /* the reply did not fit yet */
    }
    if (stopped) {
      stopped = 0;
      pike_stop(&pike);
      continue;
    }
    ready.fd = locker.socket;
    ready.events = (short)(POLLIN | (pike_sending(&pike) ? POLLOUT : 0));
    ready.revents = 0;
    (void)poll(&ready, 1, wait > 1000 ? 1000 : (int)wait);
  }
  return 0;
}
