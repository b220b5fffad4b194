"""A Pike/1 client: standard library only, Python 3.9 or newer, written from docs/pike-protocol.md.

    python3 pike.py host port device secret [state-file]         a small parcel locker

    pike = Pike(host, port, device, secret, 'SZ-0042.state')
    pike.event('door-opened', b'{"door":7}')                     any time, from any thread
    pike.run(act)                                                until it is told not to come back

`act(command)` runs in a thread of its own, one command at a time. It returns (status, reason or None,
payload), or None: it needs no reply. Position and outbox are in the state file before anything leaves
that relies on them, so a command comes twice only when we died between acting and the end of `act`.
"""
import hashlib, hmac, json, os, random, re, select, socket, sys, threading, time
from collections import namedtuple

DONE, FAILED, REJECTED = 0, 1, 2
EPOCH, AUTH, WELCOME, PING, PONG, COMMAND, EVENT, REPLY, ACK, GOAWAY, CLOSE, HELLO = 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15
OUTBOX_MAX, FRAME_MAX, ANSWER_S, HAND_MAX = 1000, 65536, 10, 16
Command = namedtuple('Command', 'epoch offset deadline name payload bytes expected now repeated')

class Lost(Exception): pass                             # and the reason
class Closed(Exception): pass                           # code, come back after (s), text

def number(n):                                          # section 1
    out = b''
    while n > 127: out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])

def text(s): return number(len(s.encode())) + s.encode()
def frame(type, flags=0, body=b''): return bytes([type << 4 | flags]) + number(len(body)) + body
def mac(key, data): return hmac.new(key, data, hashlib.sha256).digest()
def clock(): return time.clock_gettime(getattr(time, 'CLOCK_BOOTTIME', time.CLOCK_MONOTONIC))   # goes on in sleep

class Fields:                                           # of a frame, read from the front
    def __init__(self, octets): self.left = octets
    def number(self):
        n = 0
        for i, octet in enumerate(self.left[:8]):
            n |= (octet & 127) << 7 * i
            if octet < 128 and (i == 0 or octet > 0) and n < 1 << 53:
                self.left = self.left[i + 1:]
                return n
        raise Lost('malformed: a number')
    def octets(self, length):
        if length > len(self.left): raise Lost('malformed: past the end')
        out, self.left = self.left[:length], self.left[length:]
        return out
    def text(self, length=None): return self.octets(self.number() if length is None else length).decode()

class Pike:
    def __init__(self, host, port, device, secret, state=None, app='', channel='main', log=print):
        self.home = self.at = (host, int(port))
        self.names, self.path, self.log = (app, device, channel), state, log
        salt, key = f'pike/1 {app or "default"}/{device}'.encode(), secret.encode()        # section 4
        self.weak = not re.fullmatch(r'[0-9A-Fa-f]{32,}|[A-Za-z0-9_+/=-]{22,}', secret)
        root = hashlib.scrypt(key, salt=salt, n=16384, r=8, p=1, maxmem=1 << 26, dklen=32) if self.weak \
            else mac(mac(salt, key), b'pike/1 root\x01')
        self.client, self.server = mac(root, b'client key'), mac(root, b'server key')
        self.lock, self.hands, self.open, self.failures, self.sent, self.ack = threading.RLock(), threading.Lock(), False, 0, 0, 0
        self.link, self.inhand = None, {}
        self.kept = dict(epoch=self.anew(), sequence=0, outbox=[], position=None, settled=None, late=0, acted=[])
        if state and os.path.exists(state):
            with open(state) as file: self.kept = json.load(file)

    def anew(self): return random.SystemRandom().randrange(1, 1 << 32)

    def store(self):
        if not self.path: return
        with open(self.path + '.new', 'w') as file: json.dump(self.kept, file); file.flush(); os.fsync(file.fileno())
        os.replace(self.path + '.new', self.path)
        folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
        os.fsync(folder); os.close(folder)

    # ---- up: section 8

    def event(self, name, payload=b'', is_bytes=False):
        """Reliable, and stored when this returns: its sequence, or None when the outbox is full."""
        with self.lock:
            if len(self.kept['outbox']) >= OUTBOX_MAX: return None
            return self.uplink(EVENT, 0, 0, 0, number(len(name.encode()) * 4 + 2 * is_bytes) + name.encode() + payload)

    def uplink(self, type, flags, epoch, offset, rest):
        self.kept['sequence'] += 1
        self.kept['outbox'].append([self.kept['sequence'], type, flags, epoch, offset, rest.hex()])
        self.store(); self.flush()
        return self.kept['sequence']

    def flush(self):                                    # as far as the window goes; then the acknowledgement
        with self.lock:
            if not self.open or self.spread is not None: return
            try:
                for sequence, type, flags, epoch, offset, rest in self.kept['outbox'][self.sent:self.window]:
                    other = epoch not in (0, self.welcomed)
                    self.send(frame(type, flags | 2 * other, number(sequence) + number(epoch) * other + bytes.fromhex(rest)))
                    self.sent, self.uplinked = self.sent + 1, clock()
                unsent = self.kept['outbox'][self.sent:]
                if self.ack and not (unsent and self.kept['late'] >= unsent[0][0]):  # nothing overtakes a refusal as late
                    self.send(frame(ACK, 0, number(self.ack))); self.ack = 0
            except Lost: self.shut()                    # it is in the outbox: `run` comes back with it

    def drop(self, upto):
        with self.lock:
            keep = [one for one in self.kept['outbox'] if one[0] > upto]
            gone = len(self.kept['outbox']) - len(keep)
            self.kept['outbox'], self.sent = keep, max(0, self.sent - gone)
            if gone: self.failures = 0
            if 0 < self.kept['late'] <= upto: self.kept.update(late=0, position=self.kept['settled'])

    # ---- down: section 7

    def acted(self, c): return any(epoch == c.epoch and c.offset <= offset for epoch, offset in self.kept['acted'])

    def settle(self, c, late=0):
        kept = self.kept
        kept['acted'] = [[c.epoch, c.offset]] + [one for one in kept['acted'] if one[0] != c.epoch][:7]
        kept['settled'], kept['late'] = [c.epoch, c.offset], late or kept['late']
        if not kept['late']: kept['position'] = kept['settled']      # HELLO stays before a late one until ACK
        self.failures = 0

    def handle(self, c, act):                           # in a thread of its own
        with self.hands:
            try: result = None if self.acted(c) else act(c) if clock() < c.deadline else (REJECTED, 'late', b'')
            except Exception as error: self.log('act', error); result = (FAILED, 'crashed', b'')
            with self.lock:
                link, again = self.inhand.pop((c.epoch, c.offset)), self.acted(c)
                if not again: self.settle(c, self.kept['sequence'] + 1 if result and result[1] == 'late' else 0)
                if result:
                    status, reason, payload = result
                    self.uplink(REPLY, bool(reason), c.epoch, c.offset, number(c.offset) + number(status) + (text(reason) if reason else b'') + payload)
                elif not again: self.store()
                if any(one[3:5] == [c.epoch, c.offset] for one in self.kept['outbox']): return     # its answer goes, or went
                if link is self.link: self.ack = c.offset            # else the next HELLO says it
                self.flush()

    # ---- the connection: sections 3, 9, 10 and 11

    def shut(self):
        with self.lock:
            self.open = False
            try: self.link.shutdown(socket.SHUT_RDWR)
            except OSError: pass

    def send(self, octets):
        with self.lock:
            try: self.link.sendall(octets)
            except OSError as error: raise Lost(str(error))
            self.written = clock()

    def read(self, wait):                               # one frame, or None when the time is over
        until = clock() + wait
        while True:
            length = next((i for i, octet in enumerate(self.buffer[1:9]) if octet < 128), None)
            if length is None and len(self.buffer) > 8: raise Lost('malformed: a length')
            if length is not None:
                head = length + 2
                end = head + Fields(self.buffer[1:head]).number()
                if end > FRAME_MAX: raise Lost('too large')
                if len(self.buffer) >= end:
                    raw, self.buffer = self.buffer[:end], self.buffer[end:]
                    if raw[0] >> 4 in (13, 14) and not raw[0] & 1: continue
                    if raw[0] >> 4 == CLOSE:
                        f = Fields(raw[head + (raw[0] >> 3 & 1):])          # ours is the only channel
                        raise Closed(f.number(), f.number(), f.text())
                    return raw[0], Fields(raw[head:]), raw
            if not select.select([self.link], [], [], max(0, until - clock()))[0]: return None
            try: more = self.link.recv(65536)
            except OSError as error: raise Lost(str(error))
            if not more: raise Lost('the connection was lost')
            self.buffer += more; self.heard = clock(); self.pinged = 0

    def expect(self, head):
        got = self.read(5)
        if got is None or got[0] != head: raise Lost('no answer, or a wrong one')
        return got[1:]

    def connect(self):
        try: self.link = socket.create_connection(self.at, ANSWER_S)
        except OSError as error: raise Lost(str(error))
        finally: self.at = self.home
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kept, self.buffer, self.pinged, self.spread = self.kept, b'', 0, None
        at = kept['position'] or [0]
        hello = frame(HELLO, 1, number(4 * self.weak) + number(0) + b''.join(map(text, self.names)) + number(12) + os.urandom(12)
                      + b''.join(map(number, [*at, kept['epoch'], 0, 0, FRAME_MAX, 1, 0])))       # window 1
        self.send(hello)
        f, raw = self.expect(AUTH << 4)
        if f.number() != self.weak: raise Lost('not the kdf that was asked for')
        signature = mac(hashlib.sha256(self.client).digest(), hello + raw)
        self.zero = clock()                             # deadlines count from here
        self.send(frame(AUTH, 1, bytes(a ^ b for a, b in zip(self.client, signature))))
        f = self.expect(WELCOME << 4)[0]
        f.number()                                      # capabilities: none
        if not hmac.compare_digest(f.octets(f.number()), mac(self.server, hello + raw)): raise Lost('not our server')
        resumed, self.epoch, offset, last, self.keepalive, _, _, self.window, _, _ = [f.number() for _ in range(10)]
        token, self.base, self.top = f.text(), f.number(), f.number()
        with self.lock:
            kept['position'] = [self.epoch, offset]
            if not kept['late']: kept['settled'] = kept['position']
            if last > kept['sequence']:                 # the state file is older than our life: number anew
                for i, one in enumerate(kept['outbox']): one[0] = i + 1
                kept.update(epoch=self.anew(), sequence=len(kept['outbox']), late=len(kept['outbox']) if kept['late'] else 0)
                self.store()
                raise Lost('the state file is old')
            self.drop(last)
            self.welcomed, self.received, self.sent, self.ack, self.open = self.epoch, offset, 0, 0, True
            self.since = self.heard = self.written = self.uplinked = clock()
            self.log('open', token)
            self.flush()

    def live(self, act):                                # from WELCOME to the end
        while True:
            now, waiting = clock(), self.sent and self.spread is None
            due = [self.written + self.keepalive] + ([max(self.uplinked, self.heard) + ANSWER_S] if waiting else [])
            if self.pinged and now >= self.pinged + ANSWER_S: raise Lost('PING was not answered')
            if not self.pinged and now >= min(due): self.send(frame(PING)); self.pinged = now
            if now >= self.since + 30: self.failures = 0
            got = self.read(min(1, max(0.01, (self.pinged + ANSWER_S if self.pinged else min(due)) - now)))
            if not self.open: raise Lost('shut')
            if got is None: continue
            (head, f, _), type = got, got[0] >> 4
            if head == PING << 4: self.send(frame(PONG))
            elif head == PONG << 4: self.keepalive = f.number() if f.left else self.keepalive
            elif head == ACK << 4:
                upto, unsent = f.number(), self.kept['outbox'][self.sent:]
                if unsent and upto >= unsent[0][0]: raise Lost('ACK of what was not sent')
                self.drop(upto); self.flush()
            elif head == EPOCH << 4: self.epoch, self.received = f.number(), 0
            elif head == GOAWAY << 4:
                f.number(); self.spread = min(f.number(), 3600_000) / 1000
                ends = []
                while f.left: ends.append((f.text(), f.number()))
                if sum(weight for _, weight in ends):
                    host, port = random.choices([end for end, _ in ends], [weight for _, weight in ends])[0].rsplit(':', 1)
                    self.at = (host.strip('[]'), int(port))
            elif type == COMMAND and head & 8 == 0:
                offset, deadline, ref = f.number(), f.number(), f.number()
                if ref & 1 or not 1 <= ref // 4 <= 128 or offset <= self.received: raise Lost('malformed: a command')
                self.received = offset
                c = Command(self.epoch, offset, self.zero + deadline / 1000, f.text(ref // 4), f.left, bool(ref & 2), *(bool(head & bit) for bit in (1, 2, 4)))
                with self.lock:
                    fresh = (c.epoch, c.offset) not in self.inhand           # else it is sent again while we act on it
                    self.inhand[c.epoch, c.offset] = self.link
                    if len(self.inhand) > HAND_MAX: raise Lost('commands beyond the window')
                if fresh: threading.Thread(target=self.handle, args=(c, act), daemon=True).start()
            else: raise Lost('protocol error')

    def within(self, n, away):
        """How long the window of the n-th try of a row is; away: the spread of a gateway that sent us away."""
        top, a, b = (self.top or 60_000) / 1000, 1, 1
        if n == 1: return 1 if away is None else away
        pace = 0 if away is None else min(top, max(1, away))
        for _ in range(min(n - (1 if away is None else 10), 30)): a, b = b, a + b
        return pace if away is not None and n <= 10 else max(pace, min(top, (self.base or 1000) / 1000 * a))

    def run(self, act):
        """Connects, and comes back, until a code says that something must be changed first: returns that."""
        self.base = self.top = 0
        while True:
            code, after, why, self.spread = -1, 0, '', None
            try: self.connect(); self.live(act)
            except Closed as end: code, after, why = end.args
            except (Lost, UnicodeDecodeError, ValueError) as end: why = str(end)
            if self.link: self.shut(); self.link.close()
            self.log('lost', code, why)
            if code >= 192: return code, why
            if not self.failures: place, away = random.random(), None       # tries in a row: a window each, in it the same place
            self.failures += 1
            if self.spread is not None: away = self.spread
            elif 128 <= code: away = 1
            wait = self.within(self.failures, away)
            if self.failures == 1: wait = wait * place + (0.5 if 64 <= code < 128 else 0)
            else: last = self.within(self.failures - 1, away); wait = min(wait, last) + place * max(0, wait - last)
            if self.spread is not None: wait = max(wait, place * self.spread)
            elif code in (65, 71) or 64 <= code and after: wait = (after or 60) + random.random()
            time.sleep(min(wait, 86400))

def main():
    if len(sys.argv) < 5 or not sys.argv[4]:
        sys.exit('usage: pike.py host port device secret [state-file]\nthe secret is what `pike device add` shows, once')
    host, port, device, secret = sys.argv[1:5]
    def log(*words): print(*words, flush=True)
    def act(c):
        if c.name != 'open': return REJECTED, 'unknown-command', b''
        try: door = int(json.loads(c.payload)['door'])
        except (ValueError, KeyError, TypeError): return REJECTED, 'bad-payload', b''
        if not 1 <= door <= 12: return REJECTED, 'unknown-door', b''
        log('open door', door)
        pike.event('door-opened', b'{"door":%d}' % door)
        return DONE, None, b'{"door":%d}' % door
    pike = Pike(host, port, device, secret, (sys.argv[5:] or [device + '.state'])[0], log=log)
    sys.exit(str(pike.run(act)))

if __name__ == '__main__':
    main()
