import { randomBytes } from 'node:crypto'
import type { DeviceChannel } from '../channel.ts'
import type { Slot } from '../outbox.ts'

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

  /** @returns the id of the newest of what is acknowledged with it. */
  acknowledged(offset: number): string | undefined {
    const done = this.#open.filter((one) => one.offset <= offset)
    this.#open = this.#open.filter((one) => one.offset > offset)
    return done.at(-1)?.id
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
