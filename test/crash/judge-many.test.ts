import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Journal } from './journal.ts'
import type { BroadcastAsk, BroadcastSeen, LineCallSeen, Push } from './journal-many.ts'
import { judge } from './judge/judge.ts'
import { accepted, drop, entry, goodHistory, idOf, rulesOf, type Wrong } from './judge-history.ts'

const later = (n: number): string => `d1:main:0:${n}`

/** What came to the receiver: all of the log as it is now, an event a request. */
function pushAll(journal: Journal): void {
  journal.hooks.push({ name: 'all', types: undefined, device: undefined })
  for (const { id, device, command, body } of journal.log) {
    const item = { id, device, command, body }
    journal.pushes.push(push('/hook/all', 'all', [item]))
  }
}

const push = (path: string, webhook: string, items: Push['items']): Push => ({
  atMs: 4_000,
  id: `msg-${webhook}-${items.map(({ id }) => id).join()}`,
  path,
  webhook,
  items,
  notGenuine: undefined,
  answer: 'taken',
})

/** A broadcast to d1 and d2, of which d2 is gone before it has its command; the others have none. */
function broadcastTo(journal: Journal): { ask: BroadcastAsk; seen: BroadcastSeen } {
  for (const device of ['d1', 'd2']) {
    const register = `tag/red/${device}`
    const at = { askedAtMs: 1, answeredAtMs: 2, verdict: 'kept' } as const
    journal.writes.push({ register, value: 'on', ...at })
    const id = `${device}:main:z:7`
    const status = device === 'd1' ? 'delivered' : 'expired'
    journal.log.push(entry({ id: `b-${device}`, device, command: id, name: 'b9', status }))
    journal.statuses.set(id, { kind: 'ended', status, name: 'b9', atMs: 3_000 })
  }
  const id = 'd1:main:z:7'
  journal.receipts.push({ ...journal.receipts[0]!, id, offset: 7, n: 9 })
  const ask: BroadcastAsk = {
    n: 9,
    name: 'b9',
    tag: 'red',
    channel: 'main',
    expect: 'ack',
    ttlMs: 1_000,
    rate: undefined,
    stopAfterFailures: undefined,
    callback: undefined,
    attempts: [
      {
        askedAtMs: 1_000,
        answeredAtMs: 1_010,
        verdict: 'accepted',
        id: 'bx',
        devices: 2,
        nobody: false,
      },
    ],
    stops: [],
  }
  journal.broadcasts.push(ask)
  const seen: BroadcastSeen = {
    id: 'bx',
    name: 'b9',
    state: 'placed',
    devices: 2,
    waiting: 0,
    open: 0,
    ended: { delivered: 1, expired: 1 },
    members: [
      { device: 'd1', command: id, status: 'delivered' },
      { device: 'd2', command: 'd2:main:z:7', status: 'expired' },
    ],
  }
  journal.broadcastsSeen = [seen]
  return { ask, seen }
}

const lineCall = (change: Partial<LineCallSeen>): LineCallSeen => ({
  call: 1,
  path: '/v1/commands',
  http: 200,
  sent: 3,
  bad: new Set(),
  blank: new Set([2]),
  answers: [
    { line: 1, status: 202 },
    { line: 3, status: 202 },
  ],
  end: 'whole',
  ...change,
})

/** What can go wrong beside plain commands, and the rules that must notice. */
const wrongs: readonly Wrong[] = [
  [
    'a command by alias for whom it stood for before',
    (j) => {
      Object.assign(j.asks[0]!, { device: '', alias: 'a' })
      const at = { register: 'alias/a', verdict: 'kept' } as const
      j.writes.push({ ...at, value: 'd1', askedAtMs: 100, answeredAtMs: 110 })
      j.writes.push({ ...at, value: 'd2', askedAtMs: 200, answeredAtMs: 210 })
    },
    ['alias-untrue'],
  ],
  [
    'a command by alias that moved',
    (j) => {
      Object.assign(j.asks[0]!, { device: '', alias: 'a' })
      const at = { register: 'alias/a', verdict: 'kept' } as const
      j.writes.push({ ...at, value: 'd1', askedAtMs: 100, answeredAtMs: 110 })
      Object.assign(j.receipts[0]!, { device: 'd2' })
    },
    ['misrouted'],
  ],
  [
    'a revoked key that works',
    (j) => {
      const at = { register: 'key/k', verdict: 'kept' } as const
      j.writes.push({ ...at, value: 'works', askedAtMs: 100, answeredAtMs: 110 })
      j.writes.push({ ...at, value: '-', askedAtMs: 200, answeredAtMs: 210 })
      const read = { register: 'key/k', value: 'works', askedAtMs: 211, answeredAtMs: 212 }
      j.reads.push({ ...read, by: 'x' })
    },
    ['key-untrue'],
  ],
  [
    'a device that was answered and is gone',
    (j) => {
      const write = { register: 'device/g', value: 'there', verdict: 'kept' } as const
      j.writes.push({ ...write, askedAtMs: 100, answeredAtMs: 110 })
      const read = { register: 'device/g', value: '-', askedAtMs: 200, answeredAtMs: 210 }
      j.reads.push({ ...read, by: 'x' })
    },
    ['device-untrue'],
  ],
  [
    'handed over before its time',
    (j) => Object.assign(j.asks[0]!, { notBeforeMs: 1_600 }),
    ['early'],
  ],
  [
    'superseded by nobody',
    (j) => {
      Object.assign(j.asks[0]!, { collapse: 'c' })
      Object.assign(j.log[0]!, { status: 'superseded' })
      j.statuses.set(idOf(1), { kind: 'ended', status: 'superseded', name: 'open', atMs: 1 })
      drop(j.receipts, (r) => r.n === 1)
      drop(j.wire, (w) => w.what.kind === 'command' && w.what.offset === 1)
    },
    ['outcome-untrue'],
  ],
  [
    'another asked than the log says',
    (j) => Object.assign(j.asks[0]!, { askedBy: 'svc' }),
    ['asked-by'],
  ],
  [
    'too late to cancel, and canceled',
    (j) => {
      Object.assign(j.log[0]!, { status: 'canceled' })
      j.statuses.set(idOf(1), { kind: 'ended', status: 'canceled', name: 'open', atMs: 1 })
      drop(j.receipts, (r) => r.n === 1)
      drop(j.wire, (w) => w.what.kind === 'command' && w.what.offset === 1)
      j.cancels.push({ id: idOf(1), http: 409, status: 'sent' })
    },
    ['outcome-disagrees'],
  ],
  [
    'a line passed over',
    (j) => j.lineCalls.push(lineCall({ answers: [{ line: 3, status: 202 }] })),
    ['lines-order'],
  ],
  [
    'answers out of order',
    (j) => j.lineCalls.push(lineCall({ answers: [...lineCall({}).answers].reverse() })),
    ['lines-order'],
  ],
  [
    'a call that ended well without all answers',
    (j) => j.lineCalls.push(lineCall({ answers: [{ line: 1, status: 202 }] })),
    ['lines-order'],
  ],
  ['a bad line taken', (j) => j.lineCalls.push(lineCall({ bad: new Set([3]) })), ['lines-order']],
  [
    'lines that overtook each other',
    (j) => {
      for (const [at, line] of [1, 3, 2].entries())
        Object.assign(j.asks[at]!.attempts[0]!, { line: { call: 1, line } })
    },
    ['reordered'],
  ],
  [
    'a member forgotten',
    (j) => {
      const { seen } = broadcastTo(j)
      const members = seen.members.map((m, at) =>
        at === 0 ? m : { device: m.device, command: undefined, status: 'waiting' },
      )
      drop(j.log, (e) => e.device === 'd2')
      j.statuses.delete('d2:main:z:7')
      const change = { members, state: 'running', waiting: 1, ended: { delivered: 1 } }
      j.broadcastsSeen = [{ ...seen, ...change }]
    },
    ['broadcast-forgotten'],
  ],
  [
    'a member with two commands',
    (j) => {
      broadcastTo(j)
      const id = 'd1:main:z:8'
      j.log.push(entry({ id: 'b-3', command: id, name: 'b9', status: 'expired' }))
      j.statuses.set(id, { kind: 'ended', status: 'expired', name: 'b9', atMs: 3_000 })
    },
    ['broadcast-twice'],
  ],
  [
    'a member handed its command twice',
    (j) => {
      broadcastTo(j)
      j.receipts.push({ ...j.receipts.at(-1)!, id: idOf(8), offset: 8 })
    },
    ['applied-twice'],
  ],
  [
    'a report that does not add up',
    (j) => {
      const { seen } = broadcastTo(j)
      j.broadcastsSeen = [{ ...seen, ended: { delivered: 2 } }]
    },
    ['broadcast-sums'],
  ],
  [
    'a member that did not have the tag',
    (j) => {
      broadcastTo(j)
      const write = { register: 'tag/red/d2', value: '-', verdict: 'kept' } as const
      j.writes.push({ ...write, askedAtMs: 500, answeredAtMs: 510 })
    },
    ['tag-untrue'],
  ],
  [
    'somebody who had the tag left out',
    (j) => {
      broadcastTo(j)
      const write = { register: 'tag/red/d3', value: 'on', verdict: 'kept' } as const
      j.writes.push({ ...write, askedAtMs: 500, answeredAtMs: 510 })
    },
    ['tag-untrue'],
  ],
  [
    'a broadcast accepted and unknown',
    (j) => {
      broadcastTo(j)
      j.broadcastsSeen = []
    },
    ['lost'],
  ],
  [
    'placed after it was stopped',
    (j) => {
      const { ask, seen } = broadcastTo(j)
      ask.stops.push({ http: 200, state: 'stopped', waiting: 1 })
      j.broadcastsSeen = [{ ...seen, state: 'stopped' }]
    },
    ['broadcast-untrue'],
  ],
  [
    'stopped by nobody',
    (j) => {
      const { seen } = broadcastTo(j)
      j.broadcastsSeen = [{ ...seen, state: 'stopped' }]
    },
    ['broadcast-untrue'],
  ],
  [
    'an event never pushed',
    (j) => {
      pushAll(j)
      j.pushes.pop()
    },
    ['webhook-lost'],
  ],
  [
    'an event passed over',
    (j) => {
      pushAll(j)
      j.pushes.splice(1, 1)
    },
    ['push-skipped', 'webhook-lost'],
  ],
  [
    'pushed out of order',
    (j) => {
      pushAll(j)
      j.pushes.push(...j.pushes.splice(1, 1))
    },
    ['push-skipped', 'push-reordered'],
  ],
  [
    'pushed, and not in the log',
    (j) => {
      pushAll(j)
      j.reread = j.log.slice(0, -1)
      j.log.pop()
    },
    ['push-phantom', 'event-lost'],
  ],
  [
    'pushed with other words',
    (j) => {
      pushAll(j)
      const one = j.pushes[0]!
      j.pushes[0] = { ...one, items: [{ ...one.items[0]!, body: 'other' }] }
    },
    ['push-changed'],
  ],
  [
    'not signed by a secret of ours',
    (j) => {
      pushAll(j)
      j.pushes[0] = { ...j.pushes[0]!, notGenuine: 'no signature fits' }
    },
    ['push-forged'],
  ],
  [
    'one name for two requests',
    (j) => {
      pushAll(j)
      j.pushes[1] = { ...j.pushes[1]!, id: j.pushes[0]!.id }
    },
    ['push-renamed'],
  ],
  [
    'set aside, as if the receiver had been away for a day',
    (j) => j.hookStatuses.push({ name: 'all', waiting: 0, deadLetters: 1 }),
    ['webhook-lost'],
  ],
  [
    'an outcome never called back',
    (j) => Object.assign(j.asks[0]!, { callback: '/callback/1' }),
    ['callback-lost'],
  ],
  [
    'an outcome called back to somebody else',
    (j) => {
      Object.assign(j.asks[0]!, { callback: '/callback/1' })
      const { id, device, command, body } = j.log[0]!
      j.pushes.push(push('/callback/2', 'callbacks', [{ id, device, command, body }]))
    },
    ['push-misrouted'],
  ],
  [
    'an app that counts otherwise than its log',
    (j) => {
      j.reread = [...j.log]
      j.appCounts = { accepted: 4, open: 0, ended: { delivered: 3, done: 1 } }
    },
    ['counts'],
  ],
]

for (const [what, change, rules] of wrongs) {
  test(`the judge notices: ${what}`, () => {
    const journal = goodHistory()
    change(journal)
    const found = rulesOf(journal)
    for (const rule of rules) assert.ok(found.includes(rule), `${rule} in [${found.join(', ')}]`)
    for (const rule of found) assert.ok(rules.includes(rule), `${rule}, unexpected`)
  })
}

test('what was for later is known by its name, wherever its place is', () => {
  const journal = goodHistory()
  const [ask] = journal.asks
  Object.assign(ask!, { notBeforeMs: 1_400, name: 's1' })
  Object.assign(ask!.attempts[0]!, { accepted: accepted(1, { id: later(1), epoch: 0, offset: 1 }) })
  Object.assign(journal.log[0]!, { command: later(1), name: 's1' })
  Object.assign(journal.wire[0]!.what, { n: 1 })
  const status = journal.statuses.get(idOf(1))!
  journal.statuses.delete(idOf(1))
  journal.statuses.set(later(1), status)
  assert.deepEqual(rulesOf(journal), [])
  Object.assign(journal.log[0]!, { status: 'canceled' })
  assert.ok(rulesOf(journal).includes('outcome-untrue'))
})

test('a broadcast, pushes and lines that all went well have no findings', () => {
  const journal = goodHistory()
  broadcastTo(journal)
  pushAll(journal)
  // Again is allowed: at least once.
  journal.pushes.push(journal.pushes[2]!)
  journal.lineCalls.push(lineCall({}))
  journal.reread = [...journal.log]
  journal.appCounts = { accepted: 5, open: 0, ended: { delivered: 3, done: 1, expired: 1 } }
  assert.deepEqual(rulesOf(journal), [])
  const { figures } = judge(journal, { final: true, toleranceMs: 500 })
  assert.equal(figures.pushes.repeats, 1)
})

test('a change that got no answer may have been made, or not', () => {
  const journal = goodHistory()
  const write = { register: 'alias/a', askedAtMs: 100 } as const
  journal.writes.push({ ...write, value: 'd1', answeredAtMs: 110, verdict: 'kept' })
  const unclear = { answeredAtMs: undefined, verdict: 'unclear' } as const
  journal.writes.push({ ...write, value: 'd2', askedAtMs: 200, ...unclear })
  const read = { register: 'alias/a', askedAtMs: 300, answeredAtMs: 310, by: 'x' }
  journal.reads.push({ ...read, value: 'd1' }, { ...read, value: 'd2' })
  assert.deepEqual(rulesOf(journal), [])
  journal.reads.push({ ...read, value: 'd3' }, { ...read, value: '-' })
  assert.deepEqual(rulesOf(journal), ['alias-untrue'])
})
