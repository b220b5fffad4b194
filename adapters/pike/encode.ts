import {
  type AuthFrame,
  bindingNameMaxBytes,
  type Frame,
  flagChannel,
  frameType,
  type HelloFrame,
  kdfCodes,
  replyStatuses,
  resumedCodes,
  type WelcomeFrame,
} from './frames.ts'
import * as put from './write.ts'

/** Numbers of one frame, and lengths, at their longest. */
const fieldsMaxBytes = 160

/** The names of one direction, as the sender knows them. */
export interface TaughtNames {
  bindingsMax: number
  taught: Map<string, number> | undefined
}

/** One frame as bytes. A name it carries is taught to the receiver by that. */
export function encodeFrame(frame: Frame, names: TaughtNames): Buffer {
  switch (frame.type) {
    case 'command': {
      put.open(fieldsMaxBytes + frame.name.length * 3 + frame.payload.length)
      const flags = (frame.replyExpected ? 1 : 0) | (frame.now ? 2 : 0) | (frame.repeated ? 4 : 0)
      const channel = putChannel(frame.channelNumber)
      put.number(frame.offset)
      put.number(frame.deadlineMs)
      putName(frame.name, frame.binary, names)
      put.octets(frame.payload)
      return put.finish((frameType.command << 4) | flags | channel)
    }
    case 'event': {
      put.open(fieldsMaxBytes + frame.name.length * 3 + frame.payload.length)
      const channel = putChannel(frame.channelNumber)
      if (frame.sequence !== undefined) put.number(frame.sequence)
      putName(frame.name, frame.binary, names)
      put.octets(frame.payload)
      return put.finish((frameType.event << 4) | (frame.sequence === undefined ? 1 : 0) | channel)
    }
    case 'ack': {
      put.open(fieldsMaxBytes)
      const channel = putChannel(frame.channelNumber)
      put.number(frame.upTo)
      return put.finish((frameType.ack << 4) | channel)
    }
    case 'reply': {
      put.open(fieldsMaxBytes + (frame.reason?.length ?? 0) * 3 + frame.payload.length)
      const channel = putChannel(frame.channelNumber)
      put.number(frame.sequence)
      if (frame.epoch !== undefined) put.number(frame.epoch)
      put.number(frame.offset)
      put.number(replyStatuses.indexOf(frame.status))
      if (frame.reason !== undefined) put.text(frame.reason)
      put.octets(frame.payload)
      const flags =
        (frame.reason !== undefined ? 1 : 0) |
        (frame.epoch !== undefined ? 2 : 0) |
        (frame.binary ? 4 : 0)
      return put.finish((frameType.reply << 4) | flags | channel)
    }
    case 'batch': {
      let size = fieldsMaxBytes + frame.name.length * 3
      for (const payload of frame.payloads) size += 8 + payload.length
      put.open(size)
      const channel = putChannel(frame.channelNumber)
      put.number(frame.sequence)
      putName(frame.name, frame.binary, names)
      for (const payload of frame.payloads) put.bytes(payload)
      return put.finish((frameType.batch << 4) | channel)
    }
    case 'ping':
      put.open(0)
      return put.finish(frameType.ping << 4)
    case 'pong':
      put.open(fieldsMaxBytes)
      if (frame.keepaliveS !== undefined) put.number(frame.keepaliveS)
      return put.finish(frameType.pong << 4)
    case 'epoch': {
      put.open(fieldsMaxBytes)
      const channel = putChannel(frame.channelNumber)
      put.number(frame.epoch)
      return put.finish((frameType.epoch << 4) | channel)
    }
    case 'hello':
      return encodeHello(frame)
    case 'welcome':
      return encodeWelcome(frame)
    case 'auth':
      return encodeAuth(frame)
    case 'goaway': {
      let size = fieldsMaxBytes
      for (const { endpoint } of frame.endpoints) size += 16 + endpoint.length * 3
      put.open(size)
      put.number(frame.code)
      put.number(frame.spreadMs)
      for (const { endpoint, weight } of frame.endpoints) {
        put.text(endpoint)
        put.number(weight)
      }
      return put.finish(frameType.goaway << 4)
    }
    case 'close': {
      put.open(fieldsMaxBytes + frame.text.length * 3)
      if (frame.channelNumber !== undefined) put.number(frame.channelNumber)
      put.number(frame.code)
      put.number(frame.retryAfterS)
      put.text(frame.text)
      const flags = frame.channelNumber === undefined ? 0 : flagChannel
      return put.finish((frameType.close << 4) | flags)
    }
    case 'unknown':
      put.open(0)
      return put.finish((frame.number << 4) | (frame.critical ? 1 : 0))
  }
}

function encodeAuth(frame: AuthFrame): Buffer {
  put.open(fieldsMaxBytes + (frame.method === 'secret' ? frame.secret.length * 3 : 64))
  const channel = putChannel(frame.channelNumber)
  switch (frame.method) {
    case 'challenge':
      put.number(kdfCodes.indexOf(frame.kdf))
      put.octets(frame.nonce)
      return put.finish((frameType.auth << 4) | channel)
    case 'proof':
      put.octets(frame.proof)
      return put.finish((frameType.auth << 4) | 1 | channel)
    case 'secret':
      put.text(frame.secret)
      return put.finish((frameType.auth << 4) | 2 | channel)
  }
}

function encodeHello(frame: HelloFrame): Buffer {
  put.open(
    fieldsMaxBytes +
      (frame.app.length + frame.device.length + frame.channel.length) * 3 +
      frame.nonce.length +
      extensionsBytes(frame),
  )
  put.number(frame.capabilities)
  put.number(frame.channelNumber)
  put.text(frame.app)
  put.text(frame.device)
  put.text(frame.channel)
  put.bytes(frame.nonce)
  if (frame.resume === undefined) {
    put.number(0)
  } else {
    put.number(frame.resume.epoch)
    put.number(frame.resume.offset)
  }
  put.number(frame.uplinkEpoch)
  put.number(frame.keepaliveMinS)
  put.number(frame.keepaliveMaxS)
  put.number(frame.frameMaxBytes)
  put.number(frame.windowMax)
  put.number(frame.bindingsMax)
  putExtensions(frame)
  return put.finish((frameType.hello << 4) | frame.version)
}

function encodeWelcome(frame: WelcomeFrame): Buffer {
  put.open(fieldsMaxBytes + frame.connection.length * 3 + extensionsBytes(frame))
  const channel = putChannel(frame.channelNumber)
  put.number(frame.capabilities)
  put.bytes(frame.proof)
  put.number(resumedCodes.indexOf(frame.resumed))
  put.number(frame.epoch)
  put.number(frame.offset)
  put.number(frame.uplinkKept)
  put.number(frame.keepaliveS)
  put.number(frame.frameMaxBytes)
  put.number(frame.windowMax)
  put.number(frame.uplinkWindowMax)
  put.number(frame.bindingsMax)
  put.number(frame.timeMs)
  put.text(frame.connection)
  put.number(frame.reconnectBaseMs)
  put.number(frame.reconnectMaxMs)
  putExtensions(frame)
  return put.finish((frameType.welcome << 4) | channel)
}

function putChannel(number: number): number {
  if (number === 0) return 0
  put.number(number)
  return flagChannel
}

function putName(name: string, binary: boolean, names: TaughtNames): void {
  const bits = binary ? 2 : 0
  if (names.bindingsMax > 0) {
    const known = names.taught?.get(name)
    if (known !== undefined) {
      put.number(known * 4 + bits + 1)
      return
    }
  }
  const length = put.textBytes(name)
  put.number(length * 4 + bits)
  put.textOctets(name, length)
  if (length > bindingNameMaxBytes || (names.taught?.size ?? 0) >= names.bindingsMax) return
  names.taught ??= new Map()
  names.taught.set(name, names.taught.size)
}

function extensionsBytes(frame: HelloFrame | WelcomeFrame): number {
  let size = 0
  for (const { value } of frame.extensions) size += 16 + value.length
  return size
}

function putExtensions(frame: HelloFrame | WelcomeFrame): void {
  for (const { tag, value } of frame.extensions) {
    put.number(tag)
    put.bytes(value)
  }
}
