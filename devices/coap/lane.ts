import { randomBytes } from 'node:crypto'
import type { WelcomeFrame } from '../../adapters/pike/frames.ts'
import type { DeviceChannel } from '../channel.ts'
import type { DeviceLimits } from '../limits.ts'
import type { Slot } from '../outbox.ts'

const nothing = new Uint8Array(0)
/** Names in a path or a query, RFC 7252 §5.10. */
const textMaxBytes = 255

/** A command that came and that the gateway still waits to hear of. */
export interface Open {
  readonly id: string
  readonly epoch: number
  readonly offset: number
}

/** A command larger than a block, of which the first is here. */
export interface Part {
  readonly etag: string
  readonly first: Buffer
  readonly bytes: number
  readonly szx: number
  tries: number
}

/** One channel over CoAP: its observation, and what is owed to the gateway. */
export class Lane {
  readonly channel: DeviceChannel
  /** Of its observation; a new one tells the gateway that what was out is lost to us. */
  readonly token = randomBytes(8)
  isObserved = false
  /** It was asked for, or something came by it. */
  heardAtMs = 0
  /** The gateway's clock when it was first asked for. */
  gatewayMs = 0
  /** The highest offset of this session. */
  received = 0
  part: Part | undefined
  /** To be acknowledged by its id: acted on before. */
  readonly repeats: string[] = []
  /** Refused for now: to be sent again. */
  waiting: Slot | undefined
  notBeforeMs = 0
  #open: Open[] = []

  constructor(channel: DeviceChannel) {
    this.channel = channel
  }

  /** It is observed for the first time in this session. */
  welcomed(limits: DeviceLimits, keepaliveMs: number, askedAtMs: number, resumes: boolean): void {
    const { channel } = this
    const { epoch, offset } = channel.inbox.position ?? { epoch: 0, offset: 0 }
    const { windowMaxCommands: windowMax, frameMaxBytes } = limits
    // What the gateway has of ours it does not say; what goes again is known by its stamp.
    channel.outbox.welcome(0, () => {})
    const frame: WelcomeFrame = {
      ...{ type: 'welcome', channelNumber: channel.number, capabilities: 0, proof: nothing },
      ...{ resumed: resumes ? 'resumed' : 'fresh', epoch, offset, uplinkKept: 0 },
      ...{ keepaliveS: keepaliveMs / 1000, timeMs: this.gatewayMs },
      ...{ frameMaxBytes, windowMax, uplinkWindowMax: 1, bindingsMax: 0 },
      ...{ reconnectBaseMs: 0, reconnectMaxMs: 0, connection: '', extensions: [] },
    }
    channel.welcomed(frame, askedAtMs)
  }

  /** Can all that names a command be said in one option? */
  fits(device: string): boolean {
    return `after=${placeOf(device, this.channel.name, 2 ** 32, 1e15)}`.length <= textMaxBytes
  }

  path(token: string): readonly string[] {
    return ['s', token, 'channels', this.channel.name, 'commands']
  }

  /** Where it stands, for a gateway that may not know; undefined: nowhere, or it is being stored. */
  standing(device: string): string | undefined {
    const { outbox, inbox, busy, name } = this.channel
    const position = outbox.beforeRefusal ?? inbox.position
    if (busy || position === undefined || position.offset < 1) return undefined
    return placeOf(device, name, position.epoch, position.offset)
  }

  /** The uplink to be sent next. */
  head(nowMs: number): Slot | undefined {
    if (this.waiting === undefined) return this.channel.outbox.peek(1)
    return nowMs >= this.notBeforeMs ? this.waiting : undefined
  }

  /** The id of a command that is to be acknowledged now, and by it all before. */
  owed(): string | undefined {
    const repeat = this.repeats.shift()
    if (repeat !== undefined) return repeat
    const upTo = this.channel.inbox.acknowledge()
    if (upTo === undefined) return undefined
    const done = this.#open.filter((one) => one.offset <= upTo)
    this.#open = this.#open.filter((one) => one.offset > upTo)
    return done.at(-1)?.id
  }

  get key(): string {
    return this.token.toString('hex')
  }

  get openCount(): number {
    return this.#open.length
  }

  isOpen(id: string): boolean {
    return this.#open.some((one) => one.id === id)
  }

  came(one: Open): void {
    this.#open.push(one)
  }

  /** By its own name, or by where it lies if it came in an earlier session. */
  nameOf(device: string, epoch: number, offset: number): string {
    const open = this.#open.find((one) => one.epoch === epoch && one.offset === offset)
    return open?.id ?? placeOf(device, this.channel.name, epoch, offset)
  }

  /** The gateway needs no other word of it. @returns whether it waited for one. */
  answered(id: string): boolean {
    const was = this.#open.length
    this.#open = this.#open.filter((one) => one.id !== id)
    return this.#open.length < was
  }
}

export const placeOf = (device: string, channel: string, epoch: number, offset: number): string =>
  `${device}:${channel}:${epoch.toString(36)}:${offset}`
