import { createHash } from 'node:crypto'
import type { ChannelName, Intake } from '../../src/contract/index.ts'
import { mainChannel } from '../../src/contract/index.ts'
import type { Incoming } from './said.ts'
import type { Publisher } from './voice.ts'

/**
 * The names by which publishes at QoS 2 are known until their PUBREL (rule 17): client id and packet
 * id. The core keeps them beside the events, so that they outlive connections and restarts.
 *
 *     PUBLISH 7 ─▶ kept as `<client>/7` ─▶ PUBREC      PUBREL 7 ─▶ forgotten ─▶ PUBCOMP 7
 */
export class OnceNames {
  readonly #prefix: string
  readonly #isClean: boolean
  /** Packet ids without their PUBREL yet, on this connection. */
  readonly #open = new Map<number, ChannelName>()
  readonly #begun = new Set<ChannelName>()

  constructor({ clientId, isClean }: Publisher) {
    // Of one length, whatever the client calls itself.
    const hash = createHash('sha256').update(clientId).digest('base64url').slice(0, 16)
    this.#prefix = `${hash}/`
    this.#isClean = isClean
  }

  /** Is this packet id one of a publish that it named, without its PUBREL? */
  has(messageId: number): boolean {
    return this.#open.has(messageId)
  }

  /** @returns the name to keep it by; what it is not any more has been forgotten before. */
  name(intake: Intake, channel: ChannelName, { messageId, dup }: Incoming): string {
    const name = this.#prefix + messageId
    if (!this.#begun.has(channel)) {
      this.#begun.add(channel)
      // A new session numbers from the start [MQTT-3.1.2-6].
      if (this.#isClean) intake.forgetAll(channel, this.#prefix, nobody)
    }
    const isNew = !dup && !this.#open.has(messageId)
    // The first of its kind [MQTT-3.3.1-1]: what had this packet id was let go of unheard.
    if (isNew && !this.#isClean) intake.forget(channel, name, nobody)
    this.#open.set(messageId, channel)
    return name
  }

  release(
    intake: Intake,
    messageId: number,
    settled: (outcome: 'kept' | 'unavailable') => void,
  ): void {
    const channel = this.#open.get(messageId) ?? mainChannel
    this.#open.delete(messageId)
    intake.forget(channel, this.#prefix + messageId, settled)
  }

  /** The client is gone for good: what it has not released it never will. */
  end(intake: Intake, done: () => void): void {
    const channels = new Set(this.#open.values())
    let left = channels.size
    if (left === 0) done()
    for (const channel of channels) {
      intake.forgetAll(channel, this.#prefix, () => {
        left--
        if (left === 0) done()
      })
    }
  }
}

/** If it was not kept, what follows is not kept either. */
const nobody = (): void => {}
