import type { Ask, Receipt } from '../journal.ts'
import { earliestMs } from '../stalls.ts'
import { mayComeAgain } from './allowances.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'
import { channelOfId, deviceOfId, group, isForLater } from './facts.ts'
import type { Registers } from './registers.ts'

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
    if (!options.final && seen?.kind === 'ended' && ends[0] !== undefined) {
      if (seen.status !== ends[0].status)
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
  if (options.final) outcomesStand(facts, findings)
}

/** Whatever has ended in the log has ended so, whoever asks, whoever was told. */
function outcomesStand(facts: Facts, findings: Findings): void {
  for (const [id, ends] of facts.ended) {
    const seen = facts.journal.statuses.get(id)
    const end = ends[0]
    if (seen === undefined || end === undefined) continue
    if (!facts.accepted.has(id)) {
      if (seen.kind === 'missing') findings.add('lost', `${id} ended in the log and is not known`)
      if (ends.length > 1) findings.add('ended-twice', `${id} ended ${ends.length} times`)
    }
    if (seen.kind === 'open' || (seen.kind === 'ended' && seen.status !== end.status)) {
      findings.add(
        'outcome-disagrees',
        `${id}: ${end.status} in the log, its status ${seen.status}`,
      )
    } else if (seen.kind === 'ended' && seen.reason !== end.reason) {
      findings.add(
        'outcome-disagrees',
        `${id}: ${end.status}(${end.reason}) in the log, its status says (${seen.reason})`,
      )
    }
  }
}

/** "delivered" is an end only for who wants no more. */
const isEnd = (status: string, ask: Ask): boolean =>
  status !== 'queued' && status !== 'sent' && !(status === 'delivered' && ask.expect === 'reply')

/** How much before its time a hand-over may look: one clock, read by two processes. */
const earlyMs = 50

/** Each thing asked for reaches its own device, on its own channel, once, in order, in time. */
export function handedOver(
  facts: Facts,
  findings: Findings,
  registers: Registers,
  options: JudgeOptions,
): number {
  const seen = new Map<string, Receipt[]>()
  const tops = new Map<string, Receipt>()
  /** The same within each session of a device that may get something again. */
  const sessionTops = new Map<string, Receipt>()
  let latestMs = Number.NEGATIVE_INFINITY
  for (const receipt of facts.journal.receipts) {
    const where = `${receipt.device}/${receipt.channel}`
    const broadcast = facts.broadcastByN.get(receipt.n)
    // Of a broadcast each member has one.
    const which = broadcast === undefined ? `${receipt.n}` : `${receipt.n} ${receipt.device}`
    const before = seen.get(which)
    if (receipt.raw !== undefined) {
      const { family, session } = receipt.raw
      // Of the same device: what it gets twice by one observation it gets at the same place.
      inOrder(findings, sessionTops, `${where} ${family} ${session}`, receipt, before !== undefined)
    }
    if (before !== undefined) {
      mayComeAgain(facts, findings, before, receipt, options)
      before.push(receipt)
      continue
    }
    seen.set(which, [receipt])
    inOrder(findings, tops, where, receipt, false)
    if (broadcast !== undefined) {
      if (broadcast.channel !== receipt.channel) {
        findings.add('misrouted', `broadcast ${broadcast.name} reached ${where}`)
      }
      continue
    }
    const ask = facts.askByN.get(receipt.n)
    if (ask === undefined) {
      findings.add('phantom', `${where} was handed ${receipt.id} which nobody asked for`)
      continue
    }
    const lateMs = rightPlace(facts, findings, registers, ask, receipt)
    if (lateMs > latestMs) latestMs = lateMs
    if (lateMs > options.toleranceMs) {
      findings.add('late', `${receipt.id} was handed over ${lateMs} ms after it had expired`)
    }
    const leftMs = (ask.notBeforeMs ?? 0) - receipt.atMs
    if (leftMs > earlyMs) {
      findings.add('early', `${receipt.id} (ask ${ask.n}) was handed over ${leftMs} ms too early`)
    }
  }
  return latestMs
}

/** Offsets grow. What was for later may come without a place that its device can know. */
function inOrder(
  findings: Findings,
  tops: Map<string, Receipt>,
  where: string,
  receipt: Receipt,
  again: boolean,
): void {
  const { id, offset } = receipt
  if (Number.isNaN(offset)) return
  const top = tops.get(where)
  if (top !== undefined && (offset < top.offset || (offset === top.offset && !again))) {
    findings.add('reordered', `${where} was handed ${id} after ${top.id}`)
  } else tops.set(where, receipt)
}

/** @returns how late it came; NaN where that is not known. */
function rightPlace(
  facts: Facts,
  findings: Findings,
  registers: Registers,
  ask: Ask,
  receipt: Receipt,
): number {
  const id = facts.named(receipt.id)
  const where = `${receipt.device}/${receipt.channel}`
  const known = facts.accepted.get(id)
  if (known !== undefined && known.ask !== ask) {
    findings.add(
      'position-reused',
      `${receipt.id} was answered to ask ${known.ask.n}, carries ${ask.n}`,
    )
  }
  const answered = ask.attempts.find((attempt) => attempt.accepted !== undefined)?.accepted
  // Rule 27: by whatever name it was asked for, it is for the device that its answer names.
  const device = answered === undefined ? ask.device : deviceOfId(answered.id)
  const right =
    device === '' ? couldBeFor(registers, ask, receipt.device) : device === receipt.device
  if (!right || ask.channel !== receipt.channel) {
    const whom = device === '' ? `whoever ${ask.alias} stood for` : device
    findings.add('misrouted', `ask ${ask.n} for ${whom}/${ask.channel} reached ${where}`)
  }
  const { attempts } = ask
  if (attempts.every(({ verdict }) => verdict === 'refused' || verdict === 'unreached')) {
    findings.add('refused-yet-kept', `ask ${ask.n} was refused and handed over as ${receipt.id}`)
  }
  if (known === undefined) return Number.NaN
  const { stalls } = facts.journal
  const expiresAtMs = expiryOf(facts, known.accepted)
  const lateMs = earliestMs(stalls, receipt.atMs) - expiresAtMs
  if (receipt.raw?.blind !== true) return lateMs
  // Rule 2: who is not told the deadline gets what was first written before it.
  const writtenAtMs = facts.written.get(id)?.[0]?.atMs ?? receipt.atMs
  return Math.min(lateMs, writtenAtMs - expiresAtMs)
}

/** What its answer says, or, where that says nothing, its outcome. */
const expiryOf = (
  facts: Facts,
  { id, expiresAtMs }: { readonly id: string; readonly expiresAtMs: number },
): number =>
  Number.isNaN(expiresAtMs) ? (facts.ended.get(id)?.[0]?.expiresAtMs ?? Number.NaN) : expiresAtMs

/** Could one of its requests have been accepted for this device? */
export function couldBeFor(registers: Registers, ask: Ask, device: string): boolean {
  if (ask.alias === undefined) return ask.device === device
  const register = `alias/${ask.alias}`
  return ask.attempts.some(({ askedAtMs, answeredAtMs }) =>
    registers.could(register, device, askedAtMs, answeredAtMs ?? Number.POSITIVE_INFINITY),
  )
}

/** Whoever a command was accepted for is whom its alias stood for, between question and answer. */
export function aliasesTrue(facts: Facts, findings: Findings, registers: Registers): void {
  for (const [id, { ask }] of facts.accepted) {
    if (ask.alias === undefined) {
      if (deviceOfId(id) !== ask.device) {
        findings.add('misrouted', `ask ${ask.n} for ${ask.device} was answered as ${id}`)
      }
    } else if (!couldBeFor(registers, ask, deviceOfId(id))) {
      findings.add('alias-untrue', `ask ${ask.n} for ${ask.alias} was accepted as ${id}`)
    }
  }
}

/** One call's lines take their places in its order, where each is asked for the first time. */
export function linesInOrder(facts: Facts, findings: Findings): void {
  const tops = new Map<string, { line: number; offset: number; id: string }>()
  const lines = facts.journal.asks.flatMap((ask) => {
    const first = ask.attempts[0]
    return first?.line === undefined || first.accepted === undefined
      ? []
      : [{ ...first.line, accepted: first.accepted }]
  })
  lines.sort((a, b) => a.call - b.call || a.line - b.line)
  for (const { call, line, accepted } of lines) {
    const { id, offset } = accepted
    if (isForLater(id)) continue
    const key = `${call} ${deviceOfId(id)}/${channelOfId(id)}`
    const top = tops.get(key)
    if (top !== undefined && offset <= top.offset) {
      findings.add(
        'reordered',
        `call ${call}: line ${line} became ${id}, line ${top.line} before it ${top.id}`,
      )
    } else tops.set(key, { line, offset, id })
  }
}

/**
 * Order at the door is one half; the other: what was accepted before something else was even asked
 * for lies before it in the mailbox.
 */
export function acceptedInOrder(facts: Facts, findings: Findings): void {
  const placed = [...facts.accepted.values()].filter(({ accepted }) => !isForLater(accepted.id))
  const channels = group(placed, ({ ask, accepted }) => `${deviceOfId(accepted.id)}/${ask.channel}`)
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

/** 409, or what is looked at before the key: who calls, whom for, and how much by now. */
const mayRefuse = new Set([401, 404, 409, 429])

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
      if (attempt.http !== undefined && attempt.http < 500 && !mayRefuse.has(attempt.http)) {
        findings.add('key-body', `key ${ask.key} with another body was answered ${attempt.http}`)
      }
    }
  }
}

/** Ids that appeared without an accepted answer must go back to requests that got no clear one. */
export function nobodyElseAsked(facts: Facts, findings: Findings, registers: Registers): void {
  const extra = new Map<string, string[]>()
  for (const [id, [end]] of facts.ended) {
    if (facts.accepted.has(id) || end === undefined) continue
    // What a broadcast made is judged with it.
    if (facts.broadcastByName.has(end.name ?? '')) continue
    const where = `${end.device}/${end.channel ?? channelOfId(id)}`
    extra.set(where, [...(extra.get(where) ?? []), id])
  }
  const unclear = new Map<string, number>()
  for (const ask of facts.journal.asks) {
    let requests = 0
    for (const { verdict } of ask.attempts) {
      if (verdict === 'pending' || verdict === 'unclear' || verdict === 'unavailable') requests++
    }
    if (requests === 0) continue
    const devices = ask.alias === undefined ? [ask.device] : registers.values(`alias/${ask.alias}`)
    for (const device of devices) {
      if (!couldBeFor(registers, ask, device)) continue
      const where = `${device}/${ask.channel}`
      unclear.set(where, (unclear.get(where) ?? 0) + requests)
    }
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
