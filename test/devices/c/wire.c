/*
 * pike.h on a wire and a clock made of lines, for test/devices/c.test.ts: what comes on standard
 * input is done, what the client does comes out. Octets are hex, `-` is nothing.
 *
 *     keys app device secret | root app device root | proof hello challenge
 *     decode hex [frame-max]                     > frame … | refused code | more
 *     hello capabilities app device channel nonce epoch offset uplink min max frame window names
 *     start [stretched]                          a client with nothing in its storage
 *     power                                      a power cut: the same, with what was stored
 *     welcome resumed epoch offset kept keepalive frame-max uplink-window base max
 *     rx hex | lose | tick ms | step             > tx hex, command …, kept n, state …
 *     event name hex flags | reply epoch offset status reason hex flags | ack epoch offset | stop
 *     full 0|1 | broken 0|1                      the socket takes nothing; the storage refuses
 *     fuzz seed count                            > fuzzed count opened n handed n
 */
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
static bool connected, refusing, lost, full, broken, quiet;
static uint64_t now_ms;
static uint8_t next_random;
static char app[200], device[200], secret[200];

/* ---- hex ---- */

static void put_hex(const char *before, const uint8_t *octets, size_t length)
{
  printf("%s", before);
  for (size_t i = 0; i < length; i++) printf("%02x", octets[i]);
  if (length == 0) printf("-");
}

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
  if (endpoint != NULL && !quiet) printf("to %s\n", endpoint);
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
  if (!quiet) {
    put_hex("tx ", octets, length);
    printf("\n");
  }
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
  if (connected && !quiet) printf("%s\n", reset ? "reset" : "close");
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

/* ---- fuzz: what was handed on, and must not be again ---- */

#define SEEN_MAX 256
static struct pike_id seen[SEEN_MAX], hand;
static unsigned seen_count;
static const char *wrong;
static unsigned long opened, handed;

static void do_command(void *c, const struct pike_command *m)
{
  (void)c;
  if (quiet) {
    volatile uint8_t sum = 0;
    for (unsigned i = 0; i < seen_count; i++)
      if (seen[i].epoch == m->id.epoch && seen[i].offset == m->id.offset) wrong = "acted on twice";
    if (now_ms >= m->deadline_ms) wrong = "handed on late";
    if (hand.epoch != 0) wrong = "handed on while another is in hand";
    for (size_t i = 0; i < m->payload_length; i++) sum = (uint8_t)(sum + m->payload[i]);
    hand = m->id;
    handed++;
    return;
  }
  printf("command %lu %llu deadline %llu %.*s %s%s%s%s", (unsigned long)m->id.epoch,
         (unsigned long long)m->id.offset, (unsigned long long)m->deadline_ms,
         (int)m->name_length, m->name, m->bytes ? "b" : "j", m->reply_expected ? "e" : "",
         m->now ? "n" : "", m->repeated ? "r" : "");
  put_hex(" ", m->payload, m->payload_length);
  printf("\n");
}

static void do_kept(void *c, uint64_t up_to)
{
  (void)c;
  if (!quiet) printf("kept %llu\n", (unsigned long long)up_to);
}

static void do_state(void *c, enum pike_state state, int code, const char *text, size_t length)
{
  static const char *const names[] = {"waiting", "connecting", "greeting", "proving",
                                      "open",    "closing",    "stopped"};
  (void)c;
  if (state == PIKE_OPEN) opened++;
  if (!quiet)
    printf("state %s %d %llu %.*s\n", names[state], code,
           (unsigned long long)(pike.wake_ms > now_ms ? pike.wake_ms - now_ms : 0), (int)length, text);
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
  hand.epoch = 0;
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

static void show_decoded(const uint8_t *octets, size_t length, size_t frame_max)
{
  struct pike__frame f;
  /* Of exactly this size, so that a read past what came is caught. */
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  int32_t result;
  memcpy(copy, octets, length);
  result = pike__decode(copy, length, frame_max, &f);
  if (result < 0) {
    printf("refused %d\n", -result);
  } else if (result == 0) {
    printf("more\n");
  } else {
    printf("frame length %d type %u flags %u channel %ld number %llu offset %llu deadline %llu "
           "after %llu kept %llu keepalive %llu frameMax %llu uplinkWindow %llu base %llu max %llu "
           "capabilities %llu bytes %d",
           result, f.type, f.flags, f.on_channel ? (long)f.channel : -1L,
           (unsigned long long)f.number, (unsigned long long)f.offset,
           (unsigned long long)f.deadline, (unsigned long long)f.after, (unsigned long long)f.kept,
           (unsigned long long)f.keepalive_s, (unsigned long long)f.frame_max,
           (unsigned long long)f.uplink_window, (unsigned long long)f.base_ms,
           (unsigned long long)f.max_ms, (unsigned long long)f.capabilities, f.bytes);
    put_hex(" text ", (const uint8_t *)f.text, f.text_length);
    put_hex(" rest ", f.rest, f.rest_length);
    printf("\n");
  }
  free(copy);
}

/* ---- fuzz ---- */

static uint64_t chance;
static uint32_t below(uint32_t bound)
{
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return (uint32_t)(chance >> 32) % bound;
}

static size_t some_frame(uint8_t *at)
{
  static const char *const texts[] = {"4000", "5000", "5002ac02", "900102", "9000",
                                      "b0258001b0ea010e612e6578616d706c653a37343530020e622e6578616d706c653a3734353001",
                                      "c003000000", "c80400410000", "d003aabbcc", "200d00101112131415161718191a1b",
                                      "1005effdb6f50d", "7003010461"};
  uint8_t body[300];
  struct pike__out out = {body, sizeof body, false};
  if (below(3) != 0) { /* a command, more or less next */
    pike__put_number(&out, pike.received + below(4));
    pike__put_number(&out, now_ms - pike.zero_ms + below(2000));
    pike__put_number(&out, 4 * 4);
    pike__put(&out, "open", 4);
    for (unsigned n = below(200); n > 0; n--) pike__put_octet(&out, below(256));
    at[0] = (uint8_t)(PIKE__COMMAND << 4 | below(8));
    {
      struct pike__out head = {at + 1, 4, false};
      pike__put_number(&head, (size_t)(out.at - body));
      memcpy(head.at, body, (size_t)(out.at - body));
      return (size_t)(head.at - at) + (size_t)(out.at - body);
    }
  }
  if (below(4) == 0) { /* another numbering, of three */
    at[0] = PIKE__EPOCH << 4;
    at[1] = 1;
    at[2] = (uint8_t)(1 + below(3));
    return 3;
  }
  return get_hex(texts[below(sizeof texts / sizeof texts[0])], at);
}

static void settle(bool done)
{
  if (hand.epoch == 0) return;
  if ((done ? pike_reply(&pike, hand, PIKE_DONE, NULL, "{}", 2, 0) : pike_ack(&pike, hand)) != PIKE_OK)
    return;
  if (seen_count < SEEN_MAX) seen[seen_count++] = hand;
  hand.epoch = 0;
}

static void fuzz(unsigned long long seed, unsigned long count)
{
  static const char challenge[] = "200d00101112131415161718191a1b";
  uint8_t octets[1000];
  quiet = true;
  for (unsigned long i = 0; i < count && wrong == NULL; i++) {
    chance = seed + i * 0x9e3779b97f4a7c15u + 1;
    seen_count = 0;
    stored_length = 0;
    broken = full = refusing = false;
    now_ms = 1000;
    power();
    for (unsigned steps = 20 + below(60); steps > 0 && wrong == NULL; steps--) {
      unsigned long long n[9] = {below(3), 1 + below(3), below(6), below(4), 240, 65536, 64, below(2000), 0};
      size_t length = 0;
      now_ms += below(8) == 0 ? below(70000) : below(50);
      (void)pike_step(&pike);
      if (pike.state == PIKE_GREETING && below(8) != 0) length = get_hex(challenge, octets);
      else if (pike.state == PIKE_PROVING && below(8) != 0) welcome(n);
      else if (pike.state > PIKE_CONNECTING) {
        for (unsigned frames = 1 + below(3); frames > 0; frames--) length += some_frame(octets + length);
        if (below(4) == 0) octets[below((uint32_t)length)] ^= (uint8_t)(1u << below(8));
        if (below(8) == 0) length = below((uint32_t)length + 1);
        if (below(30) == 0)
          for (size_t k = 0; k < length; k++) octets[k] = (uint8_t)below(256);
      }
      feed(octets, length);
      full = below(6) == 0;
      broken = below(10) == 0;
      if (below(3) == 0) settle(below(2) == 0);
      if (below(6) == 0) (void)pike_event(&pike, "e", octets, below(300), below(4), NULL);
      if (below(40) == 0) lost = true;
      (void)pike_step(&pike);
      if (pike.state == PIKE_STOPPED) pike_start(&pike);
      if (below(60) == 0) power();
      if (pike.tx_length > sizeof tx || pike.rx_length > sizeof rx ||
          PIKE_IMAGE_HEAD + pike.kept.used > sizeof image)
        wrong = "more than a buffer holds";
    }
    if (wrong != NULL) printf("seed %llu case %lu: %s\n", seed, i, wrong);
  }
  printf("fuzzed %lu opened %lu handed %lu\n", count, opened, handed);
  quiet = false;
}

int main(void)
{
  static char line[140000], word[14][100000];
  static uint8_t octets[70000], more[70000];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int words = sscanf(line, "%99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s %99999s",
                       word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
                       word[8], word[9], word[10], word[11], word[12], word[13]);
    unsigned long long n[14] = {0};
    for (int i = 1; i < words; i++) n[i] = strtoull(word[i], NULL, 10);
    if (words < 1) continue;
#define IS(name, least) (strcmp(word[0], name) == 0 && words > least)
    if (IS("keys", 3) || IS("root", 3)) {
      snprintf(app, sizeof app, "%.199s", strcmp(word[1], "-") == 0 ? "" : word[1]);
      snprintf(device, sizeof device, "%.199s", word[2]);
      snprintf(secret, sizeof secret, "%.199s", word[3]);
      config.app = app;
      config.device = device;
      config.hmac_sha256 = do_hmac;
      config.sha256 = do_sha;
      if (word[0][0] == 'r') {
        (void)get_hex(word[3], octets);
        pike_keys_from_root(&keys, &config, octets);
      } else if (pike_derive_keys(&keys, &config, secret) != PIKE_OK) {
        printf("weak\n");
        continue;
      }
      put_hex("keys ", keys.client, 32);
      put_hex(" ", keys.stored, 32);
      put_hex(" ", keys.server, 32);
      printf("\n");
    } else if (IS("proof", 2)) {
      uint8_t signature[32], proof[32];
      size_t length = get_hex(word[1], octets);
      length += get_hex(word[2], octets + length);
      hmac_sha256(keys.stored, 32, octets, length, signature);
      hmac_sha256(keys.server, 32, octets, length, proof);
      for (int i = 0; i < 32; i++) signature[i] ^= keys.client[i];
      put_hex("proof ", signature, 32);
      put_hex(" ", proof, 32);
      printf("\n");
    } else if (IS("decode", 1)) {
      show_decoded(octets, get_hex(word[1], octets), words > 2 ? (size_t)n[2] : 65536);
    } else if (IS("hello", 13)) {
      struct pike_config c = config;
      struct pike_durable kept = {0};
      c.app = strcmp(word[2], "-") == 0 ? NULL : word[2];
      c.device = word[3];
      c.channel = word[4];
      (void)get_hex(word[5], more);
      kept.position.epoch = (uint32_t)n[6];
      kept.position.offset = n[7];
      kept.uplink_epoch = (uint32_t)n[8];
      c.keepalive_min_s = (uint32_t)n[9];
      c.keepalive_max_s = (uint32_t)n[10];
      c.rx_size = (size_t)n[11] + PIKE_RX_SPARE;
      put_hex("hello ", octets, pike__hello(octets, sizeof octets, &c, (unsigned)n[1], more, &kept, n[12], n[13]));
      printf("\n");
    } else if (IS("start", 0)) {
      stored_length = 0;
      next_random = 0;
      config.stretched = words > 1;
      power();
    } else if (IS("power", 0)) {
      power();
    } else if (IS("welcome", 9)) {
      welcome(n + 1);
    } else if (IS("rx", 1)) {
      feed(octets, get_hex(word[1], octets));
    } else if (IS("lose", 0)) {
      lost = true;
    } else if (IS("full", 1)) {
      full = n[1] != 0;
    } else if (IS("broken", 1)) {
      broken = n[1] != 0;
    } else if (IS("refusing", 1)) {
      refusing = n[1] != 0;
    } else if (IS("tick", 1)) {
      now_ms += n[1];
    } else if (IS("step", 0)) {
      printf("wait %lu\n", (unsigned long)pike_step(&pike));
    } else if (IS("event", 3)) {
      uint64_t sequence = 0;
      size_t length = get_hex(word[2], octets);
      int result = pike_event(&pike, word[1], octets, length, (unsigned)n[3], &sequence);
      printf("event %d %llu\n", result, (unsigned long long)sequence);
    } else if (IS("reply", 6)) {
      struct pike_id id = {n[2], (uint32_t)n[1]};
      size_t length = get_hex(word[5], octets);
      printf("reply %d\n", pike_reply(&pike, id, (enum pike_status)n[3],
                                      strcmp(word[4], "-") == 0 ? NULL : word[4], octets, length,
                                      (unsigned)n[6]));
    } else if (IS("ack", 2)) {
      struct pike_id id = {n[2], (uint32_t)n[1]};
      printf("ack %d\n", pike_ack(&pike, id));
    } else if (IS("stop", 0)) {
      pike_stop(&pike);
    } else if (IS("fuzz", 2)) {
      fuzz(n[1], (unsigned long)n[2]);
    } else {
      printf("what? %s", line);
    }
  }
  return wrong == NULL ? 0 : 1;
}
