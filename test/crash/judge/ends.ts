import type { Ask } from '../journal.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'
import { channelOfId, deviceOfId } from './facts.ts'

/** Only a channel that chose so drops its oldest. */
const dropping = 'media'

/** Who replaced what, and who asked: what only some outcomes say. */
export function endsFit(facts: Facts, findings: Findings, options: JudgeOptions): void {
  const replacing = new Map<string, { ask: Ask; offset: number }[]>()
  for (const [id, { ask, accepted }] of facts.accepted) {
    if (ask.collapse === undefined) continue
    const key = `${deviceOfId(id)}/${ask.channel} ${ask.collapse}`
    const some = replacing.get(key)
    if (some === undefined) replacing.set(key, [{ ask, offset: accepted.offset }])
    else some.push({ ask, offset: accepted.offset })
  }
  for (const [id, [end]] of facts.ended) {
    const ask = facts.accepted.get(id)?.ask
    if (end === undefined || ask === undefined) continue
    if (ask.askedBy !== undefined && end.askedBy !== ask.askedBy) {
      findings.add('asked-by', `${id} was asked for by ${ask.askedBy}, the log says ${end.askedBy}`)
    }
    if (end.status === 'dropped' && channelOfId(id) !== dropping) {
      findings.add('outcome-untrue', `${id} was dropped from a channel that drops nothing`)
    }
    if (end.status !== 'superseded') continue
    if (ask.collapse === undefined) {
      findings.add('outcome-untrue', `${id} was superseded and named no collapse key`)
      continue
    }
    if (!options.final) continue
    const key = `${deviceOfId(id)}/${ask.channel} ${ask.collapse}`
    const others = (replacing.get(key) ?? []).some((other) => other.ask !== ask)
    // Who replaced it may be one of those that got no answer.
    if (!others && !facts.journal.asks.some((other) => mayReplace(other, ask, id))) {
      findings.add('outcome-untrue', `${id} was superseded, and nobody sent another`)
    }
  }
}

const mayReplace = (other: Ask, ask: Ask, id: string): boolean =>
  other !== ask &&
  other.collapse === ask.collapse &&
  other.channel === ask.channel &&
  (other.device === deviceOfId(id) || other.alias !== undefined) &&
  other.attempts.some(({ verdict }) => verdict === 'unclear' || verdict === 'unavailable')

/** The app's own counting is that of its log: each command that was accepted has one end there. */
export function countsTrue(facts: Facts, findings: Findings): void {
  const { appCounts, reread } = facts.journal
  if (appCounts === undefined || reread === undefined) return
  const words: Record<string, number> = {}
  const ids = new Set<string>()
  for (const { type, command, status } of reread) {
    if (type !== 'command.ended' || ids.has(command ?? '')) continue
    ids.add(command ?? '')
    words[status ?? ''] = (words[status ?? ''] ?? 0) + 1
  }
  const { accepted, open, ended } = appCounts
  const sum = Object.values(ended).reduce((total, count) => total + count, 0)
  if (accepted !== sum + open) {
    findings.add('counts', `the app counts ${accepted} accepted, ${sum} ended and ${open} open`)
  }
  if (accepted !== ids.size + open) {
    findings.add('counts', `the app counts ${accepted} accepted, its log has ${ids.size} ends`)
  }
  for (const word of new Set([...Object.keys(words), ...Object.keys(ended)])) {
    if ((words[word] ?? 0) !== (ended[word] ?? 0)) {
      findings.add(
        'counts',
        `the app counts ${ended[word] ?? 0} ${word}, its log has ${words[word] ?? 0}`,
      )
    }
  }
}
