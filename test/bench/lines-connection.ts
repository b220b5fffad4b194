import { connect, type Socket } from 'node:net'

const readBuffer = Buffer.allocUnsafe(65_536)
/** The line break of the chunk that it ends with, and of the next chunk's length. */
const breaks = Buffer.from('\r\n')

/**
 * One call that goes on: lines up, answers down, over one connection, written by hand for the same
 * reason as {@link HttpConnection}.
 */
export class LinesConnection {
  /** Lines written and not answered. */
  outstanding = 0
  readonly #onAnswer: (connection: LinesConnection, status: number) => void
  readonly #onTurn: (connection: LinesConnection) => void
  #socket: Socket | undefined
  #part = ''
  #ended: (() => void) | undefined

  /** `onAnswer` once a line, in order; `onTurn` when all that came at once has been looked at. */
  constructor(
    onAnswer: (connection: LinesConnection, status: number) => void,
    onTurn: (connection: LinesConnection) => void,
  ) {
    this.#onAnswer = onAnswer
    this.#onTurn = onTurn
  }

  open(port: number, key: string, path: string): Promise<void> {
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
      socket.once('connect', () => {
        socket.write(
          `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n` +
            'Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
        )
        resolve()
      })
      socket.on('error', reject)
      socket.on('close', () => this.#ended?.())
    })
  }

  /** Whole lines; the bytes must stay as they are until they are written. */
  write(lines: Buffer, count: number): void {
    this.outstanding += count
    const socket = this.#socket!
    socket.cork()
    socket.write(`${lines.length.toString(16)}\r\n`)
    socket.write(lines)
    socket.write(breaks)
    socket.uncork()
  }

  /** No more lines; resolves when the last answer has come. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#ended = () => {
        this.#socket?.destroy()
        resolve()
      }
      this.#socket!.write('0\r\n\r\n')
    })
  }

  #read(text: string): void {
    const all = this.#part + text
    let from = 0
    for (let end = all.indexOf('\n'); end >= 0; end = all.indexOf('\n', from)) {
      // Chunk lengths and what is empty stand between the answers.
      if (all.startsWith('{"line":', from)) {
        const at = all.indexOf('"status":', from) + 9
        this.outstanding--
        this.#onAnswer(this, Number(all.slice(at, at + 3)))
      } else if (all.startsWith('HTTP/1.1 ', from) && !all.startsWith('200', from + 9)) {
        throw new Error(`the call was refused: ${all.slice(from)}`)
      } else if (this.#ended !== undefined && all.startsWith('0\r', from)) {
        this.#ended()
        return
      }
      from = end + 1
    }
    this.#part = all.slice(from)
    this.#onTurn(this)
  }
}

const numberDigits = 8
const deviceDigits = 6

/** Lines of `POST /v1/commands`, each like the body of `CommandRequest`. */
export class CommandLines {
  readonly #line: Buffer
  readonly #deviceAt: number
  readonly #numberAt: number

  constructor(payloadBytes: number) {
    const start = `{"n":"${'0'.repeat(numberDigits)}","order":"`
    const payload = `${start}${'4'.repeat(payloadBytes - start.length - 2)}"}`
    const text = `{"to":{"device":"L000000"},"name":"open","payload":${payload}}\n`
    this.#line = Buffer.from(text)
    this.#deviceAt = text.indexOf('L000000') + 1
    this.#numberAt = text.indexOf(payload) + 6
  }

  /** A fresh buffer of so many lines; `next` gives device and number of each. */
  make(count: number, next: () => { readonly device: number; readonly number: number }): Buffer {
    const size = this.#line.length
    const lines = Buffer.allocUnsafe(size * count)
    for (let i = 0, at = 0; i < count; i++, at += size) {
      this.#line.copy(lines, at)
      const { device, number } = next()
      writeDigits(lines, at + this.#deviceAt, deviceDigits, device)
      writeDigits(lines, at + this.#numberAt, numberDigits, number)
    }
    return lines
  }
}

function writeDigits(bytes: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    bytes[i] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}
