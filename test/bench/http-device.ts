import { connect, type Socket } from 'node:net'
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

const readBuffer = Buffer.allocUnsafe(65_536)
const base = '/device/v1'
const waitS = 60
/** Below the keep-alive that is granted: a stream needs a sign of life. */
const signEveryMs = 100_000
const lookEveryMs = 10_000

const headEnd = Buffer.from('\r\n\r\n')
const payloadKey = Buffer.from('"payload":')
const blank = Buffer.from('\n\n')
const nothing: Buffer = Buffer.alloc(0)

const streams = new Set<HttpDevice>()
setInterval(() => {
  const nowMs = performance.now()
  for (const device of streams) device.look(nowMs)
}, lookEveryMs).unref()

/**
 * HTTP by hand: commands by long poll or by a stream on one connection, events and acknowledgements
 * on another, each with one request outstanding.
 */
export class HttpDevice implements BenchDevice {
  readonly index: number
  onCommand: BenchDevice['onCommand']
  onAck: BenchDevice['onAck']
  onLost: BenchDevice['onLost']
  sequence = 0
  acknowledged = 0
  readonly #receives: boolean
  readonly #way: 'poll' | 'stream'
  readonly #who: string
  #port = 0
  #down: Socket | undefined
  #up: Socket | undefined
  #rest: Buffer = nothing
  #ready: (() => void) | undefined
  #closed = false
  #epoch = ''
  #after = 0
  /** One event's request, and where its payload begins. */
  readonly #event: Buffer
  readonly #payloadAt: number
  /** The request under way on the connection upwards; events go before acknowledgements. */
  #asking: 'event' | 'ack' | undefined
  #eventsDue = 0
  #ackDue = false
  #saidAtMs = 0

  constructor(way: 'poll' | 'stream', { index, app, receives }: DeviceSettings) {
    this.index = index
    this.#way = way
    this.#receives = receives
    const device = app === defaultApp ? deviceName(index) : `${app}/${deviceName(index)}`
    const secret = Buffer.from(`${device}:${deviceSecret(index)}`).toString('base64')
    this.#who = `Host: 127.0.0.1\r\nAuthorization: Basic ${secret}\r\n`
    const payload = eventPayload()
    this.#event = this.#post(`/events/${eventName}`, payload)
    this.#payloadAt = this.#event.length - payload.length
  }

  async connect(port: number): Promise<void> {
    this.#port = port
    if (!this.#receives) {
      this.#up = await this.#open((bytes) => this.#answer(bytes))
      return
    }
    this.#down = await this.#open((bytes) => this.#receive(bytes))
    await new Promise<void>((resolve) => {
      this.#ready = resolve
      this.#saidAtMs = performance.now()
      if (this.#way === 'poll') this.#poll(0)
      else {
        streams.add(this)
        this.#down!.write(
          `GET ${base}/commands HTTP/1.1\r\n${this.#who}Accept: text/event-stream\r\n\r\n`,
        )
      }
    })
  }

  close(): void {
    this.#closed = true
    streams.delete(this)
    this.#down?.destroy()
    this.#up?.destroy()
  }

  sendEvents(count: number): void {
    this.#eventsDue += count
    this.#say()
  }

  look(nowMs: number): void {
    if (nowMs - this.#saidAtMs < signEveryMs) return
    this.#ackDue = true
    this.#say()
  }

  #open(read: (bytes: Buffer) => void): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket: Socket = connect({
        host: '127.0.0.1',
        port: this.#port,
        noDelay: true,
        onread: {
          buffer: readBuffer,
          callback: (count, buffer) => {
            read((buffer as Buffer).subarray(0, count))
            return true
          },
        },
      })
      socket.once('connect', () => resolve(socket))
      socket.on('error', (error) => {
        reject(error)
        this.#lost(error.message)
      })
      socket.on('close', () => {
        // Upwards it may fall idle and be closed; then there is another one when it is needed.
        if (socket === this.#up && this.#asking === undefined) this.#up = undefined
        else this.#lost('closed')
      })
    })
  }

  #lost(why: string): void {
    if (this.#closed) return
    this.close()
    this.onLost?.(this, why)
  }

  #poll(wait: number): void {
    const position = this.#epoch === '' ? '' : `&epoch=${this.#epoch}&after=${this.#after}`
    this.#down!.write(`GET ${base}/commands?wait=${wait}${position} HTTP/1.1\r\n${this.#who}\r\n`)
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const left = this.#way === 'poll' ? this.#polled(bytes) : this.#streamed(bytes)
    this.#rest = left.length === 0 ? nothing : Buffer.from(left)
  }

  /** @returns what is no whole answer yet. */
  #polled(bytes: Buffer): Buffer {
    const body = bodyOf(bytes)
    if (body === undefined) return bytes
    if (!startsWith200(bytes)) {
      this.#lost(bytes.toString('latin1').slice(0, 400))
      return nothing
    }
    const text = body.toString('latin1', 0, 64)
    this.#epoch = stringAt(text, '"epoch":"')
    this.#after = Number(stringAt(text, '"after":"'))
    this.#commands(body)
    this.#poll(waitS)
    this.#ready?.()
    this.#ready = undefined
    return nothing
  }

  /** @returns what is no whole event yet. */
  #streamed(bytes: Buffer): Buffer {
    if (this.#ready !== undefined) {
      if (bytes.indexOf('event: start') < 0 || bytes.indexOf(blank) < 0) return bytes
      this.#ready()
      this.#ready = undefined
    }
    const end = bytes.lastIndexOf(blank)
    if (end < 0) return bytes
    const events = bytes.subarray(0, end)
    if (this.#commands(events)) {
      const text = events.toString('latin1', events.lastIndexOf('"epoch":"'))
      this.#epoch = stringAt(text, '"epoch":"')
      this.#after = Number.parseInt(text.slice(text.indexOf('"offset":') + 9), 10)
      this.#ackDue = true
    }
    if (events.indexOf('event: probe') >= 0) this.#ackDue = true
    if (events.indexOf('event: closed') >= 0) this.#lost(events.toString('latin1'))
    if (this.#ackDue) this.#say()
    return bytes.subarray(end + blank.length)
  }

  /** @returns whether there were any. */
  #commands(bytes: Buffer): boolean {
    let at = bytes.indexOf(payloadKey)
    if (at < 0) return false
    for (; at >= 0; at = bytes.indexOf(payloadKey, at + 1)) {
      this.onCommand?.(this, bytes.subarray(at + payloadKey.length))
    }
    return true
  }

  #say(): void {
    if (this.#asking !== undefined || (this.#eventsDue === 0 && !this.#ackDue)) return
    const asking = this.#eventsDue > 0 ? 'event' : 'ack'
    this.#asking = asking
    const bytes = asking === 'event' ? this.#events() : this.#acks()
    this.#saidAtMs = performance.now()
    if (this.#up !== undefined) {
      this.#up.write(bytes)
      return
    }
    this.#open((answer) => this.#answer(answer)).then(
      (socket) => {
        this.#up = socket
        socket.write(bytes)
      },
      () => {},
    )
  }

  #events(): Buffer {
    const count = this.#eventsDue
    this.#eventsDue = 0
    if (count === 1) {
      setNumber(this.#event, this.#payloadAt, ++this.sequence)
      return this.#event
    }
    const start = `{"type":"${eventName}","payload":`
    const lines: Buffer[] = []
    for (let i = 0; i < count; i++) {
      const payload = eventPayload()
      setNumber(payload, 0, ++this.sequence)
      lines.push(Buffer.from(start), payload, Buffer.from('}\n'))
    }
    return this.#post('/events', Buffer.concat(lines))
  }

  #acks(): Buffer {
    this.#ackDue = false
    const upTo = this.#epoch === '' ? '' : `?epoch=${this.#epoch}&upTo=${this.#after}`
    return this.#post(`/acks${upTo}`, nothing)
  }

  #post(path: string, body: Buffer): Buffer {
    const kind = path === '/events' ? 'application/x-ndjson' : 'application/json'
    const head = `POST ${base}${path} HTTP/1.1\r\n${this.#who}Content-Type: ${kind}\r\nContent-Length: ${body.length}\r\n\r\n`
    return Buffer.concat([Buffer.from(head), body])
  }

  /** Of events and acknowledgements: 204, which has no body. */
  #answer(bytes: Buffer): void {
    if (bytes.toString('latin1', 9, 12) !== '204' || bytes.indexOf(headEnd) < 0) {
      this.#lost(bytes.toString('latin1'))
      return
    }
    const said = this.#asking
    this.#asking = undefined
    if (said === 'event') {
      this.acknowledged = this.sequence
      this.onAck?.(this, this.sequence)
    }
    this.#say()
  }
}

const startsWith200 = (bytes: Buffer): boolean => bytes.toString('latin1', 9, 12) === '200'

/** undefined: it has not come whole. */
function bodyOf(bytes: Buffer): Buffer | undefined {
  const end = bytes.indexOf(headEnd)
  if (end < 0) return undefined
  const length = /content-length: (\d+)/i.exec(bytes.toString('latin1', 0, end))?.[1]
  const to = end + headEnd.length + Number(length ?? 0)
  return bytes.length < to ? undefined : bytes.subarray(end + headEnd.length, to)
}

function stringAt(text: string, key: string): string {
  const from = text.indexOf(key) + key.length
  return text.slice(from, text.indexOf('"', from))
}
