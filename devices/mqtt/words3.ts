import { escapeLevel, unescapeLevel } from './topic-text.ts'
import { asBuffer, idOf, readPosition, type Words } from './words.ts'

/**
 * MQTT 3.1.1 has nothing but topics to say things in:
 *
 *     detailed/channels/{channel}/commands/{id}/{position}/{delivery}/{expect}/{expires}/{left}/{name}
 *     stamped/{stamp}/channels/{channel}/events/{type}
 *     stamped/{stamp}/replies/{id}/{status}/{reason}
 */
export const words3: Words = {
  version: 4,

  filter: (channel) => `detailed/channels/${channel}/commands/#`,

  command({ topic, payload, dup }) {
    const levels = topic.split('/')
    const [, , channel, , , position, delivery, expect, expires, left, name] = levels
    const place = readPosition(position)
    const expiresAtMs = readNumber(expires)
    const leftMs = readNumber(left)
    if (levels.length !== 11 || channel === undefined || name === undefined) return undefined
    if (place === undefined || expiresAtMs === undefined || leftMs === undefined) return undefined
    const bytes = asBuffer(payload)
    return {
      channel,
      epoch: place.epoch,
      expiresAtMs,
      leftMs,
      frame: {
        type: 'command',
        offset: place.offset,
        name: unescapeLevel(name),
        payload: bytes,
        // Nobody says what it is, so it is what it looks like.
        binary: !isJson(bytes),
        replyExpected: expect === 'reply',
        now: delivery === 'now',
        repeated: dup,
      },
    }
  },

  say(uplink, speaker) {
    const { channel, uplinkEpoch } = speaker
    const stamped = uplinkEpoch === undefined ? '' : `stamped/${uplinkEpoch}.${uplink.sequence}/`
    if (uplink.kind === 'event')
      return { topic: `${stamped}channels/${channel}/events/${escapeLevel(uplink.name)}` }
    const { epoch, offset, status, reason } = uplink
    const why = reason === undefined || reason === '' ? '' : `/${escapeLevel(reason)}`
    return { topic: `${stamped}replies/${idOf(speaker, epoch, offset)}/${status}${why}` }
  },
}

const readNumber = (text: string | undefined): number | undefined =>
  /^\d{1,16}$/.test(text ?? '') ? Number(text) : undefined

function isJson(bytes: Buffer): boolean {
  if (bytes.length === 0) return true
  try {
    JSON.parse(bytes.toString('utf8'))
    return true
  } catch {
    return false
  }
}
