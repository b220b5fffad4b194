import { createSocket, type Socket } from 'node:dgram'
import { defaultApp } from '../../src/contract/index.ts'
import {
  type BenchDevice,
  type DeviceSettings,
  deviceName,
  deviceSecret,
  eventName,
  eventPayload,
  setNumber,
} from './device.ts'

const code = { empty: 0, get: 1, post: 2, put: 3 } as const
const number = { observe: 6, uriPath: 11, uriQuery: 15 } as const
const con = 0x40
const ack = 0x60
const reset = 0x70
const nothing: Buffer = Buffer.alloc(0)
const tokenBytes = 4
const observing = 0xffff_ffff
/** RFC 7252 §4.8: ACK_TIMEOUT, here without its chance. */
const ackTimeoutMs = 2_000
const transmissionsMax = 5
const lookEveryMs = 250

/** Requests sent again since it was last asked; what a full buffer of the server drops looks like this. */
let sentAgain = 0
export function takeSentAgain(): number {
  const count = sentAgain
  sentAgain = 0
  return count
}

const waiting = new Set<CoapDevice>()
setInterval(() => {
  const nowMs = performance.now()
  for (const device of waiting) device.look(nowMs)
}, lookEveryMs).unref()

/**
 * CoAP by hand, on a socket of its own: one confirmable request outstanding, an observation whose
 * notifications are acknowledged at once.
 */
export class CoapDevice implements BenchDevice {
  readonly index: number
  onCommand: BenchDevice['onCommand']
  onAck: BenchDevice['onAck']
  onLost: BenchDevice['onLost']
  sequence = 0
  acknowledged = 0
  readonly #settings: DeviceSettings
  #socket: Socket | undefined
  #messageId: number
  #event: Buffer = nothing
  #payloadAt = 0
  /** The request under way, and what is done with its answer's payload. */
  #request: Buffer | undefined
  #answered: ((payload: string) => void) | undefined
  #failed: ((error: Error) => void) | undefined
  #sentAtMs = 0
  #transmissions = 0
  #notified = -1

  constructor(settings: DeviceSettings) {
    this.index = settings.index
    this.#settings = settings
    this.#messageId = (settings.index * 7919) & 0xffff
  }

  async connect(port: number): Promise<void> {
    const socket = createSocket('udp4')
    this.#socket = socket
    socket.on('error', (error) => this.#fail(error.message))
    socket.on('message', (bytes) => this.#take(bytes))
    await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
    waiting.add(this)
    const { app, index, bare, receives, channel } = this.#settings
    const path = bare ? ['example_data'] : await this.#login(app, deviceName(index))
    const events = bare ? path : [...path, 'events', eventName]
    const payload = eventPayload()
    this.#event = message(bare ? code.put : code.post, 0, paths(events), payload)
    this.#payloadAt = this.#event.length - payload.length
    if (!receives || bare) return
    const commands = channel === undefined ? ['commands'] : ['channels', channel, 'commands']
    const options = [option(number.observe, ''), ...paths([...path, ...commands], number.observe)]
    await this.#ask(message(code.get, observing, options))
  }

  close(): void {
    this.onLost = undefined
    waiting.delete(this)
    const socket = this.#socket
    this.#socket = undefined
    socket?.close()
  }

  sendEvents(count: number): void {
    if (count !== 1 || this.#request !== undefined) throw new Error('one is outstanding at most')
    const bytes = Buffer.from(this.#event)
    const sequence = ++this.sequence
    bytes.writeUInt32BE(sequence, 4)
    setNumber(bytes, this.#payloadAt, sequence)
    this.#send(bytes)
  }

  /** @param nowMs requests that got no answer for so long are sent again. */
  look(nowMs: number): void {
    if (this.#request === undefined) return
    if (nowMs - this.#sentAtMs < ackTimeoutMs * 2 ** (this.#transmissions - 1)) return
    if (this.#transmissions === transmissionsMax) {
      this.#fail('no answer')
      return
    }
    sentAgain++
    this.#transmissions++
    this.#socket!.send(this.#request)
  }

  async #login(app: string, device: string): Promise<string[]> {
    const queries = [`device=${device}`, ...(app === defaultApp ? [] : [`app=${app}`])]
    const options = [
      ...paths(['session']),
      ...queries.map((query, i) => option(i === 0 ? number.uriQuery - number.uriPath : 0, query)),
    ]
    const secret = Buffer.from(deviceSecret(this.index))
    return (await this.#ask(message(code.post, 0, options, secret))).split('/')
  }

  #ask(bytes: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#failed = reject
      this.#send(bytes)
    })
  }

  #send(bytes: Buffer): void {
    this.#messageId = (this.#messageId + 1) & 0xffff
    bytes.writeUInt16BE(this.#messageId, 2)
    this.#request = bytes
    this.#sentAtMs = performance.now()
    this.#transmissions = 1
    this.#socket!.send(bytes)
  }

  #take(bytes: Buffer): void {
    const type = bytes[0]! & 0x30
    if (bytes[1] === code.empty) {
      // A ping is reset, RFC 7252 §4.3; an empty acknowledgement: the answer comes by itself (§5.2.2).
      if (type === 0) this.#say(reset, bytes)
      else if (type === (ack & 0x30)) this.#sentAtMs = Number.POSITIVE_INFINITY
      else this.#fail('reset')
      return
    }
    if (type === 0) this.#say(ack, bytes)
    const request = this.#request
    if (request !== undefined && bytes.readUInt32BE(4) === request.readUInt32BE(4)) {
      this.#request = undefined
      this.#answer(bytes)
    } else if (type === 0 && bytes.readUInt32BE(4) === observing) this.#notification(bytes)
  }

  #answer(bytes: Buffer): void {
    if (bytes[1]! >> 5 !== 2) {
      this.#fail(`${bytes[1]! >> 5}.${bytes[1]! & 31}`)
    } else if (this.#answered !== undefined) {
      const answered = this.#answered
      this.#answered = undefined
      answered(payloadOf(bytes).toString())
    } else {
      this.acknowledged = this.sequence
      this.onAck?.(this, this.sequence)
    }
  }

  #notification(bytes: Buffer): void {
    const id = bytes.readUInt16BE(2)
    if (bytes[1]! >> 5 !== 2) this.#fail(`notified ${bytes[1]! >> 5}.${bytes[1]! & 31}`)
    // By the same message id it is the same one, whose acknowledgement got lost (§4.5).
    else if (id !== this.#notified) {
      this.#notified = id
      const body = payloadOf(bytes)
      this.onCommand?.(this, body.subarray(body.indexOf(10) + 1))
    }
  }

  #say(type: number, about: Buffer): void {
    this.#socket?.send(Buffer.from([type, code.empty, about[2]!, about[3]!]))
  }

  #fail(why: string): void {
    if (this.#socket === undefined) return
    this.#request = undefined
    this.#failed?.(new Error(`device ${this.index}: ${why}`))
    this.onLost?.(this, why)
  }
}

/** Options in their order, each with the distance from the one before it. */
function message(
  method: number,
  token: number,
  options: readonly Buffer[],
  payload: Buffer = nothing,
): Buffer {
  const head = Buffer.from([con | tokenBytes, method, 0, 0, 0, 0, 0, 0])
  head.writeUInt32BE(token, 4)
  const marker = payload.length === 0 ? [] : [Buffer.from([0xff]), payload]
  return Buffer.concat([head, ...options, ...marker])
}

/** RFC 7252 §3.1, for distances below 13. */
function option(distance: number, value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = bytes.length < 13 ? [bytes.length] : [13, bytes.length - 13]
  return Buffer.concat([Buffer.from([(distance << 4) | head[0]!, ...head.slice(1)]), bytes])
}

/** Uri-Path, behind nothing or behind Observe. */
const paths = (names: readonly string[], before = 0): Buffer[] =>
  names.map((name, i) => option(i === 0 ? number.uriPath - before : 0, name))

function payloadOf(bytes: Buffer): Buffer {
  let at = 4 + (bytes[0]! & 15)
  while (at < bytes.length && bytes[at] !== 0xff) {
    const head = bytes[at++]!
    const distance = head >> 4
    const length = head & 15
    at += distance === 13 ? 1 : distance === 14 ? 2 : 0
    at += length === 13 ? bytes[at]! + 14 : length === 14 ? bytes.readUInt16BE(at) + 271 : length
  }
  return bytes.subarray(at + 1)
}
