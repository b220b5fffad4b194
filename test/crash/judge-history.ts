import type { Accepted, Ask, Attempt, Journal, LogEntry, Wire } from './journal.ts'
import { newJournal } from './journal.ts'
import { judge } from './judge/judge.ts'

export const epoch = 35
export const idOf = (offset: number): string => `d1:main:z:${offset}`

export const attempt = (change: Partial<Attempt> = {}): Attempt => ({
  askedAtMs: 1_000,
  answeredAtMs: 1_010,
  verdict: 'accepted',
  http: 202,
  accepted: undefined,
  ...change,
})

export const accepted = (offset: number, change: Partial<Accepted> = {}): Accepted => ({
  id: idOf(offset),
  epoch,
  offset,
  status: 'queued',
  expiresAtMs: 60_000,
  ...change,
})

export const wire = (session: number, what: Wire['what']): Wire => ({
  session,
  family: 'pike',
  device: 'd1',
  channel: 'main',
  atMs: 1_500,
  what,
})

export const entry = (change: Partial<LogEntry>): LogEntry => {
  const made = {
    id: 'a-0000000001',
    type: 'command.ended',
    device: 'd1',
    channel: 'main',
    atMs: 2_000,
    command: undefined,
    name: undefined,
    status: undefined,
    reason: undefined,
    u: undefined,
    body: '{}',
    ...change,
  }
  return { ...made, body: JSON.stringify(made) }
}

/** Three commands that all went well, one of them answered, and two reports: nothing to find. */
export function goodHistory(): Journal {
  const journal = newJournal()
  for (const n of [1, 2, 3]) {
    const askedAtMs = 1_000 * n
    journal.asks.push({
      n,
      device: 'd1',
      channel: 'main',
      name: n === 3 ? 'k3' : 'open',
      delivery: 'queue',
      expect: n === 2 ? 'reply' : 'ack',
      ttlMs: undefined,
      key: n === 3 ? 'key-3' : undefined,
      attempts: [attempt({ askedAtMs, answeredAtMs: askedAtMs + 10, accepted: accepted(n) })],
    })
    journal.wire.push(wire(1, { kind: 'command', epoch, offset: n, repeated: false }))
    journal.receipts.push({
      device: 'd1',
      channel: 'main',
      id: idOf(n),
      offset: n,
      n,
      atMs: 1_500,
      repeated: false,
    })
    const status = n === 2 ? 'done' : 'delivered'
    journal.log.push(
      entry({ id: `a-${n}`, command: idOf(n), name: n === 3 ? 'k3' : 'open', status }),
    )
    journal.statuses.set(idOf(n), { kind: 'ended', status, name: 'open', atMs: 3_000 })
  }
  journal.replies.push({
    device: 'd1',
    id: idOf(2),
    status: 'done',
    atMs: 1_600,
    acknowledgedAtMs: 1_700,
  })
  journal.log.push(entry({ id: 'a-4', type: 'reply', command: idOf(2), status: 'done' }))
  for (const u of [1, 2]) {
    journal.reports.push({ device: 'd1', channel: 'main', u, atMs: 1_000, acknowledgedAtMs: 1_100 })
    journal.log.push(entry({ id: `a-${4 + u}`, type: 'event', u }))
  }
  return journal
}

export const rulesOf = (journal: Journal, final = true): string[] => [
  ...new Set(judge(journal, { final, toleranceMs: 500 }).findings.map(({ rule }) => rule)),
]

export const lastAsk = (journal: Journal): Ask => journal.asks.at(-1)!
export const drop = <T>(from: T[], which: (item: T) => boolean): void => {
  from.splice(from.findIndex(which), 1)
}

/** How one thing goes wrong, and the rules that must notice. */
export type Wrong = readonly [what: string, change: (journal: Journal) => void, rules: string[]]
