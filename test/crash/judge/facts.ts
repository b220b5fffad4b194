import type { Accepted, Ask, Journal, LogEntry, Receipt, Wire } from '../journal.ts'
import type { BroadcastAsk } from '../journal-many.ts'

/** One thing that must not be. `rule` is a short stable word; tests and tables count by it. */
export interface Finding {
  readonly rule: string
  readonly text: string
}

export interface JudgeOptions {
  /** All is over: what has not happened by now never will. */
  readonly final: boolean
  /** How much later than its deadline a hand-over may look, since two processes read the clock. */
  readonly toleranceMs: number
}

/** A command the gateway said it accepted, with the ask behind it. */
export interface AcceptedCommand {
  readonly ask: Ask
  readonly accepted: Accepted
  readonly firstAskedAtMs: number
  readonly answeredAtMs: number
}

/** The journal by id, made once, for every rule. */
export interface Facts {
  readonly journal: Journal
  readonly askByN: ReadonlyMap<number, Ask>
  readonly broadcastByN: ReadonlyMap<number, BroadcastAsk>
  readonly broadcastByName: ReadonlyMap<string, BroadcastAsk>
  readonly accepted: ReadonlyMap<string, AcceptedCommand>
  readonly receipts: ReadonlyMap<string, readonly Receipt[]>
  readonly ended: ReadonlyMap<string, readonly LogEntry[]>
  /** COMMAND frames by command id. */
  readonly written: ReadonlyMap<string, readonly Wire[]>
  /** REPLY frames by command id: what the device's end said, whoever of it said so. */
  readonly repliesWritten: ReadonlyMap<string, readonly Wire[]>
  /** Acknowledgements of single commands as they passed a tap, and when that connection was gone. */
  readonly taken: ReadonlyMap<string, readonly Taken[]>
  /** Events without a stamp, as often as they arrived: by device, channel and `u`. */
  readonly arrivals: ReadonlyMap<string, ReadonlySet<string>>
  /**
   * The id of a command by its place: the same text, save for what was for later. That had its id
   * before it had a place; what is asked for is in both.
   */
  readonly named: (place: string) => string
}

export interface Taken {
  readonly atMs: number
  goneAtMs: number | undefined
}

export const arrivalOf = (device: string, channel: string, u: number): string =>
  `${device}/${channel} ${u}`

export const idOf = (device: string, channel: string, epoch: number, offset: number): string =>
  `${device}:${channel}:${epoch.toString(36)}:${offset}`

/** The device that a command is for, by its id. */
export const deviceOfId = (id: string): string => id.slice(0, id.indexOf(':'))

export const channelOfId = (id: string): string => id.split(':')[1] ?? ''

/** Accepted for later: its id says nothing of its place. */
export const isForLater = (id: string): boolean => id.split(':')[2] === '0'

export function gather(journal: Journal): Facts {
  const askByN = new Map<number, Ask>()
  const accepted = new Map<string, AcceptedCommand>()
  for (const ask of journal.asks) {
    askByN.set(ask.n, ask)
    for (const attempt of ask.attempts) {
      if (attempt.accepted === undefined || accepted.has(attempt.accepted.id)) continue
      accepted.set(attempt.accepted.id, {
        ask,
        accepted: attempt.accepted,
        firstAskedAtMs: ask.attempts[0]!.askedAtMs,
        answeredAtMs: attempt.answeredAtMs!,
      })
    }
  }
  const named = namesOfPlaces(journal, accepted.keys())
  const written = new Map<string, Wire[]>()
  const repliesWritten = new Map<string, Wire[]>()
  const taken = new Map<string, Taken[]>()
  const takenIn = new Map<number, Taken[]>()
  const arrivals = new Map<string, Set<string>>()
  for (const frame of journal.wire) {
    const { what, session, device, channel, atMs } = frame
    if (what.kind === 'taken') {
      const one: Taken = { atMs, goneAtMs: undefined }
      push(taken, what.id, one)
      push(takenIn, session, one)
    } else if (what.kind === 'gone') {
      for (const one of takenIn.get(session) ?? []) one.goneAtMs ??= atMs
    } else if (what.kind === 'event') {
      const key = arrivalOf(device, channel, what.u)
      const there = arrivals.get(key)
      if (there === undefined) arrivals.set(key, new Set([what.arrival]))
      else there.add(what.arrival)
    }
    if (frame.what.kind !== 'command' && frame.what.kind !== 'reply') continue
    const id = named(placeOf(frame, frame.what))
    push(frame.what.kind === 'command' ? written : repliesWritten, id, frame)
  }
  return {
    journal,
    askByN,
    broadcastByN: new Map(journal.broadcasts.map((ask) => [ask.n, ask])),
    broadcastByName: new Map(journal.broadcasts.map((ask) => [ask.name, ask])),
    accepted,
    named,
    receipts: group(journal.receipts, (receipt) => named(receipt.id)),
    ended: group(
      journal.log.filter((entry) => entry.type === 'command.ended'),
      (entry) => entry.command ?? '',
    ),
    written,
    repliesWritten,
    taken,
    arrivals,
  }
}

const placeOf = (
  { device, channel }: Wire,
  { id, epoch, offset }: { readonly id?: string; readonly epoch: number; readonly offset: number },
): string => id ?? idOf(device, channel, epoch, offset)

/** Commands of an ask with a key, or for later, are told by their name: `k<n>`, `s<n>`. */
const numberInName = /^[ks](\d+)$/

/** See {@link Facts.named}. */
function namesOfPlaces(journal: Journal, accepted: Iterable<string>): Facts['named'] {
  const later = new Map<number, string>()
  const known = new Set<string>()
  for (const id of accepted) if (isForLater(id)) known.add(id)
  for (const ask of journal.asks) {
    for (const { accepted: answer } of ask.attempts) {
      if (answer !== undefined && known.has(answer.id)) later.set(ask.n, answer.id)
    }
  }
  for (const { type, command, name } of journal.log) {
    if (type !== 'command.ended' || command === undefined || !isForLater(command)) continue
    const match = numberInName.exec(name ?? '')
    if (match !== null) later.set(Number(match[1]), command)
  }
  const names = new Map<string, string>()
  const note = (place: string, n: number | undefined): void => {
    const id = n === undefined ? undefined : later.get(n)
    if (id !== undefined) names.set(place, id)
  }
  if (later.size > 0) for (const { id, n } of journal.receipts) note(id, n)
  for (const { device, channel, what } of journal.wire) {
    if (what.kind !== 'command') continue
    const place = idOf(device, channel, what.epoch, what.offset)
    // Where a message says both nothing has to be guessed.
    if (what.id === undefined) note(place, what.n)
    else if (what.id !== place && !Number.isNaN(what.offset)) names.set(place, what.id)
  }
  return (place) => names.get(place) ?? place
}

export function group<T>(from: readonly T[], by: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of from) push(groups, by(item), item)
  return groups
}

function push<K, T>(into: Map<K, T[]>, key: K, item: T): void {
  const there = into.get(key)
  if (there === undefined) into.set(key, [item])
  else there.push(item)
}

/** What went wrong, at most this many words of each sort: a broken server breaks everything. */
export class Findings {
  readonly all: Finding[] = []

  add(rule: string, text: string): void {
    this.all.push({ rule, text })
  }
}
