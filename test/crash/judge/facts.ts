import type { Accepted, Ask, Journal, LogEntry, Receipt, Wire } from '../journal.ts'

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
  readonly accepted: ReadonlyMap<string, AcceptedCommand>
  readonly receipts: ReadonlyMap<string, readonly Receipt[]>
  readonly ended: ReadonlyMap<string, readonly LogEntry[]>
  /** COMMAND frames by command id. */
  readonly written: ReadonlyMap<string, readonly Wire[]>
  /** REPLY frames by command id: what the device's end said, whoever of it said so. */
  readonly repliesWritten: ReadonlyMap<string, readonly Wire[]>
}

export const idOf = (device: string, channel: string, epoch: number, offset: number): string =>
  `${device}:${channel}:${epoch.toString(36)}:${offset}`

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
  const written = new Map<string, Wire[]>()
  const repliesWritten = new Map<string, Wire[]>()
  for (const frame of journal.wire) {
    if (frame.what.kind !== 'command' && frame.what.kind !== 'reply') continue
    const id = idOf(frame.device, frame.channel, frame.what.epoch, frame.what.offset)
    push(frame.what.kind === 'command' ? written : repliesWritten, id, frame)
  }
  return {
    journal,
    askByN,
    accepted,
    receipts: group(journal.receipts, (receipt) => receipt.id),
    ended: group(
      journal.log.filter((entry) => entry.type === 'command.ended'),
      (entry) => entry.command ?? '',
    ),
    written,
    repliesWritten,
  }
}

export function group<T>(from: readonly T[], by: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of from) push(groups, by(item), item)
  return groups
}

function push<T>(into: Map<string, T[]>, key: string, item: T): void {
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
