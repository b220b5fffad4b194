import { replied } from '../channel/index.ts'
import type { EndedCommand, Found, NewEvent, Settlement, StampedReply } from '../contract/index.ts'
import { channelParts, lateStep, scheduledEpoch } from '../contract/index.ts'

/** A command that has a place, so that a device may have it. One that waits for its time has none. */
export const isPlaced = (found: Found | undefined): found is Found =>
  found !== undefined && (found.kind === 'ended' || found.command.epoch !== scheduledEpoch)

/**
 * What keeping a reply to a command changes. Of one that is open: its end, the reply event and, by the
 * caller, the stamp are one batch (rule 16). Of one that has ended: nothing, but it is told (rule 8).
 */
export function replySettlement(reply: StampedReply, found: Found, atMs: number): Settlement {
  const { status, reason, payload, contentType, stamp } = reply
  const answer = { status, reason, payload, contentType }
  const { id, offset, traceparent } = found.command
  const trace = traceparent === undefined ? undefined : { traceparent }
  const about = { ...channelParts(found.command.channel), atMs, command: id, ...trace }
  const late: NewEvent = { kind: 'command.late', ...about, proof: 'reply', reply: answer }
  if (found.kind === 'ended') {
    const change = { status, reason, atMs }
    return { changes: [], late: [{ offset, step: lateStep(change) }], events: [late] }
  }
  const event: NewEvent = { kind: 'reply', ...about, reply: answer, stamp }
  return { changes: [{ ...replied(found.command, answer, atMs), told: { event, late } }] }
}

/** Has a reply to it been kept before? */
export const answered = (found: Found): boolean =>
  found.kind === 'ended' && (found.command.reply !== undefined || lateReply(found.command))

const lateReply = ({ timeline }: EndedCommand): boolean =>
  timeline.some(({ late, status }) => late === true && status !== 'delivered')
