import type { Journal } from '../journal.ts'
import { type RawFigures, rawFigures } from './allowances.ts'
import type { BroadcastFigures } from './broadcasts.ts'
import { broadcastsWhole } from './broadcasts.ts'
import {
  acceptedInOrder,
  aliasesTrue,
  handedOver,
  linesInOrder,
  nobodyElseAsked,
  nothingLost,
  oneKeyOneCommand,
} from './commands.ts'
import type { DeadLinkFigures } from './dead-links.ts'
import { deadLinksFound } from './dead-links.ts'
import { countsTrue, endsFit } from './ends.ts'
import { logStands, reportsKept } from './events.ts'
import type { Facts, Finding, JudgeOptions } from './facts.ts'
import { Findings, gather, isForLater } from './facts.ts'
import { faultsBounded } from './faults.ts'
import type { LineFigures } from './lines.ts'
import { linesAnswered } from './lines.ts'
import { outcomesTrue, repliesKept } from './outcomes.ts'
import type { PushFigures } from './pushes.ts'
import { pushed } from './pushes.ts'
import { namesTrue, Registers } from './registers.ts'
import type { WireFigures } from './wire.ts'
import { onceOnTheWire } from './wire.ts'

export interface Verdict {
  readonly findings: readonly Finding[]
  readonly figures: Figures
}

export interface Figures {
  readonly asks: number
  readonly requests: number
  readonly accepted: number
  readonly unclear: number
  readonly refused: number
  /** Commands that ended without an accepted answer: an unclear request that was kept. */
  readonly keptUnclear: number
  /** Of those, where the only answer was 503 or 507: the failed write had reached the disk. */
  readonly keptUnavailable: number
  readonly handedOver: number
  readonly ended: Readonly<Record<string, number>>
  readonly reports: number
  readonly reportsAcknowledged: number
  /** Largest time from expiry to hand-over; negative: none was late. */
  readonly latestMs: number
  readonly wire: WireFigures
  readonly deadLinks: DeadLinkFigures
  readonly raw: RawFigures
  readonly lines: LineFigures
  readonly broadcasts: BroadcastFigures
  readonly pushes: PushFigures
  /** Commands accepted by alias, for later, with a callback. */
  readonly byAlias: number
  readonly forLater: number
  readonly withCallback: number
  /** Changes of names that were answered, and times that names were looked at. */
  readonly nameWrites: number
  readonly nameReads: number
}

/**
 * Judge what was seen from outside. Pure: the same journal gives the same verdict. Without `final`
 * only what is certain already is said, so it can be asked while the gateway is under load.
 */
export function judge(journal: Journal, options: JudgeOptions): Verdict {
  const facts = gather(journal)
  const findings = new Findings()
  for (const { rule, text } of journal.oddities) findings.add(rule, text)
  const registers = new Registers(journal)
  nothingLost(facts, findings, options)
  const latestMs = handedOver(facts, findings, registers, options)
  acceptedInOrder(facts, findings)
  linesInOrder(facts, findings)
  const lines = linesAnswered(facts, findings)
  aliasesTrue(facts, findings, registers)
  namesTrue(facts, findings, registers)
  const broadcasts = broadcastsWhole(facts, findings, registers, options)
  const pushes = pushed(facts, findings, options)
  oneKeyOneCommand(facts, findings)
  endsFit(facts, findings, options)
  countsTrue(facts, findings)
  outcomesTrue(facts, findings, options)
  repliesKept(facts, findings, options)
  const wire = onceOnTheWire(facts, findings)
  const deadLinks = deadLinksFound(facts, findings, options)
  reportsKept(facts, findings, options)
  logStands(facts, findings)
  faultsBounded(facts, findings)
  if (options.final) nobodyElseAsked(facts, findings, registers)

  let requests = 0
  let unclear = 0
  let refused = 0
  let keptUnavailable = 0
  const handed = new Set(journal.receipts.map((receipt) => receipt.n))
  for (const ask of journal.asks) {
    let promised = false
    let unavailable = 0
    for (const attempt of ask.attempts) {
      if (attempt.verdict === 'unreached') continue
      requests++
      if (attempt.verdict === 'unclear' || attempt.verdict === 'pending') unclear++
      if (attempt.verdict === 'refused') refused++
      if (attempt.verdict === 'unavailable') {
        refused++
        unavailable++
      }
      if (attempt.verdict === 'accepted' || attempt.verdict === 'unclear') promised = true
    }
    if (!promised && unavailable > 0 && handed.has(ask.n)) keptUnavailable++
  }
  const ended: Record<string, number> = {}
  let keptUnclear = 0
  for (const [id, [end]] of facts.ended) {
    const word = end?.status ?? '?'
    ended[word] = (ended[word] ?? 0) + 1
    if (!facts.accepted.has(id) && !facts.broadcastByName.has(end?.name ?? '')) keptUnclear++
  }
  return {
    findings: findings.all,
    figures: {
      asks: journal.asks.length,
      requests,
      accepted: facts.accepted.size,
      unclear,
      refused,
      keptUnclear,
      keptUnavailable,
      handedOver: journal.receipts.length,
      ended,
      reports: journal.reports.length,
      reportsAcknowledged: journal.reports.filter((report) => report.acknowledgedAtMs !== undefined)
        .length,
      latestMs,
      wire,
      deadLinks,
      raw: rawFigures(journal),
      lines,
      broadcasts,
      pushes,
      ...kinds(facts),
      nameWrites: journal.writes.filter(({ verdict }) => verdict === 'kept').length,
      nameReads: journal.reads.length,
    },
  }
}

function kinds({ accepted }: Facts): Pick<Figures, 'byAlias' | 'forLater' | 'withCallback'> {
  let byAlias = 0
  let forLater = 0
  let withCallback = 0
  for (const [id, { ask }] of accepted) {
    if (ask.alias !== undefined) byAlias++
    if (isForLater(id)) forLater++
    if (ask.callback !== undefined) withCallback++
  }
  return { byAlias, forLater, withCallback }
}
