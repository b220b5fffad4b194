import { connect, type Socket } from 'node:net'

const readBuffer = Buffer.allocUnsafe(65_536)

const head = (key: string, method: string, path: string, bytes: number): string =>
  `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n` +
  `Content-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n`

/**
 * One kept-alive connection with one call outstanding, written by hand: a general client would need
 * more of the load's core than the servers need of theirs.
 */
export class HttpConnection {
  /** What the call under way is about, the caller's own number; below 0: there is none. */
  tag = -1
  isOpen = false
  #socket: Socket | undefined
  /** Status 0: the connection is gone. */
  readonly #onAnswer: (connection: HttpConnection, status: number) => void
  /** An answer that has not come whole. */
  #part = ''

  constructor(onAnswer: (connection: HttpConnection, status: number) => void) {
    this.#onAnswer = onAnswer
  }

  connect(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({
        host: '127.0.0.1',
        port,
        noDelay: true,
        onread: {
          buffer: readBuffer,
          callback: (count, buffer) => {
            this.#read((buffer as Buffer).toString('latin1', 0, count))
            return true
          },
        },
      })
      this.#socket = socket
      this.#part = ''
      socket.once('connect', () => {
        this.isOpen = true
        resolve()
      })
      socket.on('error', reject)
      socket.on('close', () => {
        this.isOpen = false
        this.#onAnswer(this, 0)
      })
    })
  }

  /** The bytes must stay as they are until the answer. */
  send(request: Buffer): void {
    this.#socket!.write(request)
  }

  close(): void {
    this.#socket?.removeAllListeners('close').destroy()
  }

  #read(text: string): void {
    const answer = this.#part === '' ? text : this.#part + text
    const headEnd = answer.indexOf('\r\n\r\n')
    const whole = headEnd < 0 ? Number.POSITIVE_INFINITY : headEnd + 4 + lengthOf(answer, headEnd)
    if (answer.length < whole) {
      this.#part = answer
      return
    }
    this.#part = ''
    this.#onAnswer(this, Number(answer.slice(9, 12)))
  }
}

function lengthOf(answer: string, headEnd: number): number {
  let at = answer.indexOf('ontent-length: ')
  if (at < 0) at = answer.indexOf('ontent-Length: ')
  if (at < 0 || at > headEnd) {
    // What Node says to a connection that it gives up has no body; nobody measured here sends pieces.
    if (/^connection: close/im.test(answer.slice(0, headEnd))) return 0
    throw new Error(`no length in ${answer.slice(0, headEnd)}`)
  }
  return Number.parseInt(answer.slice(at + 15, at + 25), 10)
}

const numberDigits = 8
const deviceDigits = 6
/** `{"n":"` before the number in every payload. */
const numberAt = 6

/** `POST /v1/devices/L.../commands` with a payload of exactly so many bytes; two numbers change. */
export class CommandRequest {
  readonly bytes: Buffer
  readonly #deviceAt: number
  readonly #numberAt: number

  constructor(key: string, payloadBytes: number) {
    const start = `{"n":"${'0'.repeat(numberDigits)}","order":"`
    const payload = `${start}${'4'.repeat(payloadBytes - start.length - 2)}"}`
    const body = `{"name":"open","payload":${payload}}`
    const path = '/v1/devices/L000000/commands'
    const text = head(key, 'POST', path, body.length) + body
    this.bytes = Buffer.from(text)
    this.#deviceAt = text.indexOf('L000000') + 1
    this.#numberAt = text.indexOf(payload) + numberAt
  }

  set(device: number, number: number): Buffer {
    writeDigits(this.bytes, this.#deviceAt, deviceDigits, device)
    writeDigits(this.bytes, this.#numberAt, numberDigits, number)
    return this.bytes
  }
}

/** The number in a payload that {@link CommandRequest} made. */
export function numberIn(payload: Uint8Array): number {
  let value = 0
  for (let i = numberAt; i < numberAt + numberDigits; i++) value = value * 10 + payload[i]! - 48
  return value
}

function writeDigits(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    bytes[i] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}

/** `PUT /v1/devices/L...` */
export const registration = (key: string, device: string, secret: string): Buffer => {
  const body = JSON.stringify({ secret })
  return Buffer.from(head(key, 'PUT', `/v1/devices/${device}`, body.length) + body)
}
