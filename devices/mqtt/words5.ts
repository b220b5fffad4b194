import { escapeLevel } from './topic-text.ts'
import { asBuffer, idOf, readPosition, type Saying, type Words } from './words.ts'

const json = 'application/json'
const octets = 'application/octet-stream'

/** MQTT 5 says in properties what no topic need carry. */
export const words5: Words = {
  version: 5,

  filter: (channel) => `channels/${channel}/commands/#`,

  command({ topic, payload, dup, properties }) {
    const user = properties?.userProperties ?? {}
    const place = readPosition(one(user['pike-position']))
    const expiresAtMs = Date.parse(one(user['pike-expires-at']) ?? '')
    const name = one(user['pike-name'])
    const leftS = properties?.messageExpiryInterval
    const channel = topic.split('/')[1]
    if (place === undefined || channel === undefined || name === undefined) return undefined
    if (leftS === undefined || Number.isNaN(expiresAtMs)) return undefined
    return {
      channel,
      epoch: place.epoch,
      expiresAtMs,
      leftMs: leftS * 1000,
      frame: {
        type: 'command',
        offset: place.offset,
        name,
        payload: asBuffer(payload),
        binary: properties?.contentType !== json,
        replyExpected: one(user['pike-expect']) === 'reply',
        now: one(user['pike-delivery']) === 'now',
        repeated: dup,
      },
    }
  },

  say(uplink, speaker) {
    const { channel, uplinkEpoch } = speaker
    const user: Record<string, string> = {}
    if (uplinkEpoch !== undefined) user['pike-stamp'] = `${uplinkEpoch}.${uplink.sequence}`
    const contentType = uplink.binary ? octets : json
    // For an empty list of them the library writes no packet at all.
    const properties = (): Saying['properties'] =>
      Object.keys(user).length === 0 ? { contentType } : { contentType, userProperties: user }
    if (uplink.kind === 'event') {
      const name = escapeLevel(uplink.name)
      if (name !== uplink.name) user['pike-name'] = uplink.name
      return { topic: `channels/${channel}/events/${name}`, properties: properties() }
    }
    const { epoch, offset, status, reason } = uplink
    user['pike-status'] = status
    if (reason !== undefined && reason !== '') user['pike-reason'] = reason
    return { topic: `replies/${idOf(speaker, epoch, offset)}`, properties: properties() }
  },
}

/** Only one of a name is ours. */
const one = (value: string | readonly string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined
