import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Attendant, attend, attendHandshake, hangUp } from '../../src/listen/sockets.ts'
import type { Gate } from './gate.ts'
import { PikeProtocol } from './protocol.ts'
import type { Wire } from './wire.ts'

/** What the connections of one adapter have in common. */
export interface House {
  readonly gate: Gate
  readonly flusher: Flusher
  /** Every connection there is. */
  readonly connections: Set<Connection>
  /** TLS handshakes under way. */
  readonly greeting: { add(item: Connection): void; remove(item: Connection): void }
  /** Ended from our side, waiting for theirs. */
  readonly lingering: { add(item: Connection): void; remove(item: Connection): void }
}

/** Writes what a turn of the event loop brought together, once at its end. */
export class Flusher {
  #due: Connection[] = []

  add(connection: Connection): void {
    if (this.#due.push(connection) === 1) setImmediate(this.#flush)
  }

  readonly #flush = (): void => {
    const due = this.#due
    this.#due = []
    for (const connection of due) connection.flush()
  }
}

/** Below this, one write of a copy is cheaper than several writes. */
const joinMaxBytes = 16 * 1024

/**
 * One socket: what arrives goes to its protocol, what leaves is written once a tick. Its listeners
 * are shared by all, so that an idle connection costs little more than its socket.
 *
 *     socket ──data──▶ protocol ──send──▶ output ──flush (end of tick)──▶ socket
 */
export class Connection implements Wire, Attendant {
  readonly #house: House
  readonly #socket: Socket | TLSSocket
  /** What carries a TLS socket; only it can be reset. */
  readonly #carrier: Socket | undefined
  readonly peer: string
  #protocol: PikeProtocol | undefined
  #output: Buffer | Buffer[] | undefined
  #outputBytes = 0
  #scheduled = false
  #heldByProtocol = false
  #heldByOutput = false
  #ended = false

  /** @param carrier the plain socket under a TLS one. */
  constructor(house: House, socket: Socket | TLSSocket, carrier?: Socket) {
    this.#house = house
    this.#socket = socket
    this.#carrier = carrier
    this.peer = socket.remoteAddress ?? 'unknown'
    house.connections.add(this)
    house.gate.counts.connectionsTotal++
    attend(socket, this)
    if (carrier === undefined) {
      this.#protocol = new PikeProtocol(house.gate, this)
    } else {
      attendHandshake(socket)
      house.greeting.add(this)
    }
  }

  get secure(): boolean {
    return this.#carrier !== undefined
  }

  get waitingBytes(): number {
    return this.#outputBytes + this.#socket.writableLength
  }

  send(bytes: Buffer): void {
    if (this.#ended) return
    this.#outputBytes += bytes.length
    if (this.#output === undefined) this.#output = bytes
    else if (Array.isArray(this.#output)) this.#output.push(bytes)
    else this.#output = [this.#output, bytes]
    this.writeSoon()
  }

  writeSoon(): void {
    if (this.#scheduled || this.#ended) return
    this.#scheduled = true
    this.#house.flusher.add(this)
  }

  end(): void {
    if (this.#ended) return
    this.#write()
    this.#ended = true
    this.#socket.end()
    // What still comes is read and dropped, so that their goodbye can be seen.
    this.#socket.resume()
    this.#house.lingering.add(this)
  }

  reset(): void {
    this.#ended = true
    this.#output = undefined
    this.#outputBytes = 0
    // After our FIN a reset is no longer possible, nor needed: we meant what we sent.
    if (!this.#socket.writableEnded) hangUp(this.#carrier ?? this.#socket)
    this.#socket.destroy()
  }

  hold(reading: boolean): void {
    this.#heldByProtocol = reading
    this.#steer()
  }

  /** At the end of the tick. */
  flush(): void {
    if (this.#ended) return
    this.#protocol?.beforeWrite()
    this.#scheduled = false
    this.#write()
    this.#throttle()
    // With little left there will be no 'drain'.
    if (!this.#socket.writableNeedDrain) this.#protocol?.drained()
  }

  /** @returns false when it is not open, or was told before. */
  sendAway(spreadMs: number): boolean {
    if (this.#ended || this.#protocol?.state !== 'open') return false
    this.#protocol.goAway(spreadMs)
    return true
  }

  goAway(spreadMs: number): void {
    if (this.#protocol === undefined) this.reset()
    else this.#protocol.goAway(spreadMs)
  }

  // What the socket says.

  received(chunk: Buffer): void {
    if (!this.#ended) this.#protocol?.received(chunk)
  }

  secured(): void {
    this.#house.greeting.remove(this)
    this.#protocol = new PikeProtocol(this.#house.gate, this)
  }

  drained(): void {
    this.#throttle()
    this.#protocol?.drained()
  }

  /** They will send no more: with that the conversation is over, whatever we had to say. */
  lost(): void {
    this.#protocol?.lost()
    if (this.#ended) return
    this.#ended = true
    this.#output = undefined
    this.#house.lingering.add(this)
  }

  gone(): void {
    this.lost()
    this.#house.connections.delete(this)
    this.#house.greeting.remove(this)
    this.#house.lingering.remove(this)
  }

  #write(): void {
    const output = this.#output
    if (output === undefined) return
    this.#output = undefined
    const bytes = this.#outputBytes
    this.#outputBytes = 0
    if (!this.#socket.writable) return
    this.#house.gate.counts.bytesOutTotal += bytes
    if (!Array.isArray(output)) {
      this.#socket.write(output)
    } else if (bytes <= joinMaxBytes) {
      this.#socket.write(Buffer.concat(output, bytes))
    } else {
      this.#socket.cork()
      for (const part of output) this.#socket.write(part)
      this.#socket.uncork()
    }
  }

  /** Who asks much and reads nothing is not read either. */
  #throttle(): void {
    const tooMuch = this.#socket.writableLength >= this.#house.gate.core.limits.linkMaxBytes
    if (tooMuch === this.#heldByOutput) return
    this.#heldByOutput = tooMuch
    this.#steer()
  }

  #steer(): void {
    if (this.#ended) return
    if (this.#heldByProtocol || this.#heldByOutput) this.#socket.pause()
    else this.#socket.resume()
  }
}
