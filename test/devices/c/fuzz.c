/*
 * A server gone wrong: fuzz seed count. Whatever it says, pike.h reads only what came, hands nothing
 * on late or twice, and keeps to its buffers.
 */
#include "fake.h"

/* What was handed on, and must not be again. */
#define SEEN_MAX 256
static struct pike_id seen[SEEN_MAX], hand;
static unsigned seen_count;
static const char *wrong;
static unsigned long opened, handed;

static void do_sent(const uint8_t *octets, size_t length)
{
  (void)octets;
  (void)length;
}

static void do_said(const char *what, const char *more)
{
  (void)what;
  (void)more;
}

static void do_command(void *c, const struct pike_command *m)
{
  volatile uint8_t sum = 0;
  (void)c;
  for (unsigned i = 0; i < seen_count; i++)
    if (seen[i].epoch == m->id.epoch && seen[i].offset == m->id.offset) wrong = "acted on twice";
  if (now_ms >= m->deadline_ms) wrong = "handed on late";
  if (hand.epoch != 0) wrong = "handed on while another is in hand";
  for (size_t i = 0; i < m->payload_length; i++) sum = (uint8_t)(sum + m->payload[i]);
  hand = m->id;
  handed++;
}

static void do_kept(void *c, uint64_t up_to)
{
  (void)c;
  (void)up_to;
}

static void do_state(void *c, enum pike_state state, int code, const char *text, size_t length)
{
  (void)c;
  (void)code;
  (void)text;
  (void)length;
  if (state == PIKE_OPEN) opened++;
}

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
  for (unsigned long i = 0; i < count && wrong == NULL; i++) {
    chance = seed + i * 0x9e3779b97f4a7c15u + 1;
    seen_count = 0;
    stored_length = 0;
    broken = full = refusing = false;
    now_ms = 1000;
    power();
    hand.epoch = 0;
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
      if (below(60) == 0) {
        power();
        hand.epoch = 0;
      }
      if (pike.tx_length > sizeof tx || pike.rx_length > sizeof rx ||
          PIKE_IMAGE_HEAD + pike.kept.used > sizeof image)
        wrong = "more than a buffer holds";
    }
    if (wrong != NULL) printf("seed %llu case %lu: %s\n", seed, i, wrong);
  }
  printf("fuzzed %lu opened %lu handed %lu\n", count, opened, handed);
}

int main(int count, char **words)
{
  if (count < 3) return 2;
  config.device = "SZ-0042";
  strcpy(device, "SZ-0042");
  config.hmac_sha256 = do_hmac;
  config.sha256 = do_sha;
  (void)pike_derive_keys(&keys, &config, "J7tYq0m3Vb2kXw9RfLhN5sPzA1c");
  fuzz(strtoull(words[1], NULL, 10), strtoul(words[2], NULL, 10));
  return wrong == NULL ? 0 : 1;
}
