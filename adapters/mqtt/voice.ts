import type { Intake } from '../../src/contract/index.ts'
import type { House } from './house.ts'
import { OnceNames } from './once.ts'
import { contentTypeOf, nothing, octets, own } from './payload.ts'
import type { Receiver } from './receiver.ts'
import type { Incoming, Published } from './said.ts'
import type { Meaning } from './topics.ts'
import { uplinkOf } from './uplink.ts'

/** By what a client numbers its publishes at QoS 2. */
export interface Publisher {
  readonly clientId: string
  /** Nothing is left of what this client id did before. */
  readonly isClean: boolean
}

/** Whose voice it is. */
export interface VoiceHost {
  readonly house: House
  readonly publisher: Publisher
  readonly isOver: boolean
  readonly receiver: Receiver
  touch(): void
  /** Its connection is to be read no more, or again. Each of many may ask for it. */
  hold(held: boolean): void
}

/**
 * What one device says over a connection, from its meaning into the core.
 *
 *     event ─▶ intake.receive ─╮
 *     reply ─▶ intake.reply ───┴▶ settled ─▶ PUBACK
 */
export class Voice {
  readonly intake: Intake
  readonly #host: VoiceHost
  #once: OnceNames | undefined
  #held = false

  constructor(host: VoiceHost, intake: Intake) {
    this.#host = host
    this.intake = intake
  }

  /** `settled` is called once, perhaps at once. */
  say(meaning: Meaning, message: Incoming, settled: (outcome: Published) => void): void {
    if (message.payload.length > this.#host.house.core.limits.payloadMaxBytes) {
      settled('too-large')
      return
    }
    if (meaning.kind === 'reply') this.#reply(meaning, message, settled)
    else this.#event(meaning, message, settled)
    this.#pace()
  }

  /** It refused a command without a word more. `settled` with false: the store is away. */
  reject(id: string, reason: string, settled: (kept: boolean) => void): void {
    this.#host.receiver.answered(id)
    const reply = { status: 'rejected', reason, payload: nothing, contentType: octets } as const
    this.intake.reply(id, reply, (outcome) => settled(outcome !== 'unavailable'))
  }

  /** Is this packet id one of its own, at QoS 2 and without PUBREL? */
  owns(messageId: number): boolean {
    return this.#once?.has(messageId) === true
  }

  /** PUBREL: `settled` once its packet id may be used anew. */
  release(messageId: number, settled: (outcome: 'kept' | 'unavailable') => void): void {
    this.#onceNames().release(this.intake, messageId, settled)
  }

  /**
   * It says no more. @param comesBack to its packet ids.
   * @param will said before it counts as gone, so that it is told in this order.
   */
  leave(graceful: boolean, comesBack: boolean, will?: (Meaning & { kind: 'event' }) & Said): void {
    const { intake } = this
    const leave = (): void => {
      if (will === undefined) intake.leave(graceful)
      else {
        const uplink = uplinkOf(will.name, will.message, undefined)
        intake.receive(will.channel, [uplink], () => intake.leave(false))
      }
    }
    // Else clients that are never heard of again would use up the names there may be.
    if (this.#once === undefined || comesBack) leave()
    else this.#once.end(intake, leave)
  }

  #event(
    meaning: Meaning & { readonly kind: 'event' },
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    const { channel, stamp } = meaning
    const name = message.name || meaning.name
    const stamped = stamp === undefined ? message : { ...message, stamp }
    const { nameMaxBytes } = this.#host.house.core.limits
    if (name.length * 3 > nameMaxBytes && Buffer.byteLength(name) > nameMaxBytes) {
      settled('bad-name')
      return
    }
    const { intake } = this
    const once = message.qos === 2 ? this.#onceNames().name(intake, channel, message) : undefined
    intake.receive(channel, [uplinkOf(name, stamped, once)], settled)
  }

  #reply(
    meaning: Meaning & { readonly kind: 'reply' },
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    const { receiver } = this.#host
    const id = meaning.id ?? message.command ?? receiver.oldestUnanswered()
    if (id === undefined) {
      settled('unknown')
      return
    }
    const { contentType, payload, stamp = meaning.stamp } = message
    const reason = meaning.reason ?? message.reason
    const { nameMaxBytes } = this.#host.house.core.limits
    if (reason !== undefined && Buffer.byteLength(reason) > nameMaxBytes) {
      settled('bad-name')
      return
    }
    receiver.answered(id)
    this.intake.reply(
      id,
      {
        status: statusOf(message.status) ?? meaning.status,
        ...(reason !== undefined && { reason }),
        payload: own(payload),
        contentType: contentType ?? contentTypeOf(payload),
        ...(stamp !== undefined && { stamp }),
      },
      (outcome) => {
        if (outcome === 'kept') receiver.ended(id)
        settled(outcome)
      },
    )
  }

  /** Read no more while too much of it is on its way into the store. */
  #pace(): void {
    if (this.#held || this.#host.isOver) return
    const wants = this.intake.wants(() => {
      this.#held = false
      this.#host.touch()
      this.#host.hold(false)
    })
    if (wants) return
    this.#held = true
    this.#host.hold(true)
  }

  #onceNames(): OnceNames {
    this.#once ??= new OnceNames(this.#host.publisher)
    return this.#once
  }
}

interface Said {
  readonly message: Incoming
}

const statusOf = (text: string | undefined): 'done' | 'failed' | 'rejected' | undefined =>
  text === 'done' || text === 'failed' || text === 'rejected' ? text : undefined
