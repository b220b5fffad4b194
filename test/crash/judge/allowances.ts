import type { Family, Fault, Journal, Receipt } from '../journal.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'

/**
 * What a device that remembers nothing may see twice. What a client of ours hands to its application
 * is handed once over every protocol, and what no table may allow is in {@link mayComeAgain}.
 */
export interface Allowance {
  /**
   * A command again. `forgot`: only to who lost its place in between. `link-lost`: only by another
   * connection. `unproven`: also by the same observation, where its acknowledgement may be lost.
   */
  readonly command: 'never' | 'forgot' | 'link-lost' | 'unproven'
  /** An event without a stamp, in the log: as often as it arrived, as its protocol counts arrivals. */
  readonly event: 'never' | 'each-arrival'
  /** All but one of those are called `maybeRepeat`. */
  readonly eventsMarked: boolean
  /** Where that is written. */
  readonly source: string
}

export const allowances: Readonly<Record<Family, Allowance>> = {
  pike: {
    command: 'never',
    event: 'never',
    eventsMarked: false,
    source: 'promise 5, rules 14 and 17: both sides say where they stand',
  },
  http: {
    command: 'forgot',
    event: 'each-arrival',
    eventsMarked: false,
    source:
      'promise 5 and rule 24: `after` acknowledges; rule 17: without a stamp, once per arrival',
  },
  mqtt: {
    command: 'link-lost',
    event: 'each-arrival',
    eventsMarked: true,
    source:
      'promise 5 and rule 19: in flight on the old link goes again; rule 17: DUP, maybeRepeat',
  },
  coap: {
    command: 'unproven',
    event: 'each-arrival',
    eventsMarked: false,
    source:
      'promise 5, rules 19 and 25; rule 17; RFC 7252 §4.5: a message id is known to one server only',
  },
}

/**
 * So long after an acknowledgement came to the gateway it is on its disk, on a busy machine too, and a
 * crash forgets it no more.
 */
const settledMs = 5_000

/** Earlier hand-overs of the same thing to the same device, each of a device that remembers nothing. */
export function mayComeAgain(
  facts: Facts,
  findings: Findings,
  before: readonly Receipt[],
  now: Receipt,
  options: JudgeOptions,
): void {
  const id = facts.named(now.id)
  const who = `${id} (${now.device})`
  const { raw } = now
  const last = before.at(-1)!
  if (raw === undefined || before.some((one) => facts.named(one.id) !== id)) {
    findings.add('applied-twice', `${who} was handed over before, as ${last.id}`)
    return
  }
  // Rule 5: whatever becomes of the first, there is no second.
  if (facts.accepted.get(id)?.ask.delivery === 'now') {
    findings.add('now-twice', `${who} is a now, handed over twice`)
  }
  // Promise 5: repeats are marked.
  if (!now.repeated) findings.add('repeat-unmarked', `${who} came again and was not marked`)
  // Rules 3 and 8: an end is an end. What was on its way by then may be held up by the network.
  const end = facts.ended.get(id)?.[0]
  const frames = facts.written.get(id) ?? []
  const writtenAtMs = frames.findLast(({ atMs }) => atMs <= now.atMs)?.atMs ?? now.atMs
  if (end !== undefined && end.atMs + options.toleranceMs < writtenAtMs) {
    const late = Math.round(writtenAtMs - end.atMs)
    findings.add('repeat-after-end', `${who} was written ${late} ms after it ended ${end.status}`)
  }
  const { command, source } = allowances[raw.family]
  const same = before.some((one) => one.raw?.session === raw.session)
  if (command === 'never' || (command !== 'unproven' && same)) {
    findings.add('repeat-forbidden', `${who} came again in the same session (${source})`)
  } else if (before.some((one) => wasHeard(facts, id, one, now))) {
    findings.add(
      'repeat-forbidden',
      `${who} came again after its acknowledgement was heard (${source})`,
    )
  }
}

/**
 * Its acknowledgement came to the gateway for sure, and to its disk: it passed the tap, and for a while
 * neither its connection nor the gateway was harmed.
 */
function wasHeard({ journal, taken }: Facts, id: string, before: Receipt, now: Receipt): boolean {
  const { acknowledgedAtMs } = before.raw!
  if (acknowledgedAtMs === undefined) return false
  for (const { atMs, goneAtMs } of taken.get(id) ?? []) {
    if (atMs < acknowledgedAtMs || atMs + settledMs >= now.atMs) continue
    if (goneAtMs !== undefined && goneAtMs < atMs + settledMs) continue
    if (!journal.faults.some((fault) => harms(fault, atMs, now.atMs))) return true
  }
  return false
}

/** A full disk keeps nothing for as long as it lasts, and longer; anything else only what is new. */
const harms = ({ kind, atMs, readyMs = 60_000 }: Fault, fromMs: number, toMs: number): boolean =>
  kind === 'disk'
    ? atMs <= toMs && atMs + readyMs + settledMs >= fromMs
    : atMs <= fromMs + settledMs && atMs + readyMs >= fromMs

export interface RawFigures {
  /** Hand-overs to devices that remember nothing, and those of them that came before. */
  readonly receipts: number
  readonly again: number
  readonly byFamily: Readonly<Record<string, readonly [receipts: number, again: number]>>
  /** Their events in the log more often than once. */
  readonly eventsAgain: number
}

export function rawFigures({ receipts, reports, log }: Journal): RawFigures {
  const seen = new Set<string>()
  const byFamily: Record<string, [number, number]> = {}
  let all = 0
  let again = 0
  for (const { device, n, raw } of receipts) {
    if (raw === undefined) continue
    byFamily[raw.family] ??= [0, 0]
    const counts = byFamily[raw.family]!
    all++
    counts[0]++
    const which = `${device} ${n}`
    if (seen.has(which)) {
      again++
      counts[1]++
    }
    seen.add(which)
  }
  const unstamped = new Set(reports.flatMap((report) => (report.unstamped ? [report.device] : [])))
  const kept = log.filter(
    ({ type, device, u }) => type === 'event' && u !== undefined && unstamped.has(device),
  )
  const different = new Set(kept.map(({ device, channel, u }) => `${device}/${channel} ${u}`))
  return { receipts: all, again, byFamily, eventsAgain: kept.length - different.size }
}
