import type { Family, Wire } from '../journal.ts'
import { earliestMs } from '../stalls.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'

export interface DeadLinkFigures {
  /** Connections on which nothing was heard after something was sent, till they were gone. */
  readonly unanswered: number
  /** Of those, from the first thing sent to the end; negative: there were none. */
  readonly unansweredMs: number
  /** From the last byte heard to the end of one on which nothing was sent, or which cannot be asked. */
  readonly idleMs: number
}

/** From the first thing sent into a dead link until it is given up. Source: docs/weather.md. */
const unansweredMaxMs = 20_000
/** The silent are looked for in rounds. */
const roundMs = 5_000
/** Whose links are connections that answer for themselves; others have rules of their own. */
const families: readonly Family[] = ['pike', 'mqtt']
/** Of those, where the gateway can ask. An MQTT server cannot: keep-alive decides (rule 21). */
const asked: readonly Family[] = ['pike']

/**
 * A link that is dead is found: soon where something was sent and it can be asked, else by its dead-line. Whoever ends a
 * connection, it must not have stood for longer. What a fault lies in is not judged: then it was the
 * gateway that was silent.
 */
export function deadLinksFound(
  facts: Facts,
  findings: Findings,
  { toleranceMs }: JudgeOptions,
): DeadLinkFigures {
  const { wire, faults, stalls } = facts.journal
  const sentAtMs = new Map<number, number[]>()
  const figures = { unanswered: 0, unansweredMs: -1, idleMs: -1 }
  const judged = (
    { session, device, family, atMs }: Wire,
    what: Wire['what'] & { kind: 'gone' },
  ) => {
    const { heardAtMs, deadAfterMs } = what
    if (heardAtMs === undefined) return
    const goneAtMs = earliestMs(stalls, atMs)
    const disturbed = faults.some(
      (fault) =>
        fault.kind !== 'none' && fault.atMs > heardAtMs - unansweredMaxMs && fault.atMs < goneAtMs,
    )
    if (disturbed) return
    const first = sentAtMs.get(session)?.find((sent) => sent > heardAtMs)
    if (first !== undefined && asked.includes(family)) {
      const tookMs = goneAtMs - first
      figures.unanswered++
      figures.unansweredMs = Math.max(figures.unansweredMs, tookMs)
      if (tookMs > unansweredMaxMs + toleranceMs) {
        findings.add(
          'dead-link',
          `${device} over ${family}: a command was sent, nothing heard, and the connection stood for ${tookMs} ms more`,
        )
      }
      return
    }
    const tookMs = goneAtMs - heardAtMs
    figures.idleMs = Math.max(figures.idleMs, tookMs)
    if (deadAfterMs !== undefined && tookMs > deadAfterMs + roundMs + toleranceMs) {
      findings.add(
        'dead-link',
        `${device} over ${family}: nothing was heard for ${tookMs} ms, ${deadAfterMs} are its dead-line`,
      )
    }
  }
  for (const one of wire) {
    if (!families.includes(one.family)) continue
    const { session, atMs, what } = one
    if (what.kind === 'command') {
      const all = sentAtMs.get(session)
      if (all === undefined) sentAtMs.set(session, [atMs])
      else all.push(atMs)
    } else if (what.kind === 'gone') {
      judged(one, what)
      sentAtMs.delete(session)
    }
  }
  return figures
}
