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
 */
#include "fake.h"

static void put_hex(const char *before, const uint8_t *octets, size_t length)
{
  printf("%s", before);
  for (size_t i = 0; i < length; i++) printf("%02x", octets[i]);
  if (length == 0) printf("-");
}

static void do_sent(const uint8_t *octets, size_t length)
{
  put_hex("tx ", octets, length);
  printf("\n");
}

static void do_said(const char *what, const char *more)
{
  printf("%s%s\n", what, more);
}

static void do_command(void *c, const struct pike_command *m)
{
  (void)c;
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
  printf("kept %llu\n", (unsigned long long)up_to);
}

static void do_state(void *c, enum pike_state state, int code, const char *text, size_t length)
{
  static const char *const names[] = {"waiting", "connecting", "greeting", "proving",
                                      "open",    "closing",    "stopped"};
  (void)c;
  printf("state %s %d %llu %.*s\n", names[state], code,
         (unsigned long long)(pike.wake_ms > now_ms ? pike.wake_ms - now_ms : 0), (int)length, text);
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
           (unsigned long long)(f.type == PIKE__WELCOME ? f.welcome[PIKE__IN_EPOCH] : f.number),
           (unsigned long long)(f.type == PIKE__WELCOME ? f.welcome[PIKE__OFFSET] : f.offset),
           (unsigned long long)f.deadline, (unsigned long long)f.after, (unsigned long long)f.welcome[PIKE__KEPT],
           (unsigned long long)f.welcome[PIKE__KEEPALIVE_S], (unsigned long long)f.welcome[PIKE__FRAME_MAX],
           (unsigned long long)f.welcome[PIKE__UPLINK_WINDOW], (unsigned long long)f.base_ms,
           (unsigned long long)f.max_ms, (unsigned long long)f.capabilities, f.bytes);
    put_hex(" text ", (const uint8_t *)f.text, f.text_length);
    put_hex(" rest ", f.rest, f.rest_length);
    printf("\n");
  }
  free(copy);
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
            config.app = app;
      config.device = device;
      config.hmac_sha256 = do_hmac;
      config.sha256 = do_sha;
      if (word[0][0] == 'r') {
        (void)get_hex(word[3], octets);
        pike_keys_from_root(&keys, &config, octets);
      } else if (pike_derive_keys(&keys, &config, word[3]) != PIKE_OK) {
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
    } else {
      printf("what? %s", line);
    }
  }
  return 0;
}
