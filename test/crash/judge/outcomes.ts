import type { Receipt } from '../journal.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'

const neverSent = new Set(['expired', 'canceled', 'superseded', 'dropped', 'undeliverable'])

/** Every published end is what really became of the command. */
export function outcomesTrue(facts: Facts, findings: Findings, options: JudgeOptions): void {
  const replied = new Map<string, Set<string>>()
  const say = (id: string, status: string) => {
    const words = replied.get(id)
    if (words === undefined) replied.set(id, new Set([status]))
    else words.add(status)
  }
  /** When it was said first. */
  const saidAt = new Map<string, number>()
  for (const reply of facts.journal.replies) {
    const id = facts.named(reply.id)
    say(id, reply.status)
    const key = `${id} ${reply.status}`
    if (!saidAt.has(key)) saidAt.set(key, reply.atMs)
  }
  for (const [id, frames] of facts.repliesWritten) {
    for (const frame of frames) if (frame.what.kind === 'reply') say(id, frame.what.status)
  }

  const late = new Set<string>()
  for (const entry of facts.journal.log) {
    if (entry.type === 'command.late' && entry.command !== undefined) late.add(entry.command)
  }

  for (const [id, [end]] of facts.ended) {
    const status = end?.status
    if (end === undefined || status === undefined) continue
    const receipts = facts.receipts.get(id)
    const received = receipts !== undefined
    const ask = facts.accepted.get(id)
    const why = end.reason === undefined ? status : `${status}(${end.reason})`
    if (neverSent.has(status) && end.reason !== 'attempts') {
      if (received) {
        findings.add('outcome-untrue', `${id} ended ${why}, yet the device was handed it`)
      } else if (facts.written.has(id)) {
        findings.add('outcome-untrue', `${id} ended ${why}, yet it was written to a link`)
      }
    }
    const isTaken = status === 'delivered' || status === 'unanswered'
    if (isTaken && (receipts === undefined || unacknowledged(receipts))) {
      // The device's end has it, or has it again, and refused it: true as far as it goes, if the
      // refusal is told too.
      const refused = replied.get(id)?.has('rejected') === true
      if (!refused) findings.add('outcome-untrue', `${id} ended ${why}, ${neverHad(facts, id)}`)
      else if (options.final && !late.has(id)) {
        findings.add('outcome-untrue', `${id} ended ${why}; the device refused it, untold`)
      }
    }
    if ((status === 'done' || status === 'failed') && !received) {
      findings.add('outcome-untrue', `${id} ended ${why}, ${neverHad(facts, id)}`)
    }
    if (status === 'done' || status === 'failed' || status === 'rejected') {
      if (replied.get(id)?.has(status) !== true) {
        findings.add('outcome-untrue', `${id} ended ${why}, the device never said so`)
      }
    }
    if (isTaken && receipts !== undefined)
      notBeforeItsProof(findings, receipts, end.atMs, `${id} ended ${why}`)
    const saidAtMs = saidAt.get(`${id} ${status}`)
    if (saidAtMs !== undefined && end.atMs + clocksMs < saidAtMs) {
      const early = Math.round(saidAtMs - end.atMs)
      findings.add('outcome-untrue', `${id} ended ${why} ${early} ms before the device said so`)
    }
    if (status === 'delivered' && ask?.ask.expect === 'reply') {
      findings.add('outcome-untrue', `${id} expects a reply and ended ${why}`)
    }
    if (status === 'in-doubt' && ask?.ask.delivery === 'queue') {
      if (end.atMs + options.toleranceMs < ask.accepted.expiresAtMs) {
        findings.add('outcome-untrue', `${id} ended ${why} before its deadline`)
      }
    }
    if (status === 'expired' && ask !== undefined) {
      if (end.atMs + options.toleranceMs < ask.accepted.expiresAtMs) {
        findings.add('outcome-untrue', `${id} ended ${why} before its deadline`)
      }
    }
  }
  cancelsTrue(facts, findings)
}

/** One clock, read by two processes, in whole ms. */
const clocksMs = 50

/** Promise 2: `delivered` is what the device's end acknowledged. */
const unacknowledged = (receipts: readonly Receipt[]): boolean =>
  receipts.every(({ raw }) => raw !== undefined && raw.acknowledgedAtMs === undefined)

/** Promise 2: nothing is before its proof. */
function notBeforeItsProof(
  findings: Findings,
  receipts: readonly Receipt[],
  endAtMs: number,
  what: string,
) {
  const proofs = receipts.flatMap(({ raw }) => raw?.acknowledgedAtMs ?? [])
  if (proofs.length > 0 && endAtMs + clocksMs < Math.min(...proofs)) {
    const early = Math.round(Math.min(...proofs) - endAtMs)
    findings.add('outcome-untrue', `${what} ${early} ms before the device acknowledged it`)
  }
}

function cancelsTrue(facts: Facts, findings: Findings): void {
  for (const { id, http, status } of facts.journal.cancels) {
    const end = facts.ended.get(id)?.[0]
    if (http === undefined || end === undefined) continue
    if (http < 300 && end.status !== 'canceled') {
      findings.add('outcome-disagrees', `${id} was answered as canceled and ended ${end.status}`)
    }
    // What may have been sent can no longer be canceled by anybody (rule 10).
    if (
      http === 409 &&
      end.status === 'canceled' &&
      (status === 'sent' || status === 'delivered')
    ) {
      findings.add('outcome-disagrees', `${id} was too late to cancel (${status}), ended canceled`)
    }
  }
}

function neverHad(facts: Facts, id: string): string {
  if (facts.receipts.has(id)) return 'the device never acknowledged it'
  const times = facts.written.get(id)?.length ?? 0
  return `the device never had it (seen on its wire ${times === 0 ? 'never' : `${times} times`})`
}

/** A reply the gateway acknowledged is in the log once, and is the outcome or came after one. */
export function repliesKept(facts: Facts, findings: Findings, options: JudgeOptions): void {
  const published = new Map<string, number>()
  const late = new Set<string>()
  for (const entry of facts.journal.log) {
    if (entry.command === undefined) continue
    if (entry.type === 'reply')
      published.set(entry.command, (published.get(entry.command) ?? 0) + 1)
    if (entry.type === 'command.late') late.add(entry.command)
  }
  for (const [id, times] of published) {
    if (times > 1) findings.add('reply-twice', `the reply to ${id} is in the log ${times} times`)
  }
  if (!options.final) return
  for (const reply of facts.journal.replies) {
    if (reply.acknowledgedAtMs === undefined) continue
    const id = facts.named(reply.id)
    const end = facts.ended.get(id)?.[0]
    if (!published.has(id) && !late.has(id)) {
      findings.add('reply-lost', `the reply to ${id} was acknowledged and is not in the log`)
    }
    if (end !== undefined && end.status !== reply.status && !late.has(id)) {
      findings.add(
        'outcome-untrue',
        `${id} ended ${end.status}; the acknowledged reply said ${reply.status} and is not called late`,
      )
    }
  }
}
