import type { Family, LogEntry } from '../journal.ts'
import { allowances } from './allowances.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'
import { group } from './facts.ts'

/** What a device reported: acknowledged is kept exactly once, the rest at most once, in order. */
export function reportsKept(facts: Facts, findings: Findings, options: JudgeOptions): void {
  const kept = group(
    facts.journal.log.filter((entry) => entry.type === 'event' && entry.u !== undefined),
    (entry) => `${entry.device}/${entry.channel}`,
  )
  const made = group(facts.journal.reports, (report) => `${report.device}/${report.channel}`)
  for (const [where, entries] of kept) {
    const seen = new Set<number>()
    let top = 0
    const family = made.get(where)?.[0]?.unstamped
    if (family !== undefined) againAsAllowed(facts, findings, where, family, entries)
    for (const { u, id } of entries) {
      if (u === undefined) continue
      if (seen.has(u)) {
        if (family !== undefined) continue
        findings.add('event-twice', `${where}: event ${u} is in the log again, as ${id}`)
      } else if (u < top) findings.add('event-reordered', `${where}: event ${u} came after ${top}`)
      seen.add(u)
      top = Math.max(top, u)
    }
    const real = new Set((made.get(where) ?? []).map((report) => report.u))
    for (const u of seen) {
      if (!real.has(u)) findings.add('event-phantom', `${where}: nobody reported event ${u}`)
    }
  }
  if (!options.final) return
  for (const [where, reports] of made) {
    const seen = new Set((kept.get(where) ?? []).map((entry) => entry.u))
    for (const report of reports) {
      if (report.acknowledgedAtMs !== undefined && !seen.has(report.u)) {
        findings.add(
          'event-lost',
          `${where}: event ${report.u} was acknowledged and is not in the log`,
        )
      }
    }
  }
}

/** Rule 17: without a stamp an event is kept once per arrival, and with DUP that is said. */
function againAsAllowed(
  facts: Facts,
  findings: Findings,
  where: string,
  family: Family,
  entries: readonly LogEntry[],
): void {
  const { event, eventsMarked, source } = allowances[family]
  for (const [u, copies] of group(entries, (entry) => `${entry.u}`)) {
    if (copies.length === 1) continue
    const arrivals = facts.arrivals.get(`${where} ${u}`)?.size ?? 0
    if (event === 'never' || copies.length > arrivals) {
      findings.add(
        'event-twice',
        `${where}: event ${u} is in the log ${copies.length} times, came ${arrivals} times (${source})`,
      )
    }
    if (eventsMarked && copies.filter(({ maybeRepeat }) => maybeRepeat !== true).length > 1) {
      findings.add('event-unmarked', `${where}: event ${u} came again, and the log does not say so`)
    }
  }
}

/** The log only grows: what was read once is read again, at the same place, word for word. */
export function logStands(facts: Facts, findings: Findings): void {
  const { log, reread } = facts.journal
  const ids = new Set<string>()
  for (const entry of log) {
    if (ids.has(entry.id)) findings.add('log-twice', `the log gave ${entry.id} twice`)
    ids.add(entry.id)
  }
  if (reread === undefined) return
  const again = new Map<string, LogEntry>(reread.map((entry) => [entry.id, entry]))
  for (const entry of log) {
    const now = again.get(entry.id)
    if (now === undefined)
      findings.add('log-changed', `${entry.id} (${entry.type}) is gone from the log`)
    else if (now.body !== entry.body)
      findings.add('log-changed', `${entry.id} reads differently now`)
  }
  let next = 0
  for (const entry of reread) {
    if (entry.id === log[next]?.id) next++
    else if (!ids.has(entry.id) && next < log.length) {
      findings.add('log-gap', `${entry.id} (${entry.type}) was passed over by who followed the log`)
    }
  }
}
