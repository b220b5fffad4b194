import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { EventEmitter } from 'node:events'
import { isIP } from 'node:net'
import { type ParsedPacket, parse } from 'coap-packet'

export interface WireEvents {
  /** Something came. */
  heard(): void
  /**
   * A message with one of our tokens of observations; its answer to being asked for it goes elsewhere.
   * @returns whether it was taken: what was not is not acknowledged, so it comes again.
   */
  notified(token: string, packet: ParsedPacket): boolean
  failed(text: string): void
}

const typeCon = 0
const typeNon = 1
const typeAck = 2
const typeReset = 3
/** 0: a request; 2: success; 4, 5: whose mistake it is. RFC 7252 §5.2. */
const classOf = (code: number): number => code >> 5
/** What may come for one request: a command in blocks, and then some. */
const answerMaxBytes = 128 * 1024

/**
 * The device's UDP socket, for node-coap's agent the one it asks by. What the agent cannot do is done here:
 *
 *     datagram ─┬─ ping ─▶ reset (RFC 7252 §4.3)
 *               ├─ notification ─▶ the session; acknowledged once that has taken it
 *               ╰─ anything else ─▶ the agent, which may trip over it and nothing more happens
 *
 * Connected, so that the kernel drops what others send, and a closed port is heard of at once.
 */
export class Wire extends EventEmitter {
  /** The agent looks for it. */
  type: 'udp4' | 'udp6' = 'udp4'
  readonly closed: Promise<void>
  readonly #events: WireEvents
  readonly #observed = new Map<string, { isAsked: boolean }>()
  #socket: Socket | undefined
  #bytes = 0
  #ended = false
  #closed: () => void = () => {}

  constructor(events: WireEvents) {
    super()
    this.#events = events
    this.closed = new Promise((resolve) => {
      this.#closed = resolve
    })
  }

  /** Resolves when something can be sent. Rejects with why it cannot. */
  async open(host: string, port: number): Promise<void> {
    const family = isIP(host)
    const to = family === 0 ? await lookup(host) : { address: host, family }
    if (this.#ended) return
    this.type = to.family === 6 ? 'udp6' : 'udp4'
    const socket = createSocket(this.type)
    this.#socket = socket
    socket.once('close', () => this.#closed())
    socket.on('message', (bytes) => this.#take(bytes))
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect(port, to.address, () => {
        socket.off('error', reject)
        resolve()
      })
    })
    socket.on('error', (error) => this.#failed(error.message))
  }

  /** From here on messages with that token are notifications; or not any more. */
  observe(token: string, isAsked: boolean): void {
    this.#observed.set(token, { isAsked })
  }

  /** A new request: what comes for it counts from here. */
  begin(): void {
    this.#bytes = 0
  }

  close(): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#socket === undefined) this.#closed()
    else this.#socket.close()
  }

  // What the agent asks of a socket.

  address(): { address: string; family: string; port: number } {
    return { address: '', family: this.type, port: 0 }
  }

  send(
    bytes: Buffer,
    _offset: number,
    _length: number,
    _port: number,
    _host: string,
    done: (error: null) => void,
  ): void {
    this.#send(bytes)
    // An error would be thrown by whoever does not wait for it any more; the socket tells it us.
    process.nextTick(done, null)
  }

  #send(bytes: Buffer): void {
    if (this.#ended || this.#socket === undefined) return
    try {
      this.#socket.send(bytes, (error) => {
        if (error) this.#failed(error.message)
      })
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error))
    }
  }

  #take(bytes: Buffer) {
    if (this.#ended || bytes.length < 4 || bytes[0]! >> 6 !== 1) return
    this.#events.heard()
    const type = (bytes[0]! >> 4) & 3
    const code = bytes[1]!
    if (type === typeCon && code === 0) return this.#send(emptyOf('reset', bytes))
    const tokenBytes = bytes[0]! & 15
    const token = bytes.toString('hex', 4, 4 + tokenBytes)
    const observed = type === typeCon || type === typeNon ? this.#observed.get(token) : undefined
    if (observed !== undefined && classOf(code) >= 2) {
      const packet = parsed(bytes)
      if (packet === undefined) return
      // While it is asked for, what carries no command is the answer.
      const isAnswer = observed.isAsked && (classOf(code) > 2 || packet.payload.length === 0)
      if (!isAnswer) {
        if (this.#events.notified(token, packet) && type === typeCon)
          this.#send(emptyOf('ack', bytes))
        return
      }
    }
    this.#bytes += bytes.length
    if (this.#bytes > answerMaxBytes) return this.#failed('the answer has no end')
    try {
      this.emit('message', bytes, { address: '', family: this.type, port: 0, size: bytes.length })
    } catch (error) {
      // A malformed block option is one way.
      this.#failed(error instanceof Error ? error.message : String(error))
    }
  }

  #failed(text: string): void {
    this.#events.failed(text)
  }
}

function parsed(bytes: Buffer): ParsedPacket | undefined {
  try {
    return parse(bytes)
  } catch {
    return undefined
  }
}

/** An empty message for that one. */
function emptyOf(what: 'ack' | 'reset', bytes: Buffer): Buffer {
  const type = what === 'ack' ? typeAck : typeReset
  return Buffer.from([0x40 | (type << 4), 0, bytes[2]!, bytes[3]!])
}
