import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge } from './judge/judge.ts'
import {
  accepted,
  attempt,
  drop,
  entry,
  epoch,
  goodHistory,
  idOf,
  lastAsk,
  rulesOf,
  type Wrong,
  wire,
} from './judge-history.ts'

test('a history in which all went well has no findings', () => {
  const journal = goodHistory()
  journal.reread = [...journal.log]
  assert.deepEqual(rulesOf(journal), [])
})

test('what came while those who write were held up is not called late', () => {
  const journal = goodHistory()
  const { atMs } = journal.receipts[0]!
  journal.stalls.push({ fromMs: atMs - 2_000, toMs: atMs - 10 })
  const attempt = journal.asks[0]!.attempts[0]!
  Object.assign(attempt, { accepted: accepted(1, { expiresAtMs: atMs - 1_800 }) })
  assert.deepEqual(rulesOf(journal), [])
})

/** Each: how one thing goes wrong, and the rules that must notice. */
const wrongs: readonly Wrong[] = [
  [
    'accepted, then unknown',
    (j) => {
      j.statuses.set(idOf(1), { kind: 'missing', status: '', name: undefined, atMs: 1 })
    },
    ['lost'],
  ],
  [
    'accepted, open for ever',
    (j) => {
      j.statuses.set(idOf(1), { kind: 'open', status: 'sent', name: undefined, atMs: 1 })
      drop(j.log, (e) => e.command === idOf(1))
    },
    ['never-ended'],
  ],
  [
    'an end nobody published',
    (j) => drop(j.log, (e) => e.command === idOf(1)),
    ['end-unpublished'],
  ],
  [
    'two ends',
    (j) => j.log.push(entry({ id: 'a-9', command: idOf(1), status: 'delivered' })),
    ['ended-twice'],
  ],
  [
    'log and status of two minds',
    (j) => j.statuses.set(idOf(1), { kind: 'ended', status: 'done', name: 'open', atMs: 1 }),
    ['outcome-disagrees'],
  ],
  [
    'handed over twice under two ids',
    (j) => j.receipts.push({ ...j.receipts[0]!, id: idOf(9), offset: 9 }),
    ['applied-twice'],
  ],
  ['to another device', (j) => Object.assign(j.asks[0]!, { device: 'd2' }), ['misrouted']],
  ['a later one first', (j) => j.receipts.unshift(j.receipts.pop()!), ['reordered']],
  [
    'numbered before what was accepted before it was asked for',
    (j) => {
      lastAsk(j).attempts.splice(
        0,
        1,
        attempt({ askedAtMs: 9_000, answeredAtMs: 9_010, accepted: accepted(1) }),
      )
      Object.assign(j.asks[0]!.attempts[0]!, { accepted: accepted(3) })
    },
    ['reordered', 'position-reused', 'key-split'],
  ],
  [
    'after its deadline',
    (j) => Object.assign(j.asks[0]!.attempts[0]!, { accepted: accepted(1, { expiresAtMs: 900 }) }),
    ['late'],
  ],
  [
    'after its deadline, which those who write were held up for too short to explain',
    (j) => {
      const { atMs } = j.receipts[0]!
      j.stalls.push({ fromMs: atMs - 1_000, toMs: atMs - 10 })
      const expiresAtMs = atMs - 1_600
      Object.assign(j.asks[0]!.attempts[0]!, { accepted: accepted(1, { expiresAtMs }) })
    },
    ['late'],
  ],
  [
    'refused, and done all the same',
    (j) => {
      j.asks[0]!.attempts.splice(0, 1, attempt({ verdict: 'refused', http: 429 }))
    },
    ['refused-yet-kept', 'phantom'],
  ],
  [
    'one key, two commands',
    (j) => lastAsk(j).attempts.push(attempt({ accepted: accepted(9) })),
    ['key-split', 'unknown', 'reordered'],
  ],
  [
    'one key, two commands, one of which nobody was told of',
    (j) => {
      lastAsk(j).attempts.unshift(attempt({ verdict: 'unclear', http: undefined }))
      j.log.push(entry({ id: 'a-9', command: idOf(9), name: 'k3', status: 'in-doubt' }))
    },
    ['key-split'],
  ],
  [
    'a key with another body taken',
    (j) =>
      lastAsk(j).attempts.push(attempt({ askedAtMs: 9_000, verdict: 'other-body', http: 202 })),
    ['key-body'],
  ],
  [
    'an end of something nobody asked for',
    (j) => j.log.push(entry({ id: 'a-9', command: idOf(9), name: 'open', status: 'in-doubt' })),
    ['phantom'],
  ],
  [
    '"expired", and the device has it',
    (j) => {
      Object.assign(j.log[0]!, { status: 'expired', atMs: 99_000 })
      j.statuses.set(idOf(1), { kind: 'ended', status: 'expired', name: 'open', atMs: 1 })
    },
    ['outcome-untrue'],
  ],
  [
    '"canceled", and it was written to a link',
    (j) => {
      Object.assign(j.log[0]!, { status: 'canceled' })
      j.statuses.set(idOf(1), { kind: 'ended', status: 'canceled', name: 'open', atMs: 1 })
      drop(j.receipts, (receipt) => receipt.n === 1)
    },
    ['outcome-untrue'],
  ],
  ['"delivered" to nobody', (j) => drop(j.receipts, (r) => r.n === 1), ['outcome-untrue']],
  ['"done" without a word', (j) => j.replies.pop(), ['outcome-untrue']],
  [
    'doubt before the deadline',
    (j) => {
      Object.assign(j.log[0]!, { status: 'in-doubt' })
      j.statuses.set(idOf(1), { kind: 'ended', status: 'in-doubt', name: 'open', atMs: 1 })
    },
    ['outcome-untrue'],
  ],
  [
    'answered as canceled, then delivered',
    (j) => j.cancels.push({ id: idOf(1), http: 200 }),
    ['outcome-disagrees'],
  ],
  ['a reply gone', (j) => drop(j.log, (e) => e.type === 'reply'), ['reply-lost']],
  [
    'a reply twice',
    (j) => j.log.push(entry({ id: 'a-9', type: 'reply', command: idOf(2), status: 'done' })),
    ['reply-twice'],
  ],
  [
    'written again to a device that stood there',
    (j) =>
      j.wire.push(
        wire(2, { kind: 'hello', resume: { epoch, offset: 3 } }),
        wire(2, { kind: 'command', epoch, offset: 3, repeated: true }),
      ),
    ['wire-repeat'],
  ],
  [
    'written again after its reply',
    (j) =>
      j.wire.push(
        wire(1, { kind: 'reply', sequence: 1, epoch, offset: 5, status: 'done' }),
        wire(1, { kind: 'kept', upTo: 1 }),
        wire(1, { kind: 'command', epoch, offset: 5, repeated: true }),
      ),
    ['wire-repeat'],
  ],
  [
    'written out of order',
    (j) => j.wire.push(wire(1, { kind: 'command', epoch, offset: 2, repeated: false })),
    ['wire-reordered'],
  ],
  [
    'a now written twice',
    (j) => {
      Object.assign(j.asks[2]!, { delivery: 'now' })
      j.wire.push(wire(2, { kind: 'command', epoch, offset: 3, repeated: true }))
    },
    ['now-twice'],
  ],
  [
    'a position forgotten',
    (j) => j.wire.push(wire(2, { kind: 'welcome', resumed: 'tail-lost', epoch, offset: 0 })),
    ['tail-lost'],
  ],
  ['an event gone', (j) => drop(j.log, (e) => e.u === 2), ['event-lost']],
  ['an event twice', (j) => j.log.push(entry({ id: 'a-9', type: 'event', u: 2 })), ['event-twice']],
  [
    'events out of order',
    (j) =>
      j.log.splice(
        4,
        2,
        entry({ id: 'a-6', type: 'event', u: 2 }),
        entry({ id: 'a-7', type: 'event', u: 1 }),
      ),
    ['event-reordered'],
  ],
  [
    'an event nobody reported',
    (j) => j.log.push(entry({ id: 'a-9', type: 'event', u: 3 })),
    ['event-phantom'],
  ],
  [
    'a log that forgets',
    (j) => {
      j.reread = j.log.slice(1)
    },
    ['log-changed'],
  ],
  [
    'a log that changes its words',
    (j) => {
      j.reread = j.log.map((e, at) => (at === 0 ? { ...e, body: 'other' } : e))
    },
    ['log-changed'],
  ],
  [
    'a log that hides from who follows it',
    (j) => {
      j.reread = [...j.log]
      drop(j.log, (e) => e.type === 'reply')
    },
    ['log-gap', 'reply-lost'],
  ],
  [
    'an own counting that does not add up',
    (j) => {
      j.counts = { accepted: 3, ended: 1, open: 1 }
    },
    ['counts'],
  ],
  [
    'a stop that takes too long',
    (j) => j.faults.push({ ...fault, kind: 'stop', goneMs: 6_000 }),
    ['stop-slow'],
  ],
  [
    'space that is noticed too late',
    (j) => j.faults.push({ ...fault, kind: 'disk', readyMs: 21_000, refused: true }),
    ['space-slow'],
  ],
  [
    'a full disk that nobody was told of',
    (j) => j.faults.push({ ...fault, kind: 'disk', readyMs: 1_000, refused: false }),
    ['disk-unnoticed'],
  ],
]

const fault = {
  round: 1,
  atMs: 0,
  young: false,
  readyMs: undefined,
  goneMs: undefined,
  refused: undefined,
  note: undefined,
}

for (const [what, change, rules] of wrongs) {
  test(`the judge notices: ${what}`, () => {
    const journal = goodHistory()
    change(journal)
    const found = rulesOf(journal)
    for (const rule of rules) assert.ok(found.includes(rule), `${rule} in [${found.join(', ')}]`)
    for (const rule of found) assert.ok(rules.includes(rule), `${rule}, unexpected`)
  })
}

test('a resend to a device that had not stored it is counted and allowed', () => {
  const journal = goodHistory()
  journal.wire.push(
    wire(2, { kind: 'hello', resume: { epoch, offset: 2 } }),
    wire(2, { kind: 'command', epoch, offset: 3, repeated: true }),
  )
  const { findings, figures } = judge(journal, { final: true, toleranceMs: 500 })
  assert.deepEqual(findings, [])
  assert.equal(figures.wire.resent, 1)
  assert.equal(figures.wire.repeats, 0)
})

test('a command that crosses its own reply on the wire is counted and allowed', () => {
  const journal = goodHistory()
  journal.wire.push(
    wire(2, { kind: 'hello', resume: { epoch, offset: 2 } }),
    wire(2, { kind: 'reply', sequence: 7, epoch, offset: 3, status: 'done' }),
    wire(2, { kind: 'kept', upTo: 6 }),
    wire(2, { kind: 'command', epoch, offset: 3, repeated: true }),
  )
  const { findings, figures } = judge(journal, { final: true, toleranceMs: 500 })
  assert.deepEqual(findings, [])
  assert.deepEqual([figures.wire.resent, figures.wire.crossed], [1, 1])
})

test('what has only not happened yet is no finding before the end', () => {
  const journal = goodHistory()
  journal.log.length = 0
  journal.statuses.clear()
  assert.deepEqual(rulesOf(journal, false), [])
  assert.ok(rulesOf(journal).length > 0)
})

test('an unclear request may have been kept', () => {
  const journal = goodHistory()
  journal.asks.push({
    ...journal.asks[0]!,
    n: 4,
    attempts: [attempt({ verdict: 'unclear', http: undefined, answeredAtMs: undefined })],
  })
  journal.receipts.push({ ...journal.receipts[0]!, id: idOf(4), offset: 4, n: 4 })
  journal.log.push(entry({ id: 'a-9', command: idOf(4), name: 'open', status: 'delivered' }))
  assert.deepEqual(rulesOf(journal), [])
})

test('delivered, refused late by the device, and the refusal is told: true as far as it goes', () => {
  const journal = goodHistory()
  drop(journal.receipts, (receipt) => receipt.n === 1)
  const reply = { device: 'd1', id: idOf(1), status: 'rejected', atMs: 1_600 }
  journal.replies.push({ ...reply, acknowledgedAtMs: 1_700 })
  assert.deepEqual(rulesOf(journal), ['outcome-untrue', 'reply-lost'])
  journal.log.push(entry({ id: 'a-9', type: 'command.late', command: idOf(1), status: 'rejected' }))
  assert.deepEqual(rulesOf(journal), [])
})

test('what nobody listened to was not asked', () => {
  const journal = goodHistory()
  const unreached = attempt({ verdict: 'unreached', http: undefined, answeredAtMs: undefined })
  journal.asks.push({ ...journal.asks[0]!, n: 4, attempts: [unreached] })
  assert.equal(judge(journal, { final: true, toleranceMs: 500 }).figures.requests, 3)
  journal.receipts.push({ ...journal.receipts[0]!, id: idOf(4), offset: 4, n: 4 })
  assert.ok(rulesOf(journal).includes('refused-yet-kept'))
})
