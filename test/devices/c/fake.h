/*
 * The world of pike.h in these tests: a socket, a clock, a storage and keys, all in memory. The
 * program that includes it says what happens in on_command, on_kept and on_state.
 */
#ifndef FAKE_H
#define FAKE_H
#include <stdio.h>
#include <stdlib.h>

#include "sha256.h"
#define PIKE_IMPLEMENTATION
#include "pike.h"

static struct pike pike;
static struct pike_config config;
static struct pike_keys keys;
static uint8_t rx[1088], tx[512], image[1024], stored[1024];
static size_t stored_length;
static uint8_t incoming[200000];
static size_t in_length, in_at;
static bool connected, refusing, lost, full, broken;
static uint64_t now_ms;
static uint8_t next_random;
static char app[200], device[200];

static void do_command(void *c, const struct pike_command *m);
static void do_kept(void *c, uint64_t up_to);
static void do_state(void *c, enum pike_state state, int code, const char *text, size_t length);
/* What the client sends, and where it went: a program may print or parse it. */
static void do_sent(const uint8_t *octets, size_t length);
static void do_said(const char *what, const char *more);

/* ---- hex ---- */

static size_t get_hex(const char *text, uint8_t *octets)
{
  size_t length = 0;
  unsigned octet;
  if (strcmp(text, "-") == 0) return 0;
  for (; sscanf(text, "%2x", &octet) == 1; text += 2) octets[length++] = (uint8_t)octet;
  return length;
}

/* ---- what the client is given ---- */

static int do_connect(void *c, const char *endpoint)
{
  (void)c;
  if (endpoint != NULL) do_said("to ", endpoint);
  if (refusing) return -1;
  connected = true;
  lost = false;
  in_length = in_at = 0;
  return 1;
}

static int32_t do_send(void *c, const uint8_t *octets, size_t length)
{
  (void)c;
  if (lost) return -1;
  if (full) return 0;
  do_sent(octets, length);
  return (int32_t)length;
}

static int32_t do_recv(void *c, uint8_t *octets, size_t length)
{
  size_t left = in_length - in_at;
  (void)c;
  if (left == 0) return lost ? -1 : 0;
  if (left < length) length = left;
  memcpy(octets, incoming + in_at, length);
  in_at += length;
  return (int32_t)length;
}

static void do_close(void *c, bool reset)
{
  (void)c;
  if (connected) do_said(reset ? "reset" : "close", "");
  connected = false;
}

static uint64_t do_now(void *c)
{
  (void)c;
  return now_ms;
}

static void do_random(void *c, uint8_t *octets, size_t length)
{
  (void)c;
  for (size_t i = 0; i < length; i++) octets[i] = next_random++;
}

static void do_hmac(void *c, const uint8_t *key, size_t key_length, const uint8_t *octets,
                    size_t length, uint8_t out[32])
{
  (void)c;
  hmac_sha256(key, key_length, octets, length, out);
}

static void do_sha(void *c, const uint8_t *octets, size_t length, uint8_t out[32])
{
  (void)c;
  sha256(octets, length, out);
}

static size_t do_load(void *c, uint8_t *octets, size_t capacity)
{
  (void)c;
  if (stored_length > capacity) return 0;
  memcpy(octets, stored, stored_length);
  return stored_length;
}

static bool do_store(void *c, const uint8_t *octets, size_t length)
{
  (void)c;
  if (broken) return false;
  memcpy(stored, octets, length);
  stored_length = length;
  return true;
}

static void power(void)
{
  config.app = app;
  config.device = device;
  config.channel = NULL;
  config.keys = &keys;
  config.rx = rx;
  config.rx_size = sizeof rx;
  config.tx = tx;
  config.tx_size = sizeof tx;
  config.image = image;
  config.image_size = sizeof image;
  config.connect = do_connect;
  config.send = do_send;
  config.recv = do_recv;
  config.close = do_close;
  config.now_ms = do_now;
  config.random = do_random;
  config.hmac_sha256 = do_hmac;
  config.sha256 = do_sha;
  config.load = do_load;
  config.store = do_store;
  config.on_command = do_command;
  config.on_kept = do_kept;
  config.on_state = do_state;
  memset(image, 0xee, sizeof image);
  connected = lost = false;
  in_length = in_at = 0;
  if (pike_init(&pike, &config) != PIKE_OK) printf("init failed\n");
}

static void feed(const uint8_t *octets, size_t length)
{
  if (in_at == in_length) in_at = in_length = 0;
  if (in_length + length > sizeof incoming) return;
  memcpy(incoming + in_length, octets, length);
  in_length += length;
}

static void welcome(const unsigned long long n[9])
{
  uint8_t octets[200];
  struct pike__out out = {octets + 2, sizeof octets - 2, false};
  static const unsigned order[9] = {0, 1, 2, 3, 4, 5, 9, 6, 9};
  pike__put_number(&out, 0);
  pike__put_number(&out, 32);
  pike__put(&out, pike.proof, 32);
  for (unsigned i = 0; i < 9; i++) pike__put_number(&out, order[i] == 9 ? (i == 6 ? 1 : 0) : n[order[i]]);
  pike__put_number(&out, now_ms);
  pike__put_text(&out, "test-1");
  pike__put_number(&out, n[7]);
  pike__put_number(&out, n[8]);
  octets[0] = PIKE__WELCOME << 4;
  octets[1] = (uint8_t)(out.at - octets - 2);
  feed(octets, (size_t)(out.at - octets));
}

#endif /* FAKE_H */
