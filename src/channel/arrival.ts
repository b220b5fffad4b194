import type {
  Change,
  ChannelId,
  Epoch,
  Head,
  Limits,
  NewEvent,
  Position,
  Settlement,
} from '../contract/index.ts'
import { channelParts } from '../contract/index.ts'
import { acknowledged, ended, notReceived } from './lifecycle.ts'

/** What a device brings to an attachment, already checked and within limits. */
export interface Arrival {
  /** Infinity: silence is nothing to the core. */
  readonly keepaliveMs: number
  readonly windowMaxCommands: number
  readonly resumeFrom: Position | undefined
  readonly uplinkEpoch: Epoch | undefined
  /** Whether its link tells what has arrived (rule 23). */
  readonly acknowledges: boolean
}

/**
 * What a device's arrival settles by itself, before anything is sent.
 *
 *     up to where it starts   acknowledged (rule 14)
 *     a `now` beyond, sent    in doubt: never written twice (rule 5)
 *     the first one beyond    counted as a session that did not get it; the tenth is the last (rule 7)
 */
export function settleArrival(
  channel: {
    readonly id: ChannelId
    readonly resumed: 'resumed' | 'fresh' | 'tail-lost'
    readonly position: Position
  },
  head: Head,
  arrival: Arrival,
  limits: Limits,
  nowMs: number,
): Settlement {
  const changes: Change[] = []
  const start = channel.position.offset
  let attempts = head.attempts
  let headSeen = false
  for (const command of head.open) {
    if (command.deliveredAtMs !== undefined) continue
    if (command.offset <= start) {
      const change = acknowledged(command, nowMs)
      if (change !== undefined) changes.push(change)
      continue
    }
    const doubt = notReceived(command, channel.resumed === 'resumed', nowMs)
    if (doubt !== undefined) {
      changes.push(doubt)
      continue
    }
    // Where nothing is ever acknowledged, that it was not says nothing.
    if (headSeen || !command.maybeSent || !arrival.acknowledges) continue
    const sessions = attempts?.offset === command.offset ? attempts.sessions + 1 : 1
    attempts = { offset: command.offset, sessions }
    if (sessions < limits.attemptsMax) headSeen = true
    else changes.push(ended(command, 'undeliverable', 'attempts', nowMs))
  }
  const intendUpTo = Math.max(head.intended, Math.min(head.top, start + arrival.windowMaxCommands))
  return { changes, events: tailLost(channel, arrival, nowMs), attempts, intendUpTo }
}

/** A device that stands where this store has never been is told of, never silently skipped. */
function tailLost(
  { id, resumed }: { readonly id: ChannelId; readonly resumed: string },
  { resumeFrom }: Arrival,
  nowMs: number,
): NewEvent[] {
  if (resumed !== 'tail-lost' || resumeFrom === undefined) return []
  const { app, device, channel } = channelParts(id)
  return [{ kind: 'position.unknown', app, device, channel, atMs: nowMs, claimed: resumeFrom }]
}
