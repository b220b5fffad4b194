import type {
  Change,
  Ending,
  EndReason,
  EndStatus,
  OpenCommand,
  Reply,
  Step,
} from '../contract/index.ts'
import { dueAtMs, sentBeforeRestart } from '../contract/index.ts'

/**
 * The life of a command, and its one end.
 *
 *     queued ──▶ sent ──▶ delivered ──▶ done | failed | rejected       the device replied
 *       │          │          └───────▶ unanswered                      no reply in time
 *       │          ├─▶ (expect ack: the end) delivered
 *       │          └─▶ in-doubt                                         nobody knows (rule 3)
 *       └─▶ expired | canceled | superseded | dropped | undeliverable   certainly never written
 *
 * Each function answers with the change to keep, or undefined where nothing changes. Whether a
 * command may have been sent is a fact of the store and the channel, never guessed here.
 */

/** The device's end has it and will not need it again. */
export function acknowledged(command: OpenCommand, nowMs: number): Change | undefined {
  if (command.deliveredAtMs !== undefined) return undefined
  return command.expect === 'reply'
    ? { kind: 'delivered', offset: command.offset, atMs: nowMs }
    : ended(command, 'delivered', undefined, nowMs)
}

/** Its application answered, which acknowledges it too. */
export function replied(command: OpenCommand, reply: Reply, nowMs: number): Ending {
  const steps: readonly Step[] | undefined =
    command.deliveredAtMs === undefined ? [{ status: 'delivered', atMs: nowMs }] : undefined
  return {
    kind: 'ended',
    offset: command.offset,
    status: reply.status,
    reason: reply.reason,
    atMs: nowMs,
    reply,
    steps,
  }
}

/** Time has passed and nobody said anything. */
export function overdue(
  command: OpenCommand,
  nowMs: number,
  inDoubtGraceMs: number,
): Change | undefined {
  if (nowMs < dueAtMs(command, inDoubtGraceMs)) return undefined
  if (command.deliveredAtMs !== undefined) {
    return ended(command, 'unanswered', 'reply-timeout', nowMs) // rule 1
  }
  if (!command.maybeSent) return ended(command, 'expired', 'ttl-passed', nowMs) // rule 3
  const restarted = command.delivery === 'now' && sentBeforeRestart(command) // rule 4
  return ended(command, 'in-doubt', restarted ? 'restarted' : 'maybe-sent', nowMs)
}

/** Its device came back standing before it; only a `now` may not go again (rule 5). */
export function notReceived(
  command: OpenCommand,
  positionKnown: boolean,
  nowMs: number,
): Change | undefined {
  if (command.delivery !== 'now' || !command.maybeSent) return undefined
  return ended(command, 'in-doubt', positionKnown ? 'not-received' : 'maybe-sent', nowMs)
}

/** Its device was removed (rule 7). */
export const removed = (command: OpenCommand, nowMs: number): Change =>
  command.maybeSent || command.deliveredAtMs !== undefined
    ? ended(command, 'in-doubt', 'device-removed', nowMs)
    : ended(command, 'undeliverable', 'device-removed', nowMs)

/** A back end does not want it any more; only what is certainly unsent can go (rule 10). */
export const canceled = (command: OpenCommand, nowMs: number): Change | undefined =>
  command.maybeSent || command.deliveredAtMs !== undefined
    ? undefined
    : ended(command, 'canceled', 'requested', nowMs)

export const ended = (
  command: OpenCommand,
  status: EndStatus,
  reason: EndReason | undefined,
  nowMs: number,
): Change => ({ kind: 'ended', offset: command.offset, status, reason, atMs: nowMs })
