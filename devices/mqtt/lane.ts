import type { CommandFrame } from '../../adapters/pike/frames.ts'
import type { Epoch, Offset, Sequence } from '../../src/contract/index.ts'
import type { DeviceChannel } from '../channel.ts'
import type { Uplink } from '../storage.ts'

/** A command on its way to the inbox. */
export interface Coming {
  readonly epoch: Epoch
  readonly frame: CommandFrame
  readonly packetId: number
}

interface Taken {
  readonly epoch: Epoch
  readonly offset: Offset
  readonly packetId: number
  isDone: boolean
}

interface Out {
  readonly uplink: Uplink
  /** Its PUBACK; undefined: it has not come. */
  code: number | undefined
}

/** No gateway has more out on one channel; MQTT 3 cannot tell it what we take. */
const comingMax = 1_024

/**
 * One channel on one MQTT connection: which packet is which command, and which uplink.
 *
 *     down   coming, while the inbox has no room ─▶ taken ─▶ done with ─▶ PUBACK, each its own
 *     up     out ─▶ PUBACK, in any order ─▶ gone, in the order of the outbox
 */
export class Lane {
  readonly channel: DeviceChannel
  readonly #coming: Coming[] = []
  #taken: Taken[] = []
  readonly #out: Out[] = []

  constructor(channel: DeviceChannel) {
    this.channel = channel
  }

  // Down.

  /** @returns what the gateway did wrong, if anything. */
  come(command: Coming): string | undefined {
    if (this.#coming.length === comingMax) return 'more commands than anybody may have out'
    this.#coming.push(command)
    return this.admit()
  }

  /** As many as the inbox has room for. @returns as above. */
  admit(): string | undefined {
    const { inbox } = this.channel
    while (this.#coming.length > 0 && this.#taken.length < inbox.windowMax) {
      const { epoch, frame, packetId } = this.#coming.shift()!
      inbox.renumbered(epoch)
      const wrong = inbox.take(frame)
      if (wrong !== undefined) return wrong
      this.#taken.push({ epoch, offset: frame.offset, packetId, isDone: false })
    }
    return undefined
  }

  /** The packet ids that are to be acknowledged now; they are forgotten. */
  payable(): number[] {
    const upTo = this.channel.inbox.acknowledge() ?? 0
    const packetIds: number[] = []
    this.#taken = this.#taken.filter((one) => {
      one.isDone ||= one.offset <= upTo
      // Else the gateway would call it delivered before it hears that it was refused.
      if (!one.isDone || this.#isRefusing(one)) return true
      packetIds.push(one.packetId)
      return false
    })
    return packetIds
  }

  // Up.

  get inFlight(): number {
    return this.#out.length
  }

  /** @returns what its PUBACK is given to. */
  wrote(uplink: Uplink): Out {
    const out: Out = { uplink, code: undefined }
    this.#out.push(out)
    if (uplink.kind === 'reply') {
      const { epoch, offset } = uplink
      this.channel.inbox.replied(epoch, offset)
      const command = this.#taken.find((one) => one.epoch === epoch && one.offset === offset)
      if (command !== undefined) command.isDone = true
    }
    return out
  }

  /** Tell of what is over, in order: as far as there is no older one without its PUBACK. */
  settle(over: (sequence: Sequence, code: number) => void): void {
    while (this.#out[0]?.code !== undefined) {
      const { uplink, code } = this.#out.shift()!
      over(uplink.sequence, code!)
    }
  }

  #isRefusing({ epoch, offset }: Taken): boolean {
    return this.#out.some(
      ({ uplink }) =>
        uplink.kind === 'reply' &&
        uplink.unasked === true &&
        uplink.epoch === epoch &&
        uplink.offset === offset,
    )
  }
}
