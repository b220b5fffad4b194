/*
 * A server as the document has it, a device, and a link between them that is cut at any moment:
 * model seed count. In each life the device loses its power a few times; at its end
 *
 *   - every command was acted on once, or refused as late and never acted on; acting twice needs a
 *     power cut (or a store that failed) between acting and what was stored of it;
 *   - nothing was acted on after its deadline, nothing acknowledged (by ACK, REPLY or HELLO) that was
 *     neither acted on nor refused;
 *   - every event taken by pike_event is kept once, in order.
 */
#include "fake.h"

#define COMMANDS 12
#define EVENTS 20

static struct {
  uint64_t deadline;
  unsigned acted, excused, replies;
  bool acknowledged, refused, sent;
} commands[COMMANDS + 1];                     /* by offset, from 1; four to an epoch */
static uint32_t uplink_epoch;                 /* the server's: of what it kept */
static uint64_t uplink_kept;
static unsigned events_taken, events_kept;    /* numbered from 1 in their payload */
static uint8_t up[100000];                    /* on its way to the server */
static size_t up_length;
static uint32_t server_epoch, welcome_epoch;  /* of the COMMANDs to come; of WELCOME */
static uint64_t acked_due;
static enum { NOBODY, CHALLENGED, WELCOMED } server;
static uint64_t in_flight, welcomed_ms;
static struct pike_id hand;
static uint64_t hand_deadline;
static bool hand_acted;
static const char *wrong;
static unsigned long cuts, lates;

static uint64_t chance;
static uint32_t below(uint32_t bound)
{
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return (uint32_t)(chance >> 32) % bound;
}

static uint32_t epoch_of(uint64_t offset) { return (uint32_t)(20 - (offset - 1) / 4 * 3); }
static void do_kept(void *c, uint64_t up_to) { (void)c, (void)up_to; }
static void do_said(const char *what, const char *more) { (void)what, (void)more; }
static void do_state(void *c, enum pike_state state, int code, const char *text, size_t length)
{
  (void)c, (void)state;
  if (code < 192) return;
  wrong = "the client says that the server breaks the rules";
  printf("%d %.*s\n", code, (int)length, text);
}

static void do_sent(const uint8_t *octets, size_t length)
{
  if (up_length + length > sizeof up) return;
  memcpy(up + up_length, octets, length);
  up_length += length;
}

static void do_command(void *c, const struct pike_command *m)
{
  (void)c;
  hand = m->id;
  hand_deadline = m->deadline_ms;
  hand_acted = false;
}

/* ---- the server ---- */

static void acknowledged(uint64_t up_to)
{
  for (uint64_t i = 1; i <= up_to && i <= COMMANDS; i++) {
    if (commands[i].acted == 0 && !commands[i].refused) wrong = "acknowledged, and nothing was done";
    commands[i].acknowledged = true;
  }
}

static void on_hello(struct pike__in *in)
{
  uint64_t epoch, offset = 0, uplink;
  size_t length;
  uint8_t challenge[15];
  (void)pike__any(in);
  (void)pike__any(in);
  for (int i = 0; i < 3; i++) (void)pike__text(in, &length);
  (void)pike__octets(in, pike__any(in));
  epoch = pike__any(in);
  if (epoch != 0) offset = pike__any(in);
  uplink = pike__any(in);
  if (uplink_epoch != uplink) {
    uplink_epoch = (uint32_t)uplink;
    uplink_kept = 0;
  }
  if (offset > 0 && epoch_of(offset) == epoch) acknowledged(offset);
  server = CHALLENGED;
  feed(challenge, get_hex("200d00101112131415161718191a1b", challenge));
}

static uint64_t head_of_mailbox(void)
{
  uint64_t head = 1;
  while (head <= COMMANDS && commands[head].acknowledged) head++;
  return head;
}

static void say_welcome(void)
{
  uint64_t head = head_of_mailbox();
  unsigned long long n[9] = {1, epoch_of(head), head - 1, uplink_kept, 240, 65536, 1 + below(3), 0, 0};
  server_epoch = welcome_epoch = epoch_of(head);
  server = WELCOMED;
  in_flight = 0;
  acked_due = 0;
  welcomed_ms = now_ms;
  welcome(n);
}

static void on_uplink(unsigned head, struct pike__in *in)
{
  uint64_t sequence = pike__any(in);
  bool again = sequence <= uplink_kept;
  acked_due = sequence;
  if (!again) uplink_kept = sequence;
  if (head >> 4 == PIKE__EVENT) {
    if (!again && in->at[in->left - 1] != ++events_kept) wrong = "an event lost, twice or out of order";
  } else {
    uint32_t epoch = (head & 2u) != 0 ? (uint32_t)pike__any(in) : welcome_epoch;
    uint64_t offset = pike__any(in);
    if (epoch != epoch_of(offset)) wrong = "a reply to another epoch";
    if (offset < 1 || offset > COMMANDS) wrong = "a reply to nothing";
    else {
      if (!again) commands[offset].replies++;
      if (in->at[0] == PIKE_REJECTED) commands[offset].refused = true;
      else if (commands[offset].acted == 0) wrong = "done, says the reply, and nothing was";
      commands[offset].acknowledged = true;
      if (offset == in_flight) in_flight = 0;
    }
  }
}

static void serve(void)
{
  size_t at = 0;
  while (at + 2 <= up_length && below(4) != 0) { /* what it has read by now */
    struct pike__in length = {up + at + 1, up_length - at - 1, false}, body;
    uint64_t size = pike__any(&length);
    unsigned head = up[at];
    if (length.bad || size > length.left) break;
    body.at = length.at;
    body.left = (size_t)size;
    body.bad = false;
    at = (size_t)(length.at - up) + (size_t)size;
    if (head == 0xf1) on_hello(&body);
    else if (head == 0x21) say_welcome();
    else if (head >> 4 == PIKE__EVENT || head >> 4 == PIKE__REPLY) on_uplink(head, &body);
    else if (head == PIKE__PING << 4) feed((const uint8_t *)"\x50", 2);
    else if (head == PIKE__ACK << 4) {
      uint64_t offset = pike__any(&body);
      if (offset != in_flight) wrong = "ACK of what was not sent here";
      acknowledged(offset);
      in_flight = 0;
    }
    if (body.bad) wrong = "a frame cut short";
  }
  up_length -= at;
  memmove(up, up + at, up_length);
  if (server != WELCOMED) return;
  if (acked_due != 0 && below(3) == 0) {
    uint8_t ack[3] = {0x90, 1, (uint8_t)acked_due};
    feed(ack, 3);
    acked_due = 0;
  }
  if (in_flight == 0 && head_of_mailbox() <= COMMANDS && below(3) == 0) {
    uint8_t frame[40];
    struct pike__out out = {frame + 2, sizeof frame - 2, false};
    uint64_t head = head_of_mailbox(), deadline = commands[head].deadline;
    if (epoch_of(head) != server_epoch) {
      uint8_t epoch[3] = {0x10, 1, (uint8_t)epoch_of(head)};
      feed(epoch, 3);
      server_epoch = epoch_of(head);
    }
    pike__put_number(&out, head);
    pike__put_number(&out, deadline > welcomed_ms ? deadline - welcomed_ms : 0);
    pike__put_number(&out, 16);
    pike__put(&out, "open", 4);
    frame[0] = (uint8_t)(0x60 | (commands[head].sent ? 4 : 0));
    frame[1] = (uint8_t)(out.at - frame - 2);
    feed(frame, (size_t)(out.at - frame));
    commands[head].sent = true;
    in_flight = head;
  }
}

/* ---- the device ---- */

static void act(void)
{
  if (hand.epoch != 0 && below(3) == 0) {
    uint64_t offset = hand.offset;
    bool late = !hand_acted && pike_late(&pike, hand_deadline);
    int result;
    if (!late && !hand_acted) {
      if (now_ms >= commands[offset].deadline) wrong = "acted on after its deadline";
      if (++commands[offset].acted > 1 + commands[offset].excused) wrong = "acted on twice";
      hand_acted = true;
    }
    if (late) result = pike_reply(&pike, hand, PIKE_REJECTED, "late", NULL, 0, 0);
    else if (offset % 3 == 0) result = pike_ack(&pike, hand);
    else result = pike_reply(&pike, hand, PIKE_DONE, NULL, "{}", 2, 0);
    if (result == PIKE_OK) hand.epoch = 0;
  }
  if (events_taken < EVENTS && below(6) == 0) {
    uint8_t number = (uint8_t)(events_taken + 1);
    if (pike_event(&pike, "e", &number, 1, PIKE_BYTES, NULL) == PIKE_OK) events_taken++;
  }
}

static void cut(void)
{
  cuts++;
  lost = true;
  up_length = 0;
  server = NOBODY;
}

static void live(void)
{
  unsigned steps = 0;
  memset(commands, 0, sizeof commands);
  for (unsigned i = 1; i <= COMMANDS; i++) commands[i].deadline = now_ms + (below(3) == 0 ? below(4000) : 900000);
  uplink_epoch = 0;
  events_taken = events_kept = 0;
  uplink_kept = 0;
  stored_length = 0;
  up_length = 0;
  server = NOBODY;
  hand.epoch = 0;
  power();
  for (; wrong == NULL && steps < 5000; steps++) {
    bool rough = steps < 400; /* then it is left in peace to finish */
    if (!rough && head_of_mailbox() > COMMANDS && events_kept == EVENTS && pike.count == 0) break;
    now_ms += below(60);
    broken = rough && below(8) == 0;
    full = rough && below(8) == 0;
    (void)pike_step(&pike);
    act();
    serve();
    if (rough && below(40) == 0) cut();
    if (rough && below(100) == 0) {
      /* Acting and storing are two steps: what was acted on and not stored may come again. */
      if (hand.epoch != 0 && hand_acted) commands[hand.offset].excused++;
      hand.epoch = 0;
      cut();
      power();
    }
    if (pike.state < PIKE_GREETING) {
      server = NOBODY;
      up_length = 0;
    }
    if (pike.state == PIKE_STOPPED) wrong = "stopped";
  }
  if (wrong == NULL && steps == 5000) wrong = "does not come to its end";
  for (unsigned i = 1; i <= COMMANDS && wrong == NULL; i++) {
    if (commands[i].acted == 0 && !commands[i].refused) wrong = "neither acted on nor refused";
    if (commands[i].acted > 0 && commands[i].refused && commands[i].excused == 0) wrong = "acted on and refused";
    if (commands[i].replies > 1 + commands[i].excused) wrong = "replied twice";
    if (commands[i].refused) lates++;
  }
}

int main(int count, char **words)
{
  if (count < 3) return 2;
  unsigned long long seed = strtoull(words[1], NULL, 10);
  unsigned long lives = strtoul(words[2], NULL, 10);
  config.device = "SZ-0042";
  strcpy(device, "SZ-0042");
  config.hmac_sha256 = do_hmac;
  config.sha256 = do_sha;
  (void)pike_derive_keys(&keys, &config, "J7tYq0m3Vb2kXw9RfLhN5sPzA1c");
  for (unsigned long i = 0; i < lives && wrong == NULL; i++) {
    chance = seed + i * 0x9e3779b97f4a7c15u + 1;
    now_ms = 1000;
    live();
    if (wrong != NULL) printf("seed %llu life %lu: %s\n", seed, i, wrong);
  }
  printf("lived %lu cuts %lu late %lu\n", lives, cuts, lates);
  return wrong == NULL ? 0 : 1;
}
