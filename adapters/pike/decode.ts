import {
  batchMax,
  bindingNameMaxBytes,
  capabilityMax,
  channelNumberMax,
  type Extension,
  endpointsMax,
  epochMax,
  extensionsMax,
  type Frame,
  flagChannel,
  frameType,
  type HelloFrame,
  kdfCodes,
  nonceBytes,
  proofBytes,
  replyStatuses,
  resumedCodes,
  version,
  type WelcomeFrame,
} from './frames.ts'
import * as take from './read.ts'

/** The names of one direction, as the receiver knows them. */
export interface LearntNames {
  bindingsMax: number
  learnt: string[] | undefined
}

/** Why a frame cannot be read, in the words of the codec. */
export interface Refusal {
  readonly type: 'refusal'
  readonly reason: 'malformed' | 'unsupported'
  readonly text: string
}

const ping: Frame = { type: 'ping' }
const plainPong: Frame = { type: 'pong', keepaliveS: undefined }

/** Read the body that lies between `from` and `to`. Payloads are views of `bytes`. */
export function decodeFrame(
  head: number,
  bytes: Uint8Array,
  from: number,
  to: number,
  names: LearntNames,
): Frame | Refusal {
  const type = head >> 4
  const flags = head & 0xf
  take.open(bytes, from, to)
  const frame = decodeBody(type, flags, to - from, names)
  const wrong = take.finish()
  return wrong === undefined ? frame : { type: 'refusal', reason: 'malformed', text: wrong }
}

/** Flags a type may carry. 13 and 14 are not known here, so neither are their flags. */
const flagsAllowed: Readonly<Record<number, number>> = {
  [frameType.epoch]: flagChannel,
  [frameType.auth]: 7 | flagChannel,
  [frameType.welcome]: flagChannel,
  [frameType.ping]: 0,
  [frameType.pong]: 0,
  [frameType.command]: 7 | flagChannel,
  [frameType.event]: 1 | flagChannel,
  [frameType.reply]: 7 | flagChannel,
  [frameType.ack]: flagChannel,
  [frameType.batch]: flagChannel,
  [frameType.goaway]: 0,
  [frameType.close]: flagChannel,
  13: 15,
  14: 15,
  [frameType.hello]: 15,
}

/** What is wrong with a frame's first byte, for all 256 of them; known before its length is. */
export const headRefusals: readonly (Refusal | undefined)[] = Array.from(
  { length: 256 },
  (_, head) => {
    const type = head >> 4
    const flags = head & 15
    const allowed = flagsAllowed[type]
    if (allowed === undefined) return refusal('malformed', `frame type ${type}`)
    if ((flags & ~allowed) !== 0) return refusal('malformed', 'flags this type does not have')
    if (type === frameType.hello && flags !== version) {
      return refusal('unsupported', `version ${flags}`)
    }
    if (type === frameType.auth && (flags & 7) > 2) {
      return refusal('unsupported', `authentication method ${flags & 7}`)
    }
    return undefined
  },
)

function refusal(reason: Refusal['reason'], text: string): Refusal {
  return { type: 'refusal', reason, text }
}

function decodeBody(type: number, flags: number, length: number, names: LearntNames): Frame {
  switch (type) {
    case frameType.event: {
      const channelNumber = take.channel((flags & flagChannel) !== 0)
      const sequence = (flags & 1) !== 0 ? undefined : take.positive('sequence')
      const name = takeName(names)
      return {
        type: 'event',
        channelNumber,
        sequence,
        name,
        payload: take.rest(),
        binary: nameIsBinary,
      }
    }
    case frameType.command: {
      const channelNumber = take.channel((flags & flagChannel) !== 0)
      const offset = take.positive('offset')
      const deadlineMs = take.number()
      const name = takeName(names)
      return {
        type: 'command',
        channelNumber,
        offset,
        deadlineMs,
        name,
        payload: take.rest(),
        binary: nameIsBinary,
        replyExpected: (flags & 1) !== 0,
        now: (flags & 2) !== 0,
        repeated: (flags & 4) !== 0,
      }
    }
    case frameType.ack: {
      const channelNumber = take.channel((flags & flagChannel) !== 0)
      return { type: 'ack', channelNumber, upTo: take.number() }
    }
    case frameType.reply: {
      const channelNumber = take.channel((flags & flagChannel) !== 0)
      const sequence = take.positive('sequence')
      const epoch = (flags & 2) !== 0 ? take.epoch() : undefined
      const offset = take.positive('offset')
      const status = replyStatuses[take.numberUpTo(2, 'status')] ?? 'failed'
      const reason = (flags & 1) !== 0 ? take.text() : undefined
      return {
        type: 'reply',
        channelNumber,
        sequence,
        epoch,
        offset,
        status,
        reason,
        payload: take.rest(),
        binary: (flags & 4) !== 0,
      }
    }
    case frameType.batch: {
      const channelNumber = take.channel((flags & flagChannel) !== 0)
      const sequence = take.positive('sequence')
      const name = takeName(names)
      const payloads: Uint8Array[] = []
      while (!take.atEnd()) {
        if (payloads.length === batchMax) take.fail(`over ${batchMax} in a batch`)
        else payloads.push(take.bytes())
      }
      if (payloads.length === 0) take.fail('an empty batch')
      if (sequence > Number.MAX_SAFE_INTEGER - batchMax) take.fail('sequences over 2^53-1')
      return { type: 'batch', channelNumber, sequence, name, binary: nameIsBinary, payloads }
    }
    case frameType.ping:
      return ping
    case frameType.pong:
      return length === 0 ? plainPong : { type: 'pong', keepaliveS: take.positive('keep-alive') }
    case frameType.epoch: {
      const channelNumber = take.channel((flags & flagChannel) !== 0)
      return { type: 'epoch', channelNumber, epoch: take.epoch() }
    }
    case frameType.hello:
      return decodeHello()
    case frameType.auth:
      return decodeAuth(flags)
    case frameType.welcome:
      return decodeWelcome(flags)
    case frameType.goaway: {
      const code = take.numberUpTo(255, 'code')
      const spreadMs = take.number()
      const endpoints: { endpoint: string; weight: number }[] = []
      while (!take.atEnd()) {
        if (endpoints.length === endpointsMax) take.fail(`over ${endpointsMax} endpoints`)
        else endpoints.push({ endpoint: take.text(), weight: take.number() })
      }
      return { type: 'goaway', code, spreadMs, endpoints }
    }
    case frameType.close: {
      // Only here may channel 0 be named: without the flag the whole connection ends.
      const channelNumber =
        (flags & flagChannel) !== 0
          ? take.numberUpTo(channelNumberMax, 'channel number')
          : undefined
      const code = take.numberUpTo(255, 'code')
      return { type: 'close', channelNumber, code, retryAfterS: take.number(), text: take.text() }
    }
    case 13:
    case 14:
      take.rest()
      return { type: 'unknown', number: type, critical: (flags & 1) !== 0 }
    default:
      return ping // not reached: see headRefusals
  }
}

function decodeHello(): HelloFrame {
  const capabilities = take.numberUpTo(capabilityMax, 'capabilities')
  const channelNumber = take.numberUpTo(channelNumberMax, 'channel number')
  const app = take.text()
  const device = take.text()
  const channel = take.text()
  const nonce = take.bytes()
  if (nonce.length !== 0 && nonce.length !== nonceBytes) take.fail('a nonce of another length')
  const epoch = take.numberUpTo(epochMax, 'epoch')
  const resume = epoch === 0 ? undefined : { epoch, offset: take.number() }
  return {
    type: 'hello',
    version,
    capabilities,
    channelNumber,
    app,
    device,
    channel,
    nonce,
    resume,
    uplinkEpoch: take.numberUpTo(epochMax, 'epoch'),
    keepaliveMinS: take.number(),
    keepaliveMaxS: take.number(),
    frameMaxBytes: take.number(),
    windowMax: take.number(),
    bindingsMax: take.number(),
    extensions: takeExtensions(),
  }
}

function decodeAuth(flags: number): Frame {
  const channelNumber = take.channel((flags & flagChannel) !== 0)
  switch (flags & 7) {
    case 0: {
      const kdf = kdfCodes[take.numberUpTo(1, 'kdf')] ?? 'hkdf'
      return { type: 'auth', channelNumber, method: 'challenge', kdf, nonce: exactly(nonceBytes) }
    }
    case 1:
      return { type: 'auth', channelNumber, method: 'proof', proof: exactly(proofBytes) }
    case 2:
      return { type: 'auth', channelNumber, method: 'secret', secret: take.text() }
    default:
      return ping // not reached: see headRefusals
  }
}

function decodeWelcome(flags: number): WelcomeFrame {
  const channelNumber = take.channel((flags & flagChannel) !== 0)
  const capabilities = take.numberUpTo(capabilityMax, 'capabilities')
  const proof = take.bytes()
  if (proof.length !== 0 && proof.length !== proofBytes) take.fail('a proof of another length')
  return {
    type: 'welcome',
    channelNumber,
    capabilities,
    proof,
    resumed: resumedCodes[take.numberUpTo(2, 'resumed')] ?? 'fresh',
    epoch: take.epoch(),
    offset: take.number(),
    uplinkKept: take.number(),
    keepaliveS: take.positive('keep-alive'),
    frameMaxBytes: take.number(),
    windowMax: take.number(),
    uplinkWindowMax: take.number(),
    bindingsMax: take.number(),
    timeMs: take.number(),
    connection: take.text(),
    reconnectBaseMs: take.number(),
    reconnectMaxMs: take.number(),
    extensions: takeExtensions(),
  }
}

const noExtensions: readonly Extension[] = []

function takeExtensions(): readonly Extension[] {
  if (take.atEnd()) return noExtensions
  const extensions: Extension[] = []
  while (!take.atEnd()) {
    if (extensions.length === extensionsMax) take.fail(`over ${extensionsMax} extensions`)
    else extensions.push({ tag: take.number(), value: take.bytes() })
  }
  return extensions
}

function exactly(length: number): Uint8Array {
  const value = take.rest()
  if (value.length !== length) take.fail(`not ${length} bytes`)
  return value
}

/** Whether the payload that follows the name last taken is bytes. */
let nameIsBinary = false

function takeName(names: LearntNames): string {
  const ref = take.number()
  const low = ref % 4
  const value = (ref - low) / 4
  nameIsBinary = low >= 2
  if (low % 2 === 1) {
    const known = names.learnt?.[value]
    if (known !== undefined) return known
    take.fail(`name number ${value} before it was taught`)
    return ''
  }
  const name = take.textOf(value)
  if (value === 0) take.fail('an empty name')
  if (names.bindingsMax > 0 && value <= bindingNameMaxBytes && take.wrong() === undefined) {
    names.learnt ??= []
    const { learnt } = names
    if (learnt.length < names.bindingsMax && !learnt.includes(name)) learnt.push(name)
  }
  return name
}
