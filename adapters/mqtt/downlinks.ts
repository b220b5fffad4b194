import type { Clock, CommandId, KeptCommand, Offset } from '../../src/contract/index.ts'
import { byPlace } from '../../src/contract/index.ts'
import type { MqttChannel } from './channel.ts'
import type { Outgoing, Wire } from './wire.ts'

/** A command that is out. */
export interface Out {
  readonly channel: MqttChannel
  readonly offset: Offset
  readonly id: CommandId
}

interface Waiting {
  readonly channel: MqttChannel
  readonly topic: string
  readonly command: KeptCommand
  readonly repeated: boolean
}

const messageIdMax = 65_535

/**
 * Commands on their way to a client, of all channels on its connection: which packet id is which.
 *
 *     deliver ─▶ waiting, while the client takes no more ─▶ out, by packet id ─▶ PUBACK
 */
export class Downlinks {
  readonly #wire: Wire
  readonly #clock: Clock
  #out: Map<number, Out> | undefined
  #waiting: Waiting[] | undefined
  #lastId = 0

  constructor(wire: Wire, clock: Clock) {
    this.#wire = wire
    this.#clock = clock
  }

  send(channel: MqttChannel, topic: string, command: KeptCommand, repeated: boolean): void {
    if (channel.qos === 0) {
      this.#publish(channel, { channel, topic, qos: 0, messageId: 0, dup: false, command })
      return
    }
    // What one channel may have out is the core's window; what all may, the client's.
    if ((this.#out?.size ?? 0) >= this.#wire.receiveMaximum) {
      this.#waiting ??= []
      this.#waiting.push({ channel, topic, command, repeated })
      return
    }
    this.#write(channel, topic, command, repeated)
  }

  /** @returns false: no such packet id is out. */
  acknowledge(messageId: number): boolean {
    const out = this.#take(messageId)
    if (out === undefined) return false
    out.channel.session?.acknowledge(out.offset)
    this.#writeMore()
    return true
  }

  /** @returns what it refuses; undefined: no such packet id is out. */
  reject(messageId: number): Out | undefined {
    const out = this.#take(messageId)
    if (out !== undefined) this.#writeMore()
    return out
  }

  /** The client does not get this channel any more; its packet ids stay taken until their PUBACK. */
  drop(channel: MqttChannel): void {
    this.#waiting = this.#waiting?.filter((one) => one.channel !== channel)
  }

  end(): void {
    this.#out = undefined
    this.#waiting = undefined
  }

  /** Its reply is kept: it acted on that when it had it before, and an end is an end (rule 8). */
  ended(id: CommandId): void {
    this.#waiting = this.#waiting?.filter(({ command }) => command.id !== id)
  }

  #take(messageId: number): Out | undefined {
    const out = this.#out?.get(messageId)
    if (out === undefined) return undefined
    this.#out!.delete(messageId)
    if (this.#out!.size === 0) this.#out = undefined
    return out
  }

  #write(channel: MqttChannel, topic: string, command: KeptCommand, repeated: boolean): void {
    const messageId = this.#freeId()
    this.#out ??= new Map()
    this.#out.set(messageId, { channel, offset: command.offset, id: command.id })
    this.#publish(channel, { channel, topic, qos: 1, messageId, dup: repeated, command })
  }

  #publish(channel: MqttChannel, message: Outgoing): void {
    if (!channel.template.namesCommand) channel.remember(message.command)
    this.#wire.publish(message)
    const { command, messageId, dup } = message
    const { id, epoch, offset, name, payload } = command
    const known = command.notBeforeMs === undefined ? byPlace : id
    const about = { command: known, epoch, offset, name, payload }
    const reason = dup ? 'dup' : undefined
    channel.trail.frame('out', 'PUBLISH', 0, { ...about, sequence: messageId || undefined, reason })
  }

  #writeMore(): void {
    while (this.#waiting !== undefined && (this.#out?.size ?? 0) < this.#wire.receiveMaximum) {
      const next = this.#waiting.shift()
      if (this.#waiting.length === 0) this.#waiting = undefined
      if (next === undefined) return
      // Never first written after its deadline (rule 2); nor again, when it may have ended.
      if (next.command.expiresAtMs <= this.#clock.nowMs()) continue
      this.#write(next.channel, next.topic, next.command, next.repeated)
    }
  }

  /** Channels have windows, so far fewer are out than there are. */
  #freeId(): number {
    do {
      this.#lastId = this.#lastId >= messageIdMax ? 1 : this.#lastId + 1
    } while (this.#out?.has(this.#lastId) === true)
    return this.#lastId
  }
}
