/*
 * pike.h: a Pike/1 client for firmware. One file of C99, no malloc, nothing but memcpy and friends.
 *
 * Written from docs/pike-protocol.md; "section 7" in a comment is one of its sections.
 *
 *     #define PIKE_IMPLEMENTATION         in exactly one .c file; everywhere else only the #include
 *     #include "pike.h"
 *
 *     static uint8_t rx[1088], tx[512], image[1024];              all the memory there is
 *     static struct pike pike;
 *
 *     pike_derive_keys(&keys, &config, secret);                   once; or keep the keys in flash
 *     pike_init(&pike, &config);
 *     for (;;) wait_for_socket_or_ms(pike_step(&pike));           never blocks
 *
 *     what you call                      what calls you (struct pike_config)
 *     pike_event   something happened    on_command   act, then pike_reply or pike_ack: at once or later
 *     pike_reply   how a command went    on_kept      events up to this sequence are safe
 *     pike_ack     I have the command    on_state     connected, lost, stopped: for your log
 *
 * What it is: one channel, one connection, one command at a time (window 1), names as text, every
 * uplink in an outbox until the server has it for good. It needs no thread and no lock: call
 * everything from one thread, callbacks included.
 *
 * What it remembers: `store` is given one image of position and outbox before anything is sent that
 * relies on it; `load` gives it back at start. Write it whole or not at all (two flash pages with a
 * counter, or a file that is renamed). With that, each command is acted on once, save for a crash
 * between acting and pike_reply: then it comes again, with `repeated` set. Without (both NULL), a
 * restart forgets what was not sent yet, and commands not acknowledged come again.
 */
#ifndef PIKE_H
#define PIKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PIKE_RX_SPARE 64u    /* octets of `rx` for small frames behind a command that waits */
#define PIKE_EPOCHS 4u       /* numberings in which commands are remembered as acted on */
#ifndef PIKE_ENDPOINT_MAX
#define PIKE_ENDPOINT_MAX 64u /* longest `host:port` of a GOAWAY, with its final 0 */
#endif
#ifndef PIKE_REPLY_ROOM
#define PIKE_REPLY_ROOM 128u /* octets of the outbox events leave to replies */
#endif

/* What the calls return. */
enum {
  PIKE_OK = 0,
  PIKE_FULL = -1,         /* the outbox is full: later, when something was acknowledged */
  PIKE_TOO_LARGE = -2,    /* it will never fit into these buffers */
  PIKE_NOT_OPEN = -3,     /* an unreliable event, and nobody to send it to */
  PIKE_STORE_FAILED = -4, /* `store` said no: nothing was changed */
  PIKE_BAD_ARGUMENT = -5
};

enum pike_status { PIKE_DONE = 0, PIKE_FAILED = 1, PIKE_REJECTED = 2 };

enum pike_state {
  PIKE_WAITING,    /* for the time of the next attempt */
  PIKE_CONNECTING, /* `connect` is at work */
  PIKE_GREETING,   /* HELLO is out */
  PIKE_PROVING,    /* the proof is out */
  PIKE_OPEN,
  PIKE_CLOSING, /* our CLOSE is on its way */
  PIKE_STOPPED  /* until pike_start: a code from 192, or pike_stop */
};

/* Flags of pike_event and pike_reply. */
#define PIKE_BYTES 1u      /* the payload is bytes; else it is JSON, which is not looked at */
#define PIKE_UNRELIABLE 2u /* now or never, kept if it arrives (events only) */

/* Names a command for ever: its place in the mailbox. */
struct pike_id {
  uint64_t offset;
  uint32_t epoch;
};

/* Everything here is yours until on_command returns: copy what you need longer. */
struct pike_command {
  struct pike_id id;
  uint64_t deadline_ms; /* on your now_ms. From then on never act: see pike_late */
  const char *name;     /* not terminated */
  size_t name_length;
  const uint8_t *payload;
  size_t payload_length;
  bool bytes;          /* the payload is bytes, else JSON */
  bool reply_expected; /* somebody waits for pike_reply; else pike_ack is enough */
  bool now;            /* for this moment, never sent again */
  bool repeated;       /* may have been handed to you before a crash: look before you act */
};

/* What a device proves itself and its server with. Fit for flash; as secret as the secret. */
struct pike_keys {
  uint8_t client[32], stored[32], server[32];
};

/* All of it stays yours and must stay there: the client keeps a pointer. */
struct pike_config {
  void *context; /* handed to every function below */

  const char *app;     /* NULL: default */
  const char *device;
  const char *channel; /* NULL: main */
  const struct pike_keys *keys;
  bool stretched; /* the secret is weak, the keys were made by scrypt (section 4) */

  uint8_t *rx; /* at least 320 octets; the longest command that arrives is this less PIKE_RX_SPARE */
  size_t rx_size;
  uint8_t *tx; /* the longest frame that leaves; at least 128, and more with long names */
  size_t tx_size;
  uint8_t *image; /* what is stored: PIKE_IMAGE_HEAD, then the outbox */
  size_t image_size;

  /* Start or go on connecting, without blocking: 1 connected, 0 call me again, -1 failed.
     `endpoint` is a `host:port` the server named, or NULL: your own list. */
  int (*connect)(void *context, const char *endpoint);
  /* How many octets went or came, without blocking: 0 none now, -1 the connection is lost. */
  int32_t (*send)(void *context, const uint8_t *octets, size_t length);
  int32_t (*recv)(void *context, uint8_t *octets, size_t length);
  /* `reset`: cut it, so that what lies in buffers does not arrive later. Also ends an attempt. */
  void (*close)(void *context, bool reset);
  /* Milliseconds of a clock that never jumps, and goes on while the device sleeps. */
  uint64_t (*now_ms)(void *context);
  /* From a good source: nonces are made of it. */
  void (*random)(void *context, uint8_t *octets, size_t length);
  void (*hmac_sha256)(void *context, const uint8_t *key, size_t key_length, const uint8_t *octets,
                      size_t length, uint8_t out[32]);
  /* For pike_derive_keys alone; else NULL. */
  void (*sha256)(void *context, const uint8_t *octets, size_t length, uint8_t out[32]);

  /* The image of the last `store`, 0 when there is none. Both or neither are NULL. */
  size_t (*load)(void *context, uint8_t *image, size_t capacity);
  /* Returns true when it will be there after a power cut. */
  bool (*store)(void *context, const uint8_t *image, size_t length);

  void (*on_command)(void *context, const struct pike_command *command);
  void (*on_kept)(void *context, uint64_t up_to); /* or NULL */
  /* or NULL. `code` is that of CLOSE (section 11), -1 without one; `text` is the server's, or why:
     with PIKE_OPEN it names the connection in the server's logs. */
  void (*on_state)(void *context, enum pike_state state, int code, const char *text, size_t length);

  uint32_t keepalive_min_s, keepalive_max_s; /* what to ask for; 0: anything */
  bool unattended; /* after a code from 192 try again once an hour, for nobody visits this device */
};

/* What must survive a power cut, beside the outbox. It is stored as it lies in memory. */
struct pike_durable {
  uint32_t uplink_epoch;
  uint32_t used;           /* octets in the outbox */
  uint64_t first;          /* sequence of the first uplink in the outbox */
  uint64_t late;           /* sequence of the last refusal of a late command in it; 0: none */
  struct pike_id position; /* for HELLO */
  struct pike_id settled;  /* the same, once those refusals are acknowledged */
  struct pike_id acted[PIKE_EPOCHS];
};

/* Octets of `image` that are not outbox. */
#define PIKE_IMAGE_HEAD (8u + sizeof(struct pike_durable))

/* Nothing in it is yours; it is here so that you can say where it lies. */
struct pike {
  const struct pike_config *config;
  enum pike_state state;
  uint32_t count;         /* uplinks in the outbox */
  uint32_t sent, sent_at; /* those of them written on this connection, and their octets */
  size_t rx_length, rx_held, tx_length, tx_sent, hello_length;
  struct pike_id current; /* the command you have in hand; epoch 0: none */
  bool current_late;      /* ours to refuse */
  bool current_here;      /* it came on this connection */
  bool pong_due, pinged, goaway, sent_away, closing_for_good;
  uint32_t epoch, welcome_epoch, held_epoch;
  uint64_t received; /* the last offset that came in this epoch on this connection */
  uint64_t ack;      /* to be written; 0: none */
  uint64_t since_ms, zero_ms, read_ms, written_ms, pinged_ms, uplink_ms, wake_ms;
  uint32_t uplink_window, frame_max, keepalive_ms;
  uint32_t failures, reconnect_base_ms, reconnect_max_ms, spread_ms, place;
  struct pike_durable kept;
  uint8_t proof[32];
  char endpoint[PIKE_ENDPOINT_MAX];
};

/* Keys from a strong secret. PIKE_BAD_ARGUMENT for a weak one: make its root by scrypt elsewhere. */
int pike_derive_keys(struct pike_keys *keys, const struct pike_config *config, const char *secret);
/* Keys from a root (section 4), of whatever kdf. */
void pike_keys_from_root(struct pike_keys *keys, const struct pike_config *config,
                         const uint8_t root[32]);
/* Loads what was stored. PIKE_BAD_ARGUMENT: a buffer is too small or a name too long. */
int pike_init(struct pike *p, const struct pike_config *config);
/* Does what is due, never blocks. Call it again when the socket can be read (or written, while
   pike_sending), after any other call here, and after the milliseconds returned. */
uint32_t pike_step(struct pike *p);
/* Octets wait for the socket to take them. */
bool pike_sending(const struct pike *p);
/* The time of a command in hand is over: do not act, answer PIKE_REJECTED "late". */
bool pike_late(const struct pike *p, uint64_t deadline_ms);
/* I have it: stored, then acknowledged. Before acting: at most once. After: at least once. */
int pike_ack(struct pike *p, struct pike_id id);
/* How it went; acknowledges too. `reason`: a short word, or NULL. */
int pike_reply(struct pike *p, struct pike_id id, enum pike_status status, const char *reason,
               const void *payload, size_t length, unsigned flags);
/* `sequence`: where to put its number, for on_kept; or NULL. */
int pike_event(struct pike *p, const char *name, const void *payload, size_t length,
               unsigned flags, uint64_t *sequence);
/* Says goodbye; then the state becomes PIKE_STOPPED. */
void pike_stop(struct pike *p);
void pike_start(struct pike *p);

#ifdef __cplusplus
}
#endif
#endif /* PIKE_H */

#ifdef PIKE_IMPLEMENTATION
#ifndef PIKE_IMPLEMENTED
#define PIKE_IMPLEMENTED
#include <string.h>

#define PIKE__NUMBER_MAX 9007199254740991u /* 2^53-1 */
#define PIKE__CONNECT_MS 10000u
#define PIKE__WELCOME_MS 5000u  /* section 3 */
#define PIKE__ANSWER_MS 10000u  /* to a PING, section 10; also when an ACK is overdue */
#define PIKE__PATIENT_TRIES 10u /* section 9: sent away, so often at the pace of the spread */
#define PIKE__OPEN_GOOD_MS 30000u /* section 9: then failures are forgotten */
#define PIKE__CLOSE_MS 1000u
#define PIKE__HOUR_MS 3600000u
#define PIKE__AWAY_MAX_S 86400u /* no server sends us away for longer */
#define PIKE__READS_MAX 8       /* in a step: a flood must not keep your loop */
#define PIKE__ENTRY_HEAD 7u     /* octets of an uplink in the outbox before its fields */

enum { /* codes of section 11 that we send, or know */
  PIKE__NORMAL = 0, PIKE__CONFLICT = 65, PIKE__RATE_LIMITED = 71,
  PIKE__MALFORMED = 192, PIKE__PROTOCOL_ERROR = 193, PIKE__TOO_LARGE = 194, PIKE__UNSUPPORTED = 196
};

enum { /* types of section 2 */
  PIKE__EPOCH = 1, PIKE__AUTH = 2, PIKE__WELCOME = 3, PIKE__PING = 4, PIKE__PONG = 5,
  PIKE__COMMAND = 6, PIKE__EVENT = 7, PIKE__REPLY = 8, PIKE__ACK = 9, PIKE__BATCH = 10,
  PIKE__GOAWAY = 11, PIKE__CLOSE = 12, PIKE__HELLO = 15
};

/* ---- writing: section 1 ------------------------------------------------------------------- */

struct pike__out {
  uint8_t *at;
  size_t left;
  bool full;
};

static void pike__put(struct pike__out *out, const void *octets, size_t length)
{
  if (out->full || length > out->left) {
    out->full = true;
    return;
  }
  if (length > 0) memcpy(out->at, octets, length);
  out->at += length;
  out->left -= length;
}

static void pike__put_octet(struct pike__out *out, unsigned octet)
{
  uint8_t one = (uint8_t)octet;
  pike__put(out, &one, 1);
}

static void pike__put_number(struct pike__out *out, uint64_t n)
{
  for (; n > 127; n >>= 7) pike__put_octet(out, (unsigned)(n & 127u) | 128u);
  pike__put_octet(out, (unsigned)n);
}

static void pike__put_head(struct pike__out *out, unsigned octet, size_t body)
{
  pike__put_octet(out, octet);
  pike__put_number(out, body);
}

static void pike__put_text(struct pike__out *out, const char *text)
{
  size_t length = strlen(text);
  pike__put_number(out, length);
  pike__put(out, text, length);
}

static size_t pike__number_size(uint64_t n)
{
  size_t size = 1;
  for (; n > 127; n >>= 7) size++;
  return size;
}

/* ---- reading: section 1 ------------------------------------------------------------------- */

struct pike__in {
  const uint8_t *at;
  size_t left;
  bool bad;
};

static uint64_t pike__number(struct pike__in *in, uint64_t max)
{
  uint64_t n = 0;
  unsigned shift;
  for (shift = 0; shift < 56 && in->left > 0; shift += 7) {
    uint8_t octet = *in->at++;
    in->left--;
    n |= (uint64_t)(octet & 127u) << shift;
    if (octet < 128) {
      if ((octet == 0 && shift > 0) || n > max) break;
      return n;
    }
  }
  in->bad = true;
  in->left = 0;
  return 0;
}

static uint64_t pike__any(struct pike__in *in)
{
  return pike__number(in, PIKE__NUMBER_MAX);
}

static const uint8_t *pike__octets(struct pike__in *in, uint64_t length)
{
  const uint8_t *at = in->at;
  if (length > in->left) {
    in->bad = true;
    in->left = 0;
    return at;
  }
  in->at += (size_t)length;
  in->left -= (size_t)length;
  return at;
}

/* Valid UTF-8 without U+0000: no overlong form, no surrogate, nothing over U+10FFFF. */
static bool pike__is_text(const uint8_t *at, size_t length)
{
  size_t i = 0;
  while (i < length) {
    uint32_t point = at[i++];
    uint32_t least;
    unsigned more;
    if (point == 0) return false;
    if (point < 0x80) continue;
    if (point >= 0xc2 && point < 0xe0) { more = 1; least = 0x80; point &= 0x1f; }
    else if (point >= 0xe0 && point < 0xf0) { more = 2; least = 0x800; point &= 0x0f; }
    else if (point >= 0xf0 && point < 0xf5) { more = 3; least = 0x10000; point &= 0x07; }
    else return false;
    for (; more > 0; more--) {
      if (i == length || (at[i] & 0xc0) != 0x80) return false;
      point = point << 6 | (at[i++] & 0x3fu);
    }
    if (point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
  }
  return true;
}

static const char *pike__text(struct pike__in *in, size_t *length)
{
  uint64_t said = pike__number(in, 1024);
  const uint8_t *at = pike__octets(in, said);
  if (in->bad || !pike__is_text(at, (size_t)said)) {
    in->bad = true;
    *length = 0;
    return "";
  }
  *length = (size_t)said;
  return (const char *)at;
}

static void pike__extensions(struct pike__in *in, int *code)
{
  unsigned count = 0;
  while (in->left > 0 && !in->bad) {
    uint64_t tag = pike__any(in);
    (void)pike__octets(in, pike__any(in));
    if (++count > 32) in->bad = true;
    if (tag % 2 == 1) *code = PIKE__UNSUPPORTED;
  }
}

enum { /* WELCOME's numbers behind its proof, in their order */
  PIKE__RESUMED, PIKE__IN_EPOCH, PIKE__OFFSET, PIKE__KEPT, PIKE__KEEPALIVE_S, PIKE__FRAME_MAX,
  PIKE__WINDOW, PIKE__UPLINK_WINDOW, PIKE__NAMES, PIKE__TIME_MS, PIKE__WELCOME_NUMBERS
};

/* One frame from the server. Pointers lead into the octets it was read from. */
struct pike__frame {
  unsigned type, flags; /* without the channel flag */
  bool on_channel;      /* it had the channel flag: then `channel` holds */
  uint32_t channel;
  uint64_t number; /* EPOCH's epoch, ACK's up to, PONG's seconds (0: none), a code, a kdf */
  uint64_t offset, deadline, after; /* `after`: CLOSE in s, GOAWAY's spread in ms */
  const char *text; /* a name, what CLOSE says, the connection */
  size_t text_length;
  bool bytes;
  const uint8_t *rest; /* payload, nonce, proof, endpoints */
  size_t rest_length;
  uint64_t capabilities, welcome[PIKE__WELCOME_NUMBERS], base_ms, max_ms;
};

static void pike__read_welcome(struct pike__in *in, struct pike__frame *f, int *code)
{
  unsigned i = 0;
  f->capabilities = pike__number(in, UINT32_MAX);
  f->rest_length = (size_t)pike__number(in, 32);
  f->rest = pike__octets(in, f->rest_length);
  if (f->rest_length != 0 && f->rest_length != 32) in->bad = true;
  for (; i < PIKE__WELCOME_NUMBERS; i++) f->welcome[i] = pike__any(in);
  if (f->welcome[PIKE__RESUMED] > 2 || f->welcome[PIKE__IN_EPOCH] - 1 >= UINT32_MAX) in->bad = true;
  f->text = pike__text(in, &f->text_length);
  f->base_ms = pike__any(in);
  f->max_ms = pike__any(in);
  pike__extensions(in, code);
}

static int pike__read_command(struct pike__in *in, struct pike__frame *f)
{
  uint64_t ref;
  f->offset = pike__any(in);
  f->deadline = pike__any(in);
  ref = pike__any(in);
  f->bytes = (ref & 2u) != 0;
  /* A number for a name: nobody gave out any, for we do not have the capability. */
  if (f->offset == 0 || (ref & 1u) != 0 || ref / 4 == 0 || ref / 4 > in->left) in->bad = true;
  if (in->bad) return PIKE__MALFORMED;
  if (ref / 4 > 128) return PIKE__PROTOCOL_ERROR;
  f->text_length = (size_t)(ref / 4);
  f->text = (const char *)pike__octets(in, f->text_length);
  if (!pike__is_text((const uint8_t *)f->text, f->text_length)) in->bad = true;
  f->rest = in->at;
  f->rest_length = in->left;
  in->left = 0;
  return f->rest_length > 49152 ? PIKE__TOO_LARGE : 0;
}

static void pike__read_goaway(struct pike__in *in, struct pike__frame *f)
{
  unsigned count = 0;
  f->number = pike__number(in, 255);
  f->after = pike__any(in);
  f->rest = in->at;
  f->rest_length = in->left;
  while (in->left > 0 && !in->bad) {
    size_t length;
    (void)pike__text(in, &length);
    (void)pike__any(in);
    if (++count > 16) in->bad = true;
  }
}

/* The flags a type may have, and whether a server sends it at all. */
static int pike__check_head(uint8_t head)
{
  /*                                0  1  2   3  4  5  6   7   8  9  10 11 12 */
  static const uint8_t known[13] = {0, 8, 15, 8, 0, 0, 15, 15, 0, 8, 0, 0, 8};
  unsigned type = head >> 4, flags = head & 15u;
  if (type == 0) return PIKE__MALFORMED;
  if (type == PIKE__EVENT || type == PIKE__REPLY || type == PIKE__BATCH || type == PIKE__HELLO)
    return PIKE__PROTOCOL_ERROR;
  if (type > PIKE__CLOSE) return 0;
  if ((flags & ~(unsigned)known[type]) != 0) return PIKE__MALFORMED;
  if (type == PIKE__AUTH && (flags & 7u) > 2) return PIKE__UNSUPPORTED;
  return type == PIKE__AUTH && (flags & 7u) != 0 ? PIKE__PROTOCOL_ERROR : 0;
}

/* The first frame of what came: its length, 0 when there is more to come, or -code to refuse it. */
static int32_t pike__decode(const uint8_t *octets, size_t length, size_t frame_max,
                            struct pike__frame *f)
{
  struct pike__in in;
  uint64_t said = 0;
  size_t head = 1;
  int code;

  if (length == 0) return 0;
  code = pike__check_head(octets[0]);
  if (code != 0) return -code;
  for (;; head++) { /* the length, as far as it has come */
    if (head > 8) return -PIKE__MALFORMED;
    if (head == length) return 0;
    said |= (uint64_t)(octets[head] & 127u) << (7 * (head - 1));
    if (octets[head] < 128) break;
  }
  if (octets[head] == 0 && head > 1) return -PIKE__MALFORMED;
  if (said > frame_max || said + head + 1 > frame_max) return -PIKE__TOO_LARGE;
  head++;
  if (said > length - head) return 0;

  memset(f, 0, sizeof *f);
  f->type = octets[0] >> 4;
  f->flags = octets[0] & 7u;
  f->text = "";
  in.at = octets + head;
  in.left = (size_t)said;
  in.bad = false;
  if (f->type > PIKE__CLOSE) /* reserved; flag 1: critical */
    return (f->flags & 1u) != 0 ? -PIKE__UNSUPPORTED : (int32_t)(head + said);
  if ((octets[0] & 8u) != 0) {
    f->on_channel = true;
    f->channel = (uint32_t)pike__number(&in, 63);
    if (f->channel == 0 && f->type != PIKE__CLOSE) in.bad = true;
  }
  switch (f->type) {
  case PIKE__EPOCH:
    f->number = pike__number(&in, UINT32_MAX);
    if (f->number == 0) in.bad = true;
    break;
  case PIKE__AUTH:
    f->number = pike__number(&in, 1);
    f->rest_length = 12;
    f->rest = pike__octets(&in, 12);
    break;
  case PIKE__WELCOME:
    pike__read_welcome(&in, f, &code);
    break;
  case PIKE__PONG:
    if (in.left > 0) {
      f->number = pike__number(&in, 1500);
      if (f->number < 5) in.bad = true;
    }
    break;
  case PIKE__COMMAND:
    code = pike__read_command(&in, f);
    break;
  case PIKE__ACK:
    f->number = pike__any(&in);
    break;
  case PIKE__GOAWAY:
    pike__read_goaway(&in, f);
    break;
  case PIKE__CLOSE:
    f->number = pike__number(&in, 255);
    f->after = pike__any(&in);
    f->text = pike__text(&in, &f->text_length);
    break;
  default: /* PING: empty */
    break;
  }
  if (in.bad || in.left > 0) return -PIKE__MALFORMED;
  return code != 0 ? -code : (int32_t)(head + said);
}

/* ---- keys and proofs: section 4 ----------------------------------------------------------- */

/* 32 of hex are 128 bits, 22 of base64 too; who has 22 of hex alone has the base64 they are as well. */
static bool pike__is_weak(const char *secret)
{
  size_t length = strlen(secret);
  return length < 22 ||
         strspn(secret, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+/=-") < length;
}

void pike_keys_from_root(struct pike_keys *keys, const struct pike_config *c,
                         const uint8_t root[32])
{
  c->hmac_sha256(c->context, root, 32, (const uint8_t *)"client key", 10, keys->client);
  c->hmac_sha256(c->context, root, 32, (const uint8_t *)"server key", 10, keys->server);
  c->sha256(c->context, keys->client, 32, keys->stored);
}

int pike_derive_keys(struct pike_keys *keys, const struct pike_config *c, const char *secret)
{
  uint8_t salt[7 + 128 + 1 + 128], root[32];
  const char *app = c->app == NULL || c->app[0] == 0 ? "default" : c->app;
  struct pike__out out = {salt, sizeof salt, false};
  if (pike__is_weak(secret)) return PIKE_BAD_ARGUMENT;
  pike__put(&out, "pike/1 ", 7);
  pike__put(&out, app, strlen(app));
  pike__put(&out, "/", 1);
  pike__put(&out, c->device, strlen(c->device));
  if (out.full) return PIKE_BAD_ARGUMENT;
  /* HKDF: extract, then the one block that 32 octets take. */
  c->hmac_sha256(c->context, salt, sizeof salt - out.left, (const uint8_t *)secret, strlen(secret),
                 root);
  c->hmac_sha256(c->context, root, 32, (const uint8_t *)"pike/1 root\x01", 12, root);
  pike_keys_from_root(keys, c, root);
  memset(root, 0, sizeof root);
  return PIKE_OK;
}

/* An hour: for waits, and for numbers that have no bound of their own. */
static uint32_t pike__at_most(uint64_t n)
{
  return n > PIKE__HOUR_MS ? PIKE__HOUR_MS : (uint32_t)n;
}

static uint64_t pike__now(const struct pike *p)
{
  return p->config->now_ms(p->config->context);
}

/* ---- what is remembered -------------------------------------------------------------------

   image:  magic 4 | crc-32 4 | struct pike_durable | outbox: entries, one after the other
   entry:  length 2 | epoch of the command 4 | first octet of the frame | fields behind the sequence

   As memory has it: an image is read by the device that wrote it.
*/

static uint32_t pike__crc(const uint8_t *at, size_t length)
{
  uint32_t crc = 0xffffffffu;
  for (; length > 0; length--) {
    int bit;
    crc ^= *at++;
    for (bit = 0; bit < 8; bit++) crc = (crc & 1u) != 0 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
  }
  return ~crc;
}

static int pike__store(struct pike *p, const struct pike_durable *before, uint32_t count)
{
  const struct pike_config *c = p->config;
  size_t length = PIKE_IMAGE_HEAD + p->kept.used;
  uint32_t crc;
  if (c->store == NULL) return PIKE_OK;
  memcpy(c->image + 8, &p->kept, sizeof p->kept);
  crc = pike__crc(c->image + 8, length - 8);
  memcpy(c->image, "PIK1", 4);
  memcpy(c->image + 4, &crc, 4);
  if (c->store(c->context, c->image, length)) return PIKE_OK;
  p->kept = *before;
  p->count = count;
  return PIKE_STORE_FAILED;
}

static uint32_t pike__entry_length(const struct pike *p, uint32_t at)
{
  uint16_t length;
  memcpy(&length, p->config->image + PIKE_IMAGE_HEAD + at, 2);
  return length;
}

/* A random number below a bound; fair enough for waiting. */
static uint32_t pike__below(struct pike *p, uint64_t bound)
{
  uint8_t octets[4];
  uint32_t random;
  p->config->random(p->config->context, octets, 4);
  memcpy(&random, octets, 4);
  return (uint32_t)((uint64_t)random * (bound > UINT32_MAX ? UINT32_MAX : bound) >> 32);
}

/* Section 8: a new storage, or one that is older than its life, numbers from 1 in a new epoch. */
static void pike__number_anew(struct pike *p)
{
  if (p->kept.late != 0) p->kept.late = p->kept.late - p->kept.first + 1;
  p->kept.first = 1;
  p->kept.uplink_epoch = 1 + pike__below(p, UINT32_MAX);
}

static bool pike__load(struct pike *p)
{
  const struct pike_config *c = p->config;
  size_t length;
  uint32_t crc, walked = 0;
  if (c->load == NULL) return false;
  length = c->load(c->context, c->image, c->image_size);
  if (length < PIKE_IMAGE_HEAD || length > c->image_size) return false;
  crc = pike__crc(c->image + 8, length - 8);
  if (memcmp(c->image, "PIK1", 4) != 0 || memcmp(c->image + 4, &crc, 4) != 0) return false;
  memcpy(&p->kept, c->image + 8, sizeof p->kept);
  if (p->kept.used != length - PIKE_IMAGE_HEAD || p->kept.uplink_epoch == 0) return false;
  for (; walked < p->kept.used; p->count++) {
    uint32_t size = p->kept.used - walked < PIKE__ENTRY_HEAD ? 0 : pike__entry_length(p, walked);
    if (size < PIKE__ENTRY_HEAD || size > p->kept.used - walked) return false;
    walked += size;
  }
  return true;
}

static struct pike__out pike__room(struct pike *p)
{
  struct pike__out out;
  if (p->tx_sent == p->tx_length) p->tx_sent = p->tx_length = 0;
  out.at = p->config->tx + p->tx_length;
  out.left = p->config->tx_size - p->tx_length;
  out.full = false;
  return out;
}

/* ---- the outbox: section 8 ---------------------------------------------------------------- */

/* The part of an entry behind the sequence is written to `out`; pike__append makes it count. */
static struct pike__out pike__entry(struct pike *p, size_t leave)
{
  const struct pike_config *c = p->config;
  size_t used = PIKE_IMAGE_HEAD + p->kept.used + PIKE__ENTRY_HEAD;
  struct pike__out out = {NULL, 0, true};
  if (used + leave <= c->image_size) {
    out.at = c->image + used;
    out.left = c->image_size - used - leave;
    out.full = false;
  }
  return out;
}

/* PIKE_OK, or why it cannot be. The caller stores. */
static int pike__append(struct pike *p, const struct pike__out *out, uint8_t head, uint32_t epoch,
                        uint64_t *sequence)
{
  uint8_t *entry = p->config->image + PIKE_IMAGE_HEAD + p->kept.used;
  uint16_t size;
  size_t length;
  if (out->full) return p->count == 0 ? PIKE_TOO_LARGE : PIKE_FULL;
  length = (size_t)(out->at - entry);
  /* As a frame: octet, length, sequence, epoch, and the fields. */
  length += 1 + 3 + 8 + 5;
  if (length - PIKE__ENTRY_HEAD > p->config->tx_size || length > 65535 ||
      (p->frame_max != 0 && length - PIKE__ENTRY_HEAD > p->frame_max))
    return PIKE_TOO_LARGE;
  length -= 1 + 3 + 8 + 5;
  size = (uint16_t)length;
  memcpy(entry, &size, 2);
  memcpy(entry + 2, &epoch, 4);
  entry[6] = head;
  *sequence = p->kept.first + p->count;
  p->kept.used += (uint32_t)length;
  p->count++;
  return PIKE_OK;
}

/* Everything up to a sequence is kept by the server: section 8, and WELCOME's in section 9. */
static void pike__drop(struct pike *p, uint64_t up_to)
{
  uint8_t *outbox = p->config->image + PIKE_IMAGE_HEAD;
  uint32_t octets = 0;
  bool any = false;
  while (p->count > 0 && p->kept.first <= up_to) {
    octets += pike__entry_length(p, octets);
    p->kept.first++;
    p->count--;
    if (p->sent > 0) p->sent--;
    any = true;
  }
  if (!any) return;
  p->sent_at = p->sent_at > octets ? p->sent_at - octets : 0;
  p->kept.used -= octets;
  memmove(outbox, outbox + octets, p->kept.used);
  /* Not stored: an image that still has them sends them again, and they are kept once. */
  if (p->kept.late != 0 && p->kept.late <= up_to) {
    p->kept.late = 0;
    p->kept.position = p->kept.settled;
  }
  p->failures = 0;
  if (p->config->on_kept != NULL) p->config->on_kept(p->config->context, up_to);
}

int pike_event(struct pike *p, const char *name, const void *payload, size_t length,
               unsigned flags, uint64_t *sequence)
{
  size_t name_length = strlen(name), ref = name_length * 4 + ((flags & PIKE_BYTES) != 0 ? 2 : 0);
  size_t body = pike__number_size(ref) + name_length + length;
  bool unreliable = (flags & PIKE_UNRELIABLE) != 0;
  uint64_t given = 0;
  struct pike_durable before = p->kept;
  struct pike__out out;
  int result;
  if (name_length == 0 || name_length > 128) return PIKE_BAD_ARGUMENT;
  if (length > 49152) return PIKE_TOO_LARGE;
  if (unreliable) {
    if (p->state != PIKE_OPEN || p->goaway) return PIKE_NOT_OPEN;
    if (body + 4 > p->config->tx_size || body + 4 > p->frame_max) return PIKE_TOO_LARGE;
    out = pike__room(p);
    pike__put_head(&out, PIKE__EVENT << 4 | 1, body);
  } else {
    out = pike__entry(p, PIKE_REPLY_ROOM);
  }
  pike__put_number(&out, ref);
  pike__put(&out, name, name_length);
  pike__put(&out, payload, length);
  if (unreliable) {
    if (out.full) return PIKE_FULL;
    p->tx_length = p->config->tx_size - out.left;
    return PIKE_OK;
  }
  result = pike__append(p, &out, PIKE__EVENT << 4, 0, &given);
  if (result == PIKE_OK) result = pike__store(p, &before, p->count - 1);
  if (result == PIKE_OK && sequence != NULL) *sequence = given;
  return result;
}

/* ---- commands: section 7 ------------------------------------------------------------------ */

static bool pike__same(struct pike_id a, struct pike_id b)
{
  return a.epoch == b.epoch && a.offset == b.offset;
}

/* Commands come in order, so in each epoch the largest offset stands for all before it. */
static bool pike__acted(const struct pike *p, struct pike_id id)
{
  unsigned i;
  for (i = 0; i < PIKE_EPOCHS; i++)
    if (p->kept.acted[i].epoch == id.epoch) return id.offset <= p->kept.acted[i].offset;
  return false;
}

static void pike__settle(struct pike *p, struct pike_id id, uint64_t late)
{
  struct pike_id *acted = p->kept.acted;
  unsigned i = 0;
  if (pike__acted(p, id)) return;
  while (i < PIKE_EPOCHS - 1 && acted[i].epoch != id.epoch) i++; /* else the oldest goes */
  for (; i > 0; i--) acted[i] = acted[i - 1];
  acted[0] = id;
  p->kept.settled = id;
  if (late != 0) p->kept.late = late;
  /* The position in HELLO stays before a late command until its refusal is acknowledged. */
  if (p->kept.late == 0) p->kept.position = id;
}

static void pike__put_down(struct pike *p, struct pike_id id)
{
  p->failures = 0;
  if (!pike__same(p->current, id)) return;
  p->current.epoch = 0;
  p->current_late = false;
}

bool pike_late(const struct pike *p, uint64_t deadline_ms)
{
  return pike__now(p) >= deadline_ms;
}

int pike_reply(struct pike *p, struct pike_id id, enum pike_status status, const char *reason,
               const void *payload, size_t length, unsigned flags)
{
  struct pike_durable before = p->kept;
  struct pike__out out = pike__entry(p, 0);
  unsigned head = PIKE__REPLY << 4;
  uint64_t sequence = 0;
  bool late = status == PIKE_REJECTED && reason != NULL && strcmp(reason, "late") == 0;
  int result;
  if (id.epoch == 0 || id.offset == 0) return PIKE_BAD_ARGUMENT;
  if (length > 49152) return PIKE_TOO_LARGE;
  pike__put_number(&out, id.offset);
  pike__put_octet(&out, (unsigned)status);
  if (reason != NULL) {
    head |= 1u;
    pike__put_text(&out, reason);
  }
  if ((flags & PIKE_BYTES) != 0) head |= 4u;
  pike__put(&out, payload, length);
  result = pike__append(p, &out, (uint8_t)head, id.epoch, &sequence);
  if (result != PIKE_OK) return result;
  pike__settle(p, id, late ? sequence : 0);
  result = pike__store(p, &before, p->count - 1); /* position and reply: both or neither */
  if (result == PIKE_OK) pike__put_down(p, id);
  return result;
}

int pike_ack(struct pike *p, struct pike_id id)
{
  struct pike_durable before = p->kept;
  if (id.epoch == 0 || id.offset == 0) return PIKE_BAD_ARGUMENT;
  pike__settle(p, id, 0);
  if (pike__store(p, &before, p->count) != PIKE_OK) return PIKE_STORE_FAILED;
  /* Only what came on this connection may be acknowledged on it; HELLO tells the rest. */
  if (pike__same(p->current, id) && p->current_here) p->ack = id.offset;
  pike__put_down(p, id);
  return PIKE_OK;
}

/* Is there an answer to this command on its way? */
static bool pike__replied(const struct pike *p, struct pike_id id)
{
  uint32_t at = 0;
  while (at < p->kept.used) {
    const uint8_t *entry = p->config->image + PIKE_IMAGE_HEAD + at;
    uint32_t length = pike__entry_length(p, at);
    struct pike__in in = {entry + PIKE__ENTRY_HEAD, length - PIKE__ENTRY_HEAD, false};
    if (entry[6] >> 4 == PIKE__REPLY && memcmp(entry + 2, &id.epoch, 4) == 0 &&
        pike__any(&in) == id.offset)
      return true;
    at += length;
  }
  return false;
}

static void pike__refuse_late(struct pike *p)
{
  /* When the outbox has no place it is tried again: until then the server sends no other. */
  if (p->current.epoch != 0 && p->current_late)
    (void)pike_reply(p, p->current, PIKE_REJECTED, "late", NULL, 0, 0);
}

static void pike__hand_on(struct pike *p, const struct pike__frame *f, uint32_t epoch)
{
  struct pike_command command;
  command.id.epoch = epoch;
  command.id.offset = f->offset;
  if (pike__acted(p, command.id)) {
    if (!pike__replied(p, command.id)) p->ack = f->offset;
    return;
  }
  command.deadline_ms = p->zero_ms + f->deadline;
  command.name = f->text;
  command.name_length = f->text_length;
  command.payload = f->rest;
  command.payload_length = f->rest_length;
  command.bytes = f->bytes;
  command.reply_expected = (f->flags & 1u) != 0;
  command.now = (f->flags & 2u) != 0;
  command.repeated = (f->flags & 4u) != 0;
  p->current = command.id;
  p->current_here = true;
  p->current_late = pike_late(p, command.deadline_ms);
  if (p->current_late) pike__refuse_late(p);
  else p->config->on_command(p->config->context, &command);
}

/* The command that waited behind the one in hand (see pike__on_command). */
static void pike__release(struct pike *p)
{
  struct pike__frame f;
  size_t length = p->rx_held;
  if (length == 0 || p->current.epoch != 0) return;
  p->rx_held = 0;
  if (pike__decode(p->config->rx, length, length, &f) > 0) pike__hand_on(p, &f, p->held_epoch);
  if (p->state != PIKE_OPEN) return; /* by the application, in on_command */
  p->rx_length -= length;
  memmove(p->config->rx, p->config->rx + length, p->rx_length);
}

/* ---- leaving: sections 9 and 11 ----------------------------------------------------------- */

static void pike__tell(struct pike *p, int code, const char *text, size_t length)
{
  if (p->config->on_state != NULL)
    p->config->on_state(p->config->context, p->state, code, text, length);
}

/* Section 9: tries in a row have one place, 0 up to 65536, each in a window of its own. */
static void pike__row(struct pike *p)
{
  p->place = pike__below(p, 65536);
  p->sent_away = false;
}

static uint64_t pike__least(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* How long the window of try `n` is, ms. */
static uint64_t pike__window(const struct pike *p, uint32_t n)
{
  uint64_t base = p->reconnect_base_ms, max = p->reconnect_max_ms, a = 1, b = 1, sum, pace = 0;
  if (base == 0) base = 1000;
  if (max == 0) max = 60000;
  if (n == 1) return p->sent_away ? p->spread_ms : 1000;
  if (p->sent_away) {
    pace = pike__least(max, p->spread_ms > 1000 ? p->spread_ms : 1000);
    if (n <= PIKE__PATIENT_TRIES) return pace;
    n -= PIKE__PATIENT_TRIES - 1;
  }
  for (; n > 1 && a * base < max; n--) {
    sum = a + b;
    a = b;
    b = sum;
  }
  a = pike__least(max, a * base);
  return a > pace ? a : pace;
}

/* How long to wait for the next try, `failures` counting those before it, at least 1. */
static uint64_t pike__backoff(const struct pike *p)
{
  uint64_t last, next = pike__window(p, p->failures);
  if (p->failures <= 1) return next * p->place >> 16;
  last = pike__window(p, p->failures - 1);
  return next < last ? next : last + ((next - last) * p->place >> 16);
}

/* The connection is over. `code` is the server's, -1 without one. */
static void pike__leave(struct pike *p, bool reset, int code, uint64_t after_s, const char *text,
                        size_t length)
{
  uint64_t now, wait, part;
  bool first = p->failures == 0;
  if (p->state < PIKE_OPEN) p->endpoint[0] = 0; /* it did not work: back to the own list */
  p->config->close(p->config->context, reset);
  now = pike__now(p);
  if (after_s > PIKE__AWAY_MAX_S) after_s = PIKE__AWAY_MAX_S;
  if (after_s == 0 && (code == PIKE__CONFLICT || code == PIKE__RATE_LIMITED)) after_s = 60;
  if (first) pike__row(p);
  if (p->failures < UINT32_MAX) p->failures++;
  if (p->goaway) {
    p->sent_away = true;
  } else if (code >= 128 && code < 192) {
    p->sent_away = true;
    p->spread_ms = 1000;
  }
  wait = pike__backoff(p);
  if (p->goaway) {
    part = (uint64_t)p->spread_ms * p->place >> 16;
    if (wait < part) wait = part;
  } else if (code >= 192) wait = PIKE__HOUR_MS + pike__below(p, PIKE__HOUR_MS / 6);
  else if (code >= 64 && after_s > 0) wait = after_s * 1000 + pike__below(p, 1000);
  else if (first && code >= 64 && code < 128) wait += 500;
  p->wake_ms = now + wait;
  p->state = p->closing_for_good || (code >= 192 && !p->config->unattended) ? PIKE_STOPPED
                                                                            : PIKE_WAITING;
  p->rx_length = p->rx_held = p->tx_length = p->tx_sent = 0;
  pike__tell(p, code, text, length);
}

static void pike__lost(struct pike *p, const char *why)
{
  pike__leave(p, true, -1, 0, why, strlen(why));
}

/* Says CLOSE and leaves. The octets before it go first. */
static void pike__refuse(struct pike *p, int code, const char *why)
{
  struct pike__out out;
  size_t length = strlen(why);
  if (code >= 192 && p->failures == 0) {
    pike__row(p);
    p->failures = 1;
  }
  out = pike__room(p);
  if (p->state != PIKE_OPEN && p->tx_length > 0) out.full = true; /* half of a HELLO is out */
  pike__put_head(&out, PIKE__CLOSE << 4, 2 + length + (code > 127 ? 2 : 1)); /* why: under 128 */
  pike__put_number(&out, (uint64_t)code);
  pike__put_number(&out, 0);
  pike__put_text(&out, why);
  if (out.full) {
    pike__lost(p, why);
    return;
  }
  p->tx_length = p->config->tx_size - out.left;
  p->rx_length = p->rx_held = 0;
  p->since_ms = pike__now(p);
  p->state = PIKE_CLOSING;
  if (code != PIKE__NORMAL) pike__tell(p, code, why, length);
}

/* ---- the connection: sections 3, 9, 10 and 13 --------------------------------------------- */

static const char *pike__or(const char *text, const char *otherwise)
{
  return text == NULL || text[0] == 0 ? otherwise : text;
}

/* Into tx; 0 when it does not fit. */
static size_t pike__hello(uint8_t *at, size_t size, const struct pike_config *c,
                          unsigned capabilities, const uint8_t nonce[12],
                          const struct pike_durable *kept, uint64_t window, uint64_t names)
{
  struct pike__out out = {at, size, size < 3};
  size_t body;
  if (out.full) return 0;
  out.at += 3; /* the octet and a length of up to two, put in their place below */
  out.left -= 3;
  pike__put_number(&out, capabilities);
  pike__put_number(&out, 0);
  pike__put_text(&out, pike__or(c->app, ""));
  pike__put_text(&out, c->device);
  pike__put_text(&out, pike__or(c->channel, "main"));
  pike__put_number(&out, 12);
  pike__put(&out, nonce, 12);
  pike__put_number(&out, kept->position.epoch);
  if (kept->position.epoch != 0) pike__put_number(&out, kept->position.offset);
  pike__put_number(&out, kept->uplink_epoch);
  pike__put_number(&out, c->keepalive_min_s);
  pike__put_number(&out, c->keepalive_max_s);
  pike__put_number(&out, c->rx_size - PIKE_RX_SPARE > 65536 ? 65536 : c->rx_size - PIKE_RX_SPARE);
  pike__put_number(&out, window);
  pike__put_number(&out, names);
  if (out.full) return 0;
  body = (size_t)(out.at - at) - 3;
  at[0] = PIKE__HELLO << 4 | 1;
  out.at = at + 1;
  out.left = 2;
  pike__put_number(&out, body);
  if (body < 128) memmove(at + 2, at + 3, body);
  return body + (body < 128 ? 2 : 3);
}

static void pike__greet(struct pike *p)
{
  const struct pike_config *c = p->config;
  uint8_t nonce[12];
  c->random(c->context, nonce, 12);
  p->rx_length = p->rx_held = p->tx_sent = 0;
  p->hello_length =
      pike__hello(c->tx, c->tx_size, c, c->stretched ? 4 : 0, nonce, &p->kept, 1, 0);
  p->tx_length = p->hello_length;
  p->since_ms = pike__now(p);
  p->state = PIKE_GREETING;
}

static void pike__prove(struct pike *p, const struct pike__frame *f, const uint8_t *frame,
                        size_t length)
{
  const struct pike_config *c = p->config;
  uint8_t signature[32];
  unsigned i;
  if (f->number != (c->stretched ? 1u : 0u)) {
    pike__refuse(p, PIKE__PROTOCOL_ERROR, "wrong kdf");
    return;
  }
  if (p->tx_sent < p->tx_length) {
    pike__refuse(p, PIKE__PROTOCOL_ERROR, "not at this point");
    return;
  }
  /* tx still holds HELLO: with the challenge behind it, it is the transcript. */
  memcpy(c->tx + p->hello_length, frame, length);
  length += p->hello_length;
  c->hmac_sha256(c->context, c->keys->server, 32, c->tx, length, p->proof);
  c->hmac_sha256(c->context, c->keys->stored, 32, c->tx, length, signature);
  c->tx[0] = PIKE__AUTH << 4 | 1;
  c->tx[1] = 32;
  for (i = 0; i < 32; i++) c->tx[2 + i] = (uint8_t)(signature[i] ^ c->keys->client[i]);
  p->tx_sent = 0;
  p->tx_length = 34;
  /* Deadlines count from here: earlier than WELCOME was made, so nothing is done late. */
  p->zero_ms = pike__now(p);
  p->state = PIKE_PROVING;
}

static void pike__welcomed(struct pike *p, const struct pike__frame *f)
{
  struct pike_durable before;
  uint8_t differs = f->rest_length == 32 ? 0 : 1;
  unsigned i;
  if (differs == 0)
    for (i = 0; i < 32; i++) differs |= (uint8_t)(f->rest[i] ^ p->proof[i]);
  if (differs != 0) { /* before anything else in it is believed */
    pike__lost(p, "no proof");
    return;
  }
  if (f->capabilities != 0 || f->welcome[PIKE__KEEPALIVE_S] - 5 > 1495 || /* 5 to 1,500 */
      f->welcome[PIKE__FRAME_MAX] < 256) {
    pike__refuse(p, PIKE__PROTOCOL_ERROR, "WELCOME out of range");
    return;
  }
  p->epoch = p->welcome_epoch = (uint32_t)f->welcome[PIKE__IN_EPOCH];
  p->received = f->welcome[PIKE__OFFSET];
  p->ack = 0;
  p->sent = p->sent_at = 0;
  p->pong_due = p->pinged = p->goaway = p->current_here = false;
  p->uplink_window = pike__at_most(f->welcome[PIKE__UPLINK_WINDOW]);
  p->frame_max = pike__at_most(f->welcome[PIKE__FRAME_MAX]);
  p->keepalive_ms = (uint32_t)f->welcome[PIKE__KEEPALIVE_S] * 1000;
  p->reconnect_base_ms = pike__at_most(f->base_ms);
  p->reconnect_max_ms = pike__at_most(f->max_ms);
  p->since_ms = p->read_ms = p->written_ms = p->uplink_ms = pike__now(p);
  p->state = PIKE_OPEN;
  /* Where delivery starts; ours is behind it, or was lost, or is not known there any more. */
  p->kept.position.epoch = p->epoch;
  p->kept.position.offset = p->received;
  if (p->kept.late == 0) p->kept.settled = p->kept.position;
  if (f->welcome[PIKE__KEPT] >= p->kept.first + p->count) { /* the image is older than our life */
    pike__number_anew(p);
    before = p->kept;
    (void)pike__store(p, &before, p->count); /* if it fails: the same again after a restart */
    pike__refuse(p, PIKE__NORMAL, "");
    return;
  }
  pike__drop(p, f->welcome[PIKE__KEPT]);
  pike__tell(p, -1, f->text, f->text_length);
}

static void pike__on_goaway(struct pike *p, const struct pike__frame *f)
{
  struct pike__in in = {f->rest, f->rest_length, false};
  uint64_t total = 0;
  p->goaway = true;
  p->spread_ms = pike__at_most(f->after);
  p->endpoint[0] = 0;
  while (in.left > 0) { /* one, by weight, without a list: each replaces those before it by its share */
    size_t length;
    const char *text = pike__text(&in, &length);
    uint64_t weight = pike__any(&in);
    if (weight > 65535) weight = 65535;
    if (weight == 0 || length >= PIKE_ENDPOINT_MAX) continue;
    total += weight;
    if (pike__below(p, total) >= weight) continue;
    memcpy(p->endpoint, text, length);
    p->endpoint[length] = 0;
  }
}

static void pike__on_command(struct pike *p, const struct pike__frame *f, const uint8_t *frame,
                             size_t length)
{
  struct pike_id id;
  id.epoch = p->epoch;
  id.offset = f->offset;
  if (f->offset <= p->received || p->rx_held > 0) {
    pike__refuse(p, PIKE__PROTOCOL_ERROR, "out of order");
    return;
  }
  p->received = f->offset;
  if (pike__same(p->current, id)) { /* sent again while you act on it */
    p->current_here = true;
    return;
  }
  if (p->current.epoch == 0) {
    pike__hand_on(p, f, p->epoch);
    return;
  }
  /* After a reconnect the next may come while you still act on one of before: it waits at the
     front of rx, and the spare octets behind it are enough for what may follow. */
  memmove(p->config->rx, frame, length);
  p->rx_held = length;
  p->held_epoch = p->epoch;
}

static void pike__on_frame(struct pike *p, const struct pike__frame *f, const uint8_t *frame,
                           size_t length)
{
  unsigned type = f->on_channel ? 0 : f->type; /* on a channel we never opened: not at this point */
  if (f->type > PIKE__CLOSE) return;
  if (f->type == PIKE__CLOSE && f->channel == 0) {
    pike__leave(p, false, (int)f->number, f->after, f->text, f->text_length);
  } else if (p->state == PIKE_GREETING && type == PIKE__AUTH) {
    pike__prove(p, f, frame, length);
  } else if (p->state == PIKE_PROVING && type == PIKE__WELCOME) {
    pike__welcomed(p, f);
  } else if (p->state != PIKE_OPEN || type == 0 || type == PIKE__AUTH || type == PIKE__WELCOME) {
    pike__refuse(p, PIKE__PROTOCOL_ERROR, "not at this point");
  } else if (type == PIKE__PING) {
    p->pong_due = true;
  } else if (type == PIKE__PONG) {
    if (f->number > 0) p->keepalive_ms = (uint32_t)f->number * 1000;
  } else if (type == PIKE__EPOCH) {
    if (p->epoch != (uint32_t)f->number) p->received = 0;
    p->epoch = (uint32_t)f->number;
  } else if (type == PIKE__ACK) {
    if (f->number >= p->kept.first + p->sent)
      pike__refuse(p, PIKE__PROTOCOL_ERROR, "out of order");
    else
      pike__drop(p, f->number);
  } else if (type == PIKE__GOAWAY) {
    pike__on_goaway(p, f);
  } else {
    pike__on_command(p, f, frame, length);
  }
}

static void pike__read(struct pike *p)
{
  const struct pike_config *c = p->config;
  int reads;
  for (reads = 0; reads < PIKE__READS_MAX; reads++) {
    size_t at = p->rx_held, room = c->rx_size - p->rx_length;
    int32_t came = room == 0 ? 0 : c->recv(c->context, c->rx + p->rx_length, room);
    if (came < 0) {
      pike__lost(p, "connection lost");
      return;
    }
    if (came == 0) return;
    p->rx_length += (size_t)came < room ? (size_t)came : room;
    p->pinged = false;
    p->read_ms = pike__now(p);
    if (p->state == PIKE_CLOSING) {
      p->rx_length = 0;
      continue;
    }
    for (;;) {
      struct pike__frame f;
      int32_t length =
          pike__decode(c->rx + at, p->rx_length - at, c->rx_size - PIKE_RX_SPARE, &f);
      if (length < 0) {
        pike__refuse(p, -length, "refused octets");
        return;
      }
      if (length == 0) break;
      pike__on_frame(p, &f, c->rx + at, (size_t)length);
      if (p->state < PIKE_GREETING || p->state > PIKE_OPEN) return;
      at += (size_t)length; /* one that was put at the front overwrote only what was read */
    }
    memmove(c->rx + p->rx_held, c->rx + at, p->rx_length - at);
    p->rx_length -= at - p->rx_held;
  }
}

/* A frame of one number or none. */
static bool pike__small(struct pike *p, unsigned type, uint64_t number, bool empty)
{
  struct pike__out out = pike__room(p);
  pike__put_head(&out, type << 4, empty ? 0 : pike__number_size(number));
  if (!empty) pike__put_number(&out, number);
  if (!out.full) p->tx_length = p->config->tx_size - out.left;
  return !out.full;
}

/* The next uplink of the outbox, if the window and tx have a place for it. */
static bool pike__uplink(struct pike *p)
{
  uint64_t sequence = p->kept.first + p->sent;
  const uint8_t *entry;
  uint32_t size, epoch;
  size_t body;
  struct pike__out out;
  if (p->sent >= p->count || p->sent >= p->uplink_window || p->goaway) return false;
  entry = p->config->image + PIKE_IMAGE_HEAD + p->sent_at;
  size = pike__entry_length(p, p->sent_at);
  memcpy(&epoch, entry + 2, 4);
  if (epoch == p->welcome_epoch) epoch = 0; /* section 2, REPLY */
  body = pike__number_size(sequence) + (epoch == 0 ? 0 : pike__number_size(epoch)) + size -
         PIKE__ENTRY_HEAD;
  if (1 + pike__number_size(body) + body > p->frame_max || body + 4 > p->config->tx_size) {
    p->closing_for_good = true; /* it will never go: somebody has to change something */
    pike__refuse(p, PIKE__NORMAL, "uplink too long");
    return false;
  }
  out = pike__room(p);
  pike__put_head(&out, entry[6] | (epoch == 0 ? 0u : 2u), body);
  pike__put_number(&out, sequence);
  if (epoch != 0) pike__put_number(&out, epoch);
  pike__put(&out, entry + PIKE__ENTRY_HEAD, size - PIKE__ENTRY_HEAD);
  if (out.full) return false;
  p->tx_length = p->config->tx_size - out.left;
  p->sent++;
  p->sent_at += size;
  p->uplink_ms = pike__now(p);
  return true;
}

static void pike__write(struct pike *p)
{
  const struct pike_config *c = p->config;
  for (;;) {
    bool more = false;
    if (p->state == PIKE_OPEN) {
      if (p->pong_due && pike__small(p, PIKE__PONG, 0, true)) p->pong_due = false;
      while (pike__uplink(p)) more = true;
      /* Nothing overtakes the refusal of a late command: section 7. */
      if (p->ack != 0 && !(p->kept.late != 0 && p->kept.late >= p->kept.first + p->sent) &&
          pike__small(p, PIKE__ACK, p->ack, false))
        p->ack = 0;
    }
    while (p->tx_sent < p->tx_length) {
      int32_t went = c->send(c->context, c->tx + p->tx_sent, p->tx_length - p->tx_sent);
      if (went < 0) {
        pike__lost(p, "connection lost");
        return;
      }
      if (went == 0) return;
      p->tx_sent += (size_t)went < p->tx_length - p->tx_sent ? (size_t)went
                                                             : p->tx_length - p->tx_sent;
      p->written_ms = pike__now(p);
    }
    if (p->state != PIKE_OPEN || (!more && !p->pong_due)) return;
  }
}

static bool pike__over(uint64_t now, uint64_t since, uint64_t span)
{
  return (int64_t)(now - since) >= (int64_t)span;
}

/* Section 10. */
static void pike__watch(struct pike *p, uint64_t now)
{
  bool silent = pike__over(now, p->written_ms, p->keepalive_ms);
  bool overdue = p->sent > 0 && !p->goaway && pike__over(now, p->uplink_ms, PIKE__ANSWER_MS) &&
                 pike__over(now, p->read_ms, PIKE__ANSWER_MS);
  if (pike__over(now, p->since_ms, PIKE__OPEN_GOOD_MS)) p->failures = 0;
  if (p->pinged && pike__over(now, p->pinged_ms, PIKE__ANSWER_MS)) {
    pike__lost(p, "PING was not answered");
  } else if (p->tx_sent < p->tx_length) { /* it reads nothing: no PING would reach it */
    if (pike__over(now, p->written_ms, p->keepalive_ms + PIKE__ANSWER_MS) &&
        pike__over(now, p->read_ms, p->keepalive_ms + PIKE__ANSWER_MS))
      pike__lost(p, "not read");
  } else if (!p->pinged && (silent || overdue) && pike__small(p, PIKE__PING, 0, true)) {
    p->pinged = true;
    p->pinged_ms = now;
  }
}

static uint32_t pike__wait(const struct pike *p, uint64_t now)
{
  uint64_t at = now + PIKE__HOUR_MS, other;
  if (p->state == PIKE_WAITING) at = p->wake_ms;
  else if (p->state == PIKE_CONNECTING) at = now + 50;
  else if (p->state == PIKE_CLOSING) at = p->since_ms + PIKE__CLOSE_MS;
  else if (p->state < PIKE_OPEN) at = p->since_ms + PIKE__WELCOME_MS;
  else if (p->state == PIKE_OPEN) {
    at = p->written_ms + p->keepalive_ms + (p->tx_length > p->tx_sent ? PIKE__ANSWER_MS : 0);
    other = p->uplink_ms > p->read_ms ? p->uplink_ms : p->read_ms;
    if (p->pinged) other = p->pinged_ms;
    if ((p->pinged || (p->sent > 0 && !p->goaway)) && other + PIKE__ANSWER_MS < at)
      at = other + PIKE__ANSWER_MS;
    if (p->current_late && at > now + 1000) at = now + 1000; /* its refusal waits for a place */
  }
  return at > now ? pike__at_most(at - now) : 0;
}

uint32_t pike_step(struct pike *p)
{
  const struct pike_config *c = p->config;
  uint64_t now = pike__now(p);
  if (p->state == PIKE_WAITING && now >= p->wake_ms) {
    p->state = PIKE_CONNECTING;
    p->since_ms = now;
  }
  if (p->state == PIKE_CONNECTING) {
    int connected = c->connect(c->context, p->endpoint[0] == 0 ? NULL : p->endpoint);
    p->goaway = false;
    if (connected > 0) pike__greet(p);
    else if (connected < 0) pike__lost(p, "no answer");
    else if (pike__over(now, p->since_ms, PIKE__CONNECT_MS)) pike__lost(p, "no answer");
  }
  if (p->state >= PIKE_GREETING && p->state <= PIKE_CLOSING) pike__read(p);
  if (p->state == PIKE_OPEN) {
    pike__refuse_late(p);
    pike__release(p);
  }
  if (p->state >= PIKE_GREETING && p->state <= PIKE_CLOSING) pike__write(p);
  now = pike__now(p);
  if ((p->state == PIKE_GREETING || p->state == PIKE_PROVING) &&
      pike__over(now, p->since_ms, PIKE__WELCOME_MS))
    pike__lost(p, "no WELCOME");
  if (p->state == PIKE_OPEN) {
    pike__watch(p, now);
    if (p->state == PIKE_OPEN) pike__write(p);
  }
  if (p->state == PIKE_CLOSING &&
      (p->tx_sent == p->tx_length || pike__over(now, p->since_ms, PIKE__CLOSE_MS)))
    pike__leave(p, p->tx_sent != p->tx_length, -1, 0, "", 0);
  return pike__wait(p, now);
}

bool pike_sending(const struct pike *p)
{
  return p->state == PIKE_CONNECTING || p->tx_sent < p->tx_length;
}

int pike_init(struct pike *p, const struct pike_config *c)
{
  static const uint8_t nonce[12] = {0};
  size_t hello;
  memset(p, 0, sizeof *p);
  p->config = c;
  if (c->rx_size < 256 + PIKE_RX_SPARE || c->tx_size < 128 ||
      c->image_size < PIKE_IMAGE_HEAD + 2 * PIKE_REPLY_ROOM || c->keys == NULL)
    return PIKE_BAD_ARGUMENT;
  if (!pike__load(p)) {
    memset(p, 0, sizeof *p);
    p->config = c;
    pike__number_anew(p);
  }
  /* The longest HELLO there will be, and the challenge behind it (see pike__prove). */
  hello = pike__hello(c->tx, c->tx_size, c, 4, nonce, &p->kept, 1, 0);
  if (hello == 0 || hello + 16 + 15 > c->tx_size) return PIKE_BAD_ARGUMENT;
  p->state = PIKE_WAITING;
  return PIKE_OK;
}

void pike_stop(struct pike *p)
{
  p->closing_for_good = true;
  if (p->state == PIKE_OPEN) pike__refuse(p, PIKE__NORMAL, "");
  else if (p->state != PIKE_STOPPED && p->state != PIKE_CLOSING)
    pike__leave(p, true, -1, 0, "", 0);
}

void pike_start(struct pike *p)
{
  if (p->state != PIKE_STOPPED) return;
  p->closing_for_good = false;
  p->failures = 0;
  p->goaway = false;
  p->state = PIKE_WAITING;
  p->wake_ms = pike__now(p);
}

#endif /* PIKE_IMPLEMENTED */
#endif /* PIKE_IMPLEMENTATION */
