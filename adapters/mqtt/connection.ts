import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Reason, Trail } from '../../src/contract/index.ts'
import { type Attendant, attend, attendHandshake, hangUp } from '../../src/listen/sockets.ts'
import type { Sweep } from '../../src/listen/sweep.ts'
import {
  type GateProblem,
  type Opening,
  PacketGate,
  packetType,
  sniff,
  type Taker,
} from './gate.ts'
import type { House } from './house.ts'
import { tracePacket } from './trace.ts'

/** One version's understanding of a connection, from its CONNECT on. */
export interface Dialect {
  /** A whole packet; the first is CONNECT. It may be a part of what arrived together. */
  packet(packet: Buffer): void
  /** The gate found something that no packet may be: say so if the version can, and end. */
  unreadable(problem: GateProblem): void
  /** There is room in the socket again. */
  drained(): void
  /** They will send no more. Called once, unless `gone` comes first. */
  lost(): void
  /** The connection is over. Called once. */
  gone(): void
  /** The time for CONNECT and what it takes to answer it is over. */
  overdue(): void
  /** The gateway is stopping. @param backInMs when to come back: not all at once. */
  goAway(backInMs: number): void
}

/** Makes the dialect of a version; its CONNECT comes as its first packet. */
export type DialectOf = (connection: Connection, level: 3 | 4 | 5) => Dialect

/** What the connections of one adapter have in common. */
export interface Listening {
  readonly house: House
  readonly connections: Set<Connection>
  readonly dialectOf: DialectOf
  /** TLS handshakes under way. */
  readonly greeting: Sweep<Connection>
  /** From the first byte to CONNACK. */
  readonly connecting: Sweep<Connection>
  /** Ended from our side, waiting for theirs. */
  readonly lingering: Sweep<Connection>
}

/** CONNACK "unacceptable protocol version" [MQTT-3.1.2-2]. */
const unacceptableVersion = Buffer.from([0x20, 2, 0, 1])

/**
 * One socket, of whatever kind: what arrives goes through the gate to the dialect of its version,
 * what leaves is written at the end of the tick. Its listeners are shared by all.
 *
 *     socket ──data──▶ gate ──CONNECT──▶ sniff ──▶ dialect: aedes (3.1, 3.1.1) or ours (5)
 */
export class Connection implements Taker, Attendant {
  readonly house: House
  readonly peer: string
  /** Its record; from the proof on as its device. */
  trail: Trail
  /** How it came to its end. */
  why: Reason | 'lost' = 'lost'
  readonly #listening: Listening
  readonly #socket: Duplex
  /** What carries a TLS or WebSocket stream; only it can be reset. */
  readonly #carrier: Socket
  readonly #gate: PacketGate
  #dialect: Dialect | undefined
  #corked = false
  #held = false
  #ended = false
  #isLost = false
  #isWelcome = false
  #isAway = false

  /** @param carrier the TCP socket beneath; the same where nothing is in between. */
  constructor(listening: Listening, socket: Duplex, carrier: Socket, greets: boolean) {
    this.#listening = listening
    this.house = listening.house
    this.#socket = socket
    this.#carrier = carrier
    this.peer = carrier.remoteAddress ?? 'unknown'
    const { core } = this.house
    this.trail = core.recorder.connect(this.house.makeToken(), 'mqtt', this.peer)
    this.#gate = new PacketGate(this.house.core.limits.mqttConnectMaxBytes)
    listening.connections.add(this)
    this.house.counts.connectionsTotal++
    if (greets) {
      listening.greeting.add(this)
      attendHandshake(socket)
    } else listening.connecting.add(this)
    attend(socket, this)
  }

  /** Bytes sent and not yet taken by the network. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  /** CONNECT was answered well: larger packets may come, and it may take its time. */
  welcomed(): void {
    this.#gate.maxBytes = this.house.core.limits.mqttPacketMaxBytes
    this.#listening.connecting.remove(this)
    this.#isWelcome = true
  }

  /** @returns false when it is not in yet, was told before, or is over. */
  sendAway(backInMs: number): boolean {
    if (!this.#isWelcome || this.#isAway || this.#ended) return false
    this.#isAway = true
    this.goAway(backInMs)
    return true
  }

  /** Who is there has proved it. */
  proved(app: string, device: string): Trail {
    this.trail = this.trail.as(app, device)
    return this.trail
  }

  /** Leaves at the end of the tick, together with what else comes. */
  write(bytes: Uint8Array): void {
    if (this.#ended || !this.#socket.writable) return
    this.house.counts.bytesOutTotal += bytes.length
    tracePacket('out', bytes, this.trail)
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(uncork, this)
    }
    this.#socket.write(bytes)
    // Who asks much and reads nothing is not read either.
    if (this.waitingBytes >= this.house.core.limits.linkMaxBytes) this.#steer()
  }

  /** Read no more, until told otherwise. */
  hold(held: boolean): void {
    if (this.#held === held) return
    this.#held = held
    this.#steer()
  }

  /** Write what was sent, then say goodbye. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#gate.stop()
    this.#socket.end()
    // What still comes is read and dropped, so that their goodbye can be seen.
    this.#socket.resume()
    this.#listening.connecting.remove(this)
    this.#listening.lingering.add(this)
  }

  /** Drop what was sent and hang up, so that nothing arrives later (rule 20). */
  reset(): void {
    this.#ended = true
    this.#gate.stop()
    this.house.counts.resetsTotal++
    // After our FIN a reset is no longer possible, nor needed: we meant what we sent.
    if (!this.#socket.writableEnded) hangUp(this.#carrier)
    this.#socket.destroy()
  }

  goAway(backInMs: number): void {
    if (this.#dialect === undefined) this.reset()
    else this.#dialect.goAway(backInMs)
  }

  /** The time for CONNECT, or for whatever was to come, is over. */
  overdue(): void {
    if (this.#dialect === undefined || this.#ended) this.reset()
    else this.#dialect.overdue()
  }

  // What the socket says.

  received(chunk: Buffer): void {
    if (this.#ended) return
    this.house.counts.bytesInTotal += chunk.length
    const problem = this.#gate.push(chunk, this)
    if (problem !== undefined && !this.#ended) this.#unreadable(problem)
  }

  secured(): void {
    this.#listening.greeting.remove(this)
    this.#listening.connecting.add(this)
  }

  drained(): void {
    this.#steer()
    this.#dialect?.drained()
  }

  lost(): void {
    if (this.#isLost) return
    this.#isLost = true
    if (this.#dialect === undefined) this.end()
    else {
      this.#listening.lingering.add(this)
      this.#dialect.lost()
    }
  }

  gone(): void {
    this.#ended = true
    this.#gate.stop()
    const { connections, greeting, connecting, lingering } = this.#listening
    connections.delete(this)
    greeting.remove(this)
    connecting.remove(this)
    lingering.remove(this)
    this.#dialect?.gone()
    this.trail.end(this.why)
  }

  uncork(): void {
    this.#corked = false
    this.#socket.uncork()
  }

  /** A whole packet, from the gate. */
  take(packet: Buffer): void {
    const { core, counts } = this.house
    counts.packetsInTotal++
    // What is told of this packet is of this moment; of a PUBLISH nothing is told before its sign of life.
    if (packet[0]! >> 4 !== packetType.publish) core.clock.nowMs()
    tracePacket('in', packet, this.trail)
    if (this.#dialect === undefined) this.#open(sniff(packet))
    this.#dialect?.packet(packet)
  }

  #open(opening: Opening): void {
    switch (opening.kind) {
      case 'connect':
        this.#dialect = this.#listening.dialectOf(this, opening.level)
        return
      case 'unsupported':
        this.house.counts.malformedTotal++
        this.write(unacceptableVersion)
        this.end()
        return
      case 'malformed':
        this.#unreadable('malformed')
    }
  }

  #unreadable(problem: GateProblem): void {
    this.house.counts.malformedTotal++
    if (this.#dialect === undefined) this.end()
    else this.#dialect.unreadable(problem)
  }

  #steer(): void {
    if (this.#ended) return
    const full = this.waitingBytes >= this.house.core.limits.linkMaxBytes
    if (this.#held || full) this.#socket.pause()
    else this.#socket.resume()
  }
}

const uncork = (connection: Connection): void => connection.uncork()
