import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { generate, type ParsedPacket, parse } from 'coap-packet'
import type { Clock, Timer } from '../../../src/contract/index.ts'

/** Numbers, as the library takes them. */
export type Options = readonly (readonly [number: number, value: Buffer | string | number])[]

export interface Answer {
  readonly code: string
  readonly options: ReadonlyMap<number, Buffer>
  readonly all: readonly (readonly [number, Buffer])[]
  readonly payload: Buffer
}

/** A notification, and its acknowledgement for whoever got it to give. */
export interface Notification extends Answer {
  acknowledge(): void
  reset(): void
}

export interface Ask {
  readonly payload?: Buffer | string
  readonly options?: Options
  readonly token?: Buffer
  readonly confirmable?: boolean
}

const names: Record<string, number> = {
  ETag: 4,
  Observe: 6,
  'Location-Path': 8,
  'Content-Format': 12,
  'Max-Age': 14,
  Block2: 23,
  Block1: 27,
  Size2: 28,
  Size1: 60,
}

export const uintOf = (value: Buffer | undefined): number =>
  value === undefined || value.length === 0 ? 0 : value.readUIntBE(0, value.length)

export function uintBytes(value: number): Buffer {
  const bytes: number[] = []
  for (let left = value; left > 0; left = Math.floor(left / 256)) bytes.unshift(left & 255)
  return Buffer.from(bytes)
}

/** What carries its datagrams, where that is not UDP. */
export interface Line {
  send(bytes: Buffer): void
  listen(heard: (bytes: Buffer) => void): void
}

/**
 * A device's end of CoAP as firmware would have it: small, on a clock of the test's, and able to keep
 * its acknowledgements back, to fall silent and to move to another address.
 */
export class CoapClient {
  readonly #port: number
  readonly #clock: Clock
  readonly #line: Line | undefined
  #socket: Socket | undefined
  #opening: Promise<void> | undefined
  #messageId = randomBytes(2).readUInt16BE()
  readonly #waiting = new Map<string, (answer: Answer) => void>()
  readonly #out = new Map<number, () => void>()
  readonly #observed = new Map<string, (notification: Notification) => void>()
  readonly #acknowledged = new Map<number, Buffer>()
  readonly #held: Buffer[] = []
  #muted = false
  #stalled = false
  /** Everything that came, for who looks at the wire. */
  received: ParsedPacket[] = []
  repeats = 0

  /** @param line left out: UDP to that port of this machine. */
  constructor(port: number, clock: Clock, line?: Line) {
    this.#port = port
    this.#clock = clock
    this.#line = line
    line?.listen((bytes) => this.#heard(bytes))
  }

  async open(): Promise<void> {
    if (this.#line !== undefined) return
    this.#opening ??= new Promise((resolve) => {
      const socket = createSocket('udp4')
      this.#socket = socket
      socket.on('message', (bytes) => this.#heard(bytes))
      socket.on('error', () => {})
      socket.bind(0, '127.0.0.1', () => resolve())
    })
    await this.#opening
  }

  get port(): number {
    return this.#socket!.address().port
  }

  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#opening = undefined
    socket?.close()
    for (const stop of [...this.#out.values()]) stop()
    this.#out.clear()
    this.#waiting.clear()
  }

  /** From here on it has another address, as behind a NAT that forgot. */
  async move(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    this.#opening = undefined
    socket?.close()
    await this.open()
  }

  mute(): void {
    this.#muted = true
  }

  stall(): void {
    this.#stalled = true
  }

  unmute(): void {
    this.#muted = false
  }

  unstall(): void {
    this.#stalled = false
    for (const bytes of this.#held.splice(0)) this.#take(bytes)
  }

  /** Raw bytes, as they are. */
  send(bytes: Buffer): void {
    if (this.#muted) return
    if (this.#line !== undefined) this.#line.send(bytes)
    else this.#socket?.send(bytes, this.#port, '127.0.0.1', () => {})
  }

  nextId(): number {
    this.#messageId = (this.#messageId + 1) & 0xffff
    return this.#messageId
  }

  /** Never answered once the client is closed. */
  ask(method: string, path: string, how: Ask = {}): Promise<Answer> {
    const { payload = '', options = [], token = randomBytes(4), confirmable = true } = how
    const messageId = this.nextId()
    const bytes = generate(
      {
        code: method,
        confirmable,
        messageId,
        token,
        options: [...pathOptions(path), ...options].map(([number, value]) => ({
          name: String(number),
          value: bytesOf(value),
        })),
        payload: Buffer.from(payload),
      },
      65_507,
    )
    return new Promise((resolve) => {
      this.#waiting.set(token.toString('hex'), resolve)
      if (!confirmable) {
        this.send(bytes)
        return
      }
      let timer: Timer
      let repeats = 0
      const transmit = (): void => {
        this.send(bytes)
        if (repeats++ < 4) {
          timer = this.#clock.at(this.#clock.nowMs() + 2_000 * 2 ** (repeats - 1), 'ack', transmit)
        }
      }
      this.#out.set(messageId, () => {
        timer.cancel()
        this.#out.delete(messageId)
      })
      transmit()
    })
  }

  /** A body of any size, in blocks of 1,024. */
  async post(path: string, payload: Buffer, options: Options = []): Promise<Answer> {
    if (payload.length <= 1_024) return this.ask('POST', path, { payload, options })
    const tag = randomBytes(4)
    for (let index = 0; ; index++) {
      const part = payload.subarray(index * 1_024, (index + 1) * 1_024)
      const more = (index + 1) * 1_024 < payload.length
      const block = uintBytes((index << 4) | (more ? 8 : 0) | 6)
      const answer = await this.ask('POST', path, {
        payload: part,
        options: [...options, [27, block], [292, tag]],
      })
      if (!more || answer.code !== '2.31') return answer
    }
  }

  /** The rest of what was given in part. */
  async fetch(path: string, first: Answer): Promise<Buffer> {
    const parts = [first.payload]
    let block = uintOf(first.options.get(23))
    while ((block & 8) !== 0) {
      const next = ((block >> 4) + 1) * 16 + (block & 7)
      const answer = await this.ask('GET', path, { options: [[23, uintBytes(next)]] })
      if (answer.code !== '2.05') throw new Error(`${answer.code} ${answer.payload}`)
      parts.push(answer.payload)
      block = uintOf(answer.options.get(23))
    }
    return Buffer.concat(parts)
  }

  async observe(path: string, heard: (one: Notification) => void, how: Ask = {}): Promise<Answer> {
    const token = how.token ?? randomBytes(4)
    const options: Options = [...(how.options ?? []), [6, Buffer.alloc(0)]]
    this.#observed.set(token.toString('hex'), heard)
    return this.ask('GET', path, { ...how, token, options })
  }

  #heard(bytes: Buffer): void {
    if (this.#muted) return
    if (this.#stalled) this.#held.push(bytes)
    else this.#take(bytes)
  }

  #take(bytes: Buffer): void {
    const packet = parse(bytes)
    this.received.push(packet)
    const { messageId, confirmable, ack, reset } = packet
    if (ack || reset) this.#out.get(messageId)?.()
    if (packet.code === '0.00') {
      if (confirmable) this.#empty('reset', messageId)
      return
    }
    const all = packet.options.map(
      ({ name, value }) => [names[name as string] ?? Number(name), value] as const,
    )
    const { code, payload } = packet
    const answer: Answer = { code, payload, options: new Map(all), all }
    const token = packet.token.toString('hex')
    const waiting = this.#waiting.get(token)
    if (waiting !== undefined) {
      this.#waiting.delete(token)
      if (confirmable) this.#empty('ack', messageId)
      waiting(answer)
      return
    }
    if (ack) return // an answer to a repeat
    const heard = this.#observed.get(token)
    if (heard === undefined) {
      if (confirmable) this.#empty('reset', messageId)
      return
    }
    const before = this.#acknowledged.get(messageId)
    if (before !== undefined) {
      this.repeats++
      if (before.length > 0) this.send(before)
      return
    }
    this.#acknowledged.set(messageId, Buffer.alloc(0))
    heard({
      ...answer,
      acknowledge: () => this.#acknowledged.set(messageId, this.#empty('ack', messageId)),
      reset: () => this.#acknowledged.set(messageId, this.#empty('reset', messageId)),
    })
  }

  #empty(kind: 'ack' | 'reset', messageId: number): Buffer {
    const bytes = generate({ code: '0.00', messageId, [kind]: true })
    this.send(bytes)
    return bytes
  }
}

const bytesOf = (value: Buffer | string | number): Buffer =>
  typeof value === 'number' ? uintBytes(value) : Buffer.from(value as string)

function pathOptions(path: string): Options {
  const [names = '', query] = path.split('?')
  const options: (readonly [number, string])[] = names
    .split('/')
    .map((name) => [11, decodeURIComponent(name)])
  for (const one of query?.split('&') ?? []) options.push([15, decodeURIComponent(one)])
  return options
}

/** A command as it comes: the line, and the payload. */
export function readCommand(body: Buffer): { fields: URLSearchParams; payload: Buffer } {
  const at = body.indexOf('\n')
  return {
    fields: new URLSearchParams(body.subarray(0, at).toString()),
    payload: body.subarray(at + 1),
  }
}
