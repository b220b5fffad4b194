import type { KeptCommand } from '../../../src/contract/index.ts'
import type { Outgoing } from '../wire.ts'
import type { Publication } from './encode.ts'

/** Longest a message expiry can be said to be (§3.3.2.3.3). */
const expiryMaxS = 0xffff_ffff

/**
 * A command in MQTT's words. It says twice when it is over: in seconds left, which a library can
 * watch, and as a point in time, which holds however long it lay in a buffer (rule 2).
 */
export function publicationOf(
  { topic, qos, messageId, dup, command }: Outgoing,
  responseTopic: string | undefined,
  subscriptionIds: readonly number[],
  nowMs: number,
): Publication {
  const leftS = Math.ceil((command.expiresAtMs - nowMs) / 1000)
  return {
    topic,
    payload: command.payload,
    qos,
    id: messageId,
    dup,
    messageExpiryS: Math.min(expiryMaxS, Math.max(1, leftS)),
    contentType: command.contentType,
    responseTopic,
    correlation: command.id,
    subscriptionIds,
    user: userProperties(command),
  }
}

function userProperties(command: KeptCommand): [name: string, value: string][] {
  const { id, epoch, offset, expiresAtMs, name, delivery, expect, traceparent } = command
  const user: [string, string][] = [
    ['pike-command', id],
    ['pike-name', name],
    ['pike-position', `${epoch}.${offset}`],
    ['pike-expires-at', new Date(expiresAtMs).toISOString()],
  ]
  if (delivery === 'now') user.push(['pike-delivery', delivery])
  if (expect === 'reply') user.push(['pike-expect', expect])
  if (traceparent !== undefined) user.push(['traceparent', traceparent])
  return user
}
