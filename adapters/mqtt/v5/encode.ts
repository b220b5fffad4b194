import { generate, type IConnackPacket, type Packet as Outgoing, writeToStream } from 'mqtt-packet'
import type { Code, Qos } from './packets.ts'

// Else it keeps a buffer for each of 65,536 numbers.
writeToStream.cacheNumbers = false

/** A PUBLISH to a client. */
export interface Publication {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  /** 0 with QoS 0. */
  readonly id: number
  readonly dup: boolean
  readonly messageExpiryS: number | undefined
  readonly contentType: string | undefined
  readonly responseTopic: string | undefined
  /** Text: a command id. */
  readonly correlation: string | undefined
  readonly subscriptionIds: readonly number[]
  readonly user: readonly (readonly [name: string, value: string])[]
}

const text = (value: string): number => 2 + Buffer.byteLength(value)
const varintBytes = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4

function propertiesBytes(publication: Publication): number {
  const { messageExpiryS, contentType, responseTopic, correlation, subscriptionIds, user } =
    publication
  let size = 0
  if (messageExpiryS !== undefined) size += 5
  if (contentType !== undefined) size += 1 + text(contentType)
  if (responseTopic !== undefined) size += 1 + text(responseTopic)
  if (correlation !== undefined) size += 1 + text(correlation)
  for (const id of subscriptionIds) size += 1 + varintBytes(id)
  for (const [name, value] of user) size += 1 + text(name) + text(value)
  return size
}

/** Its whole length, as Maximum Packet Size counts it. */
export function publicationBytes(publication: Publication): number {
  const body = bodyBytes(publication, propertiesBytes(publication))
  return 1 + varintBytes(body) + body
}

function bodyBytes({ topic, payload, qos }: Publication, properties: number): number {
  const id = qos === 0 ? 0 : 2
  return text(topic) + id + varintBytes(properties) + properties + payload.length
}

/** Every command passes here, so it is written by hand. */
export function encodePublish(publication: Publication): Buffer {
  const { topic, payload, qos, id, dup } = publication
  const { messageExpiryS, contentType, responseTopic, correlation, subscriptionIds, user } =
    publication
  const properties = propertiesBytes(publication)
  const body = bodyBytes(publication, properties)
  const bytes = Buffer.allocUnsafe(1 + varintBytes(body) + body)
  bytes[0] = 0x30 | (dup ? 8 : 0) | (qos << 1)
  let at = putVarint(bytes, 1, body)
  at = putText(bytes, at, topic)
  if (qos > 0) at = bytes.writeUInt16BE(id, at)
  at = putVarint(bytes, at, properties)
  if (messageExpiryS !== undefined) {
    bytes[at] = 0x02
    at = bytes.writeUInt32BE(messageExpiryS, at + 1)
  }
  if (contentType !== undefined) at = putProperty(bytes, at, 0x03, contentType)
  if (responseTopic !== undefined) at = putProperty(bytes, at, 0x08, responseTopic)
  if (correlation !== undefined) at = putProperty(bytes, at, 0x09, correlation)
  for (const one of subscriptionIds) {
    bytes[at] = 0x0b
    at = putVarint(bytes, at + 1, one)
  }
  for (const [name, value] of user) {
    at = putProperty(bytes, at, 0x26, name)
    at = putText(bytes, at, value)
  }
  bytes.set(payload, at)
  return bytes
}

function putVarint(bytes: Buffer, from: number, value: number): number {
  let at = from
  let left = value
  while (left >= 0x80) {
    bytes[at++] = (left & 0x7f) | 0x80
    left = Math.floor(left / 0x80)
  }
  bytes[at++] = left
  return at
}

function putText(bytes: Buffer, at: number, value: string): number {
  const length = bytes.write(value, at + 2, 'utf8')
  bytes.writeUInt16BE(length, at)
  return at + 2 + length
}

function putProperty(bytes: Buffer, at: number, id: number, value: string): number {
  bytes[at] = id
  return putText(bytes, at + 1, value)
}

export type Connack = NonNullable<IConnackPacket['properties']>

const v5 = { protocolVersion: 5 }
const made = (packet: Outgoing): Buffer => generate(packet, v5)

export const encodeConnack = (why: Code, properties: Connack, sessionPresent = false): Buffer =>
  made({ cmd: 'connack', sessionPresent, reasonCode: why, properties })

/** `reason` only where the client asked for such (§3.1.2.11.7). */
export function encodeAck(
  cmd: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  id: number,
  why: Code,
  reason?: string,
): Buffer {
  if (why === 0) {
    const first = cmd === 'puback' ? 0x40 : cmd === 'pubrec' ? 0x50 : cmd === 'pubrel' ? 0x62 : 0x70
    return Buffer.from([first, 2, id >> 8, id & 0xff])
  }
  const properties = reason === undefined ? {} : { properties: { reasonString: reason } }
  return made({ cmd, messageId: id, reasonCode: why, ...properties })
}

export const encodeSuback = (id: number, granted: readonly number[], reason?: string): Buffer =>
  made({ cmd: 'suback', messageId: id, granted: [...granted], properties: said(reason) })

export const encodeUnsuback = (id: number, granted: readonly number[]): Buffer =>
  made({ cmd: 'unsuback', messageId: id, granted: [...granted] })

/** @param retryAfterMs told as `pike-retry-after`, in seconds. */
export const encodeDisconnect = (
  why: Code,
  reason?: string,
  serverReference?: string,
  retryAfterMs?: number,
): Buffer =>
  made({
    cmd: 'disconnect',
    reasonCode: why,
    properties: {
      ...said(reason),
      ...(serverReference !== undefined && { serverReference }),
      ...(retryAfterMs !== undefined && {
        userProperties: { 'pike-retry-after': String(retryAfterMs / 1000) },
      }),
    },
  })

const said = (reason: string | undefined): { reasonString?: string } =>
  reason === undefined ? {} : { reasonString: reason }

export const pingresp = Buffer.from([0xd0, 0])
