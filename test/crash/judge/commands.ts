import type { Ask, Receipt } from '../journal.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'
import { group } from './facts.ts'

/** Accepted means kept: nothing lost, nothing open for ever, exactly one published end. */
export function nothingLost(facts: Facts, findings: Findings, options: JudgeOptions): void {
  for (const [id, { ask }] of facts.accepted) {
    const seen = facts.journal.statuses.get(id)
    const ends = facts.ended.get(id) ?? []
    const who = `${id} (ask ${ask.n})`
    if (seen?.kind === 'missing')
      findings.add('lost', `${who} was accepted and is not known any more`)
    if (ends.length > 1) {
      const words = ends.map((end) => `${end.status} in ${end.id}`).join(', ')
      findings.add('ended-twice', `${who} ended more than once: ${words}`)
    }
    if (seen?.kind === 'ended' && ends[0] !== undefined && seen.status !== ends[0].status) {
      findings.add(
        'outcome-disagrees',
        `${who}: the log says ${ends[0].status}, its status says ${seen.status}`,
      )
    }
    for (const attempt of ask.attempts) {
      const answer = attempt.accepted
      if (attempt.http !== 200 || answer?.id !== id || ends[0] === undefined) continue
      if (isEnd(answer.status, ask) && answer.status !== ends[0].status) {
        findings.add(
          'outcome-disagrees',
          `${who}: answered as ${answer.status}, the log says ${ends[0].status}`,
        )
      }
    }
    if (!options.final || seen?.kind === 'missing') continue
    if (seen === undefined) findings.add('unknown', `${who}: its status could not be read`)
    else if (seen.kind === 'open') findings.add('never-ended', `${who} is still ${seen.status}`)
    else if (ends.length === 0) {
      findings.add('end-unpublished', `${who} ended ${seen.status}, and the log never said so`)
    }
  }
}

/** "delivered" is an end only for who wants no more. */
const isEnd = (status: string, ask: Ask): boolean =>
  status !== 'queued' && status !== 'sent' && !(status === 'delivered' && ask.expect === 'reply')

/** Each thing asked for reaches its own device, on its own channel, once, in order, in time. */
export function handedOver(facts: Facts, findings: Findings, options: JudgeOptions): number {
  const seenN = new Map<number, Receipt>()
  const tops = new Map<string, Receipt>()
  let latestMs = Number.NEGATIVE_INFINITY
  for (const receipt of facts.journal.receipts) {
    const where = `${receipt.device}/${receipt.channel}`
    const ask = facts.askByN.get(receipt.n)
    const before = seenN.get(receipt.n)
    if (before !== undefined) {
      findings.add(
        'applied-twice',
        `ask ${receipt.n} was handed over as ${before.id} and ${receipt.id}`,
      )
      continue
    }
    seenN.set(receipt.n, receipt)
    if (ask === undefined) {
      findings.add('phantom', `${where} was handed ${receipt.id} which nobody asked for`)
      continue
    }
    if (ask.device !== receipt.device || ask.channel !== receipt.channel) {
      findings.add('misrouted', `ask ${ask.n} for ${ask.device}/${ask.channel} reached ${where}`)
    }
    const top = tops.get(where)
    if (top !== undefined && receipt.offset <= top.offset) {
      findings.add('reordered', `${where} was handed ${receipt.id} after ${top.id}`)
    } else tops.set(where, receipt)
    const known = facts.accepted.get(receipt.id)
    if (known !== undefined) {
      if (known.ask !== ask) {
        findings.add(
          'position-reused',
          `${receipt.id} was answered to ask ${known.ask.n}, carries ${ask.n}`,
        )
      }
      const lateMs = receipt.atMs - known.accepted.expiresAtMs
      if (lateMs > latestMs) latestMs = lateMs
      if (lateMs > options.toleranceMs) {
        findings.add('late', `${receipt.id} was handed over ${lateMs} ms after it had expired`)
      }
    }
    const { attempts } = ask
    if (attempts.every(({ verdict }) => verdict === 'refused' || verdict === 'unreached')) {
      findings.add('refused-yet-kept', `ask ${ask.n} was refused and handed over as ${receipt.id}`)
    }
  }
  return latestMs
}

/**
 * Order at the door is one half; the other: what was accepted before something else was even asked
 * for lies before it in the mailbox.
 */
export function acceptedInOrder(facts: Facts, findings: Findings): void {
  const channels = group([...facts.accepted.values()], ({ ask }) => `${ask.device}/${ask.channel}`)
  for (const [channel, commands] of channels) {
    const byAsked = [...commands].sort((a, b) => a.firstAskedAtMs - b.firstAskedAtMs)
    const byAnswered = [...commands].sort((a, b) => a.answeredAtMs - b.answeredAtMs)
    let done = 0
    let top = byAnswered[0]!
    let known = false
    for (const command of byAsked) {
      while (byAnswered[done]!.answeredAtMs < command.firstAskedAtMs) {
        const settled = byAnswered[done++]!
        if (!known || settled.accepted.offset > top.accepted.offset) top = settled
        known = true
      }
      if (known && command.accepted.offset <= top.accepted.offset) {
        findings.add(
          'reordered',
          `${channel}: ${command.accepted.id} was asked for after ${top.accepted.id} was accepted`,
        )
      }
    }
  }
}

/** One idempotency key is one command, whatever became of the requests that carried it. */
export function oneKeyOneCommand(facts: Facts, findings: Findings): void {
  const byName = group(
    facts.journal.log.filter((entry) => entry.type === 'command.ended' && entry.name !== undefined),
    (entry) => entry.name!,
  )
  for (const ask of facts.journal.asks) {
    const ids = new Set<string>()
    let acceptedAtMs = Number.POSITIVE_INFINITY
    for (const attempt of ask.attempts) {
      if (attempt.accepted === undefined) continue
      ids.add(attempt.accepted.id)
      acceptedAtMs = Math.min(acceptedAtMs, attempt.answeredAtMs!)
    }
    if (ask.key === undefined) continue
    for (const entry of byName.get(ask.name) ?? []) ids.add(entry.command ?? '')
    if (ids.size > 1) findings.add('key-split', `key ${ask.key} made ${[...ids].join(' and ')}`)
    for (const attempt of ask.attempts) {
      if (attempt.verdict !== 'other-body' || attempt.askedAtMs <= acceptedAtMs) continue
      if (attempt.http !== undefined && attempt.http < 500 && attempt.http !== 409) {
        findings.add('key-body', `key ${ask.key} with another body was answered ${attempt.http}`)
      }
    }
  }
}

/** Ids that appeared without an accepted answer must go back to requests that got no clear one. */
export function nobodyElseAsked(facts: Facts, findings: Findings): void {
  const unclear = new Map<string, number>()
  for (const ask of facts.journal.asks) {
    let requests = 0
    for (const attempt of ask.attempts) {
      if (attempt.verdict === 'pending' || attempt.verdict === 'unclear') requests++
      else if (attempt.verdict === 'unavailable') requests++
    }
    const where = `${ask.device}/${ask.channel}`
    unclear.set(where, (unclear.get(where) ?? 0) + requests)
  }
  const extra = new Map<string, string[]>()
  for (const [id, [end]] of facts.ended) {
    if (facts.accepted.has(id) || end === undefined) continue
    const where = `${end.device}/${end.channel ?? id.split(':')[1]}`
    extra.set(where, [...(extra.get(where) ?? []), id])
  }
  for (const [where, ids] of extra) {
    const room = unclear.get(where) ?? 0
    if (ids.length > room) {
      findings.add(
        'phantom',
        `${where}: ${ids.length} commands ended that were never accepted, ${room} requests were unclear: ${ids.slice(0, 5).join(' ')}`,
      )
    }
  }
}
