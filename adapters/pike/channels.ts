import type { AppId, DeviceId, DeviceKey, LinkId, Trail } from '../../src/contract/index.ts'
import { channelParts, deviceOf } from '../../src/contract/index.ts'
import type { PikeChannel } from './channel.ts'
import type { Gate } from './gate.ts'

/**
 * The channels of one connection by number. Most connections have one, and pay for one.
 *
 *     number 0: #first      1 to 63: #more[number]: open | null: was open | undefined: never was
 */
export class Channels {
  #first: PikeChannel | undefined
  #more: (PikeChannel | null | undefined)[] | undefined
  readonly #gate: Gate
  #links = 0
  /** Channels named `urgent`: several devices may share a connection. */
  #urgent = 0
  /** What belongs to no channel is recorded here: of the connection, or of the first device on it. */
  trail: Trail

  constructor(gate: Gate, trail: Trail) {
    this.#gate = gate
    this.trail = trail
  }

  /** A channel opened again on this connection is another link. */
  makeLinkId(): LinkId {
    const { token } = this.trail
    const id = this.#links === 0 ? token : `${token}.${this.#links}`
    this.#links++
    return id
  }

  /** null: it was open on this connection, so what still comes for it is no mistake. */
  get(number: number): PikeChannel | null | undefined {
    return number === 0 ? (this.#first ?? null) : this.#more?.[number]
  }

  set(channel: PikeChannel): void {
    this.#gate.counts.channels++
    if (channel.urgent) this.#urgent++
    if (channel.number === 0) {
      this.#first = channel
      this.trail = channel.trail
      return
    }
    this.#more ??= []
    this.#more[channel.number] = channel
  }

  /** It is over, or was refused: what is under way for it will be passed over. */
  drop(number: number): void {
    const channel = this.get(number)
    if (channel) this.#gate.counts.channels--
    if (channel?.urgent) this.#urgent--
    if (number === 0) {
      this.#first = undefined
      return
    }
    this.#more ??= []
    this.#more[number] = null
  }

  clear(): readonly PikeChannel[] {
    const all: PikeChannel[] = []
    this.each((channel) => all.push(channel))
    this.#first = undefined
    this.#more = undefined
    this.#urgent = 0
    this.#gate.counts.channels -= all.length
    return all
  }

  get count(): number {
    let count = this.#first === undefined ? 0 : 1
    for (const channel of this.#more ?? []) if (channel) count++
    return count
  }

  /** Is there one that nothing may delay? */
  get hasUrgent(): boolean {
    return this.#urgent > 0
  }

  /** Are there others beside this one? */
  hasBeside(channel: PikeChannel): boolean {
    return this.count > (this.get(channel.number) === channel ? 1 : 0)
  }

  /** Does one of them have the connection to itself? */
  get areTaken(): boolean {
    let taken = false
    this.each(({ independent }) => {
      taken ||= independent
    })
    return taken
  }

  each(act: (channel: PikeChannel) => void): void {
    if (this.#first !== undefined) act(this.#first)
    if (this.#more === undefined) return
    for (const channel of this.#more) if (channel) act(channel)
  }

  /** What the client can be told now: the least that any of them is granted, ms. */
  renewKeepalive(): number {
    let keepaliveMs = Number.POSITIVE_INFINITY
    this.each(({ session }) => {
      if (session !== undefined) keepaliveMs = Math.min(keepaliveMs, session.renewKeepalive())
    })
    return keepaliveMs
  }

  /** Those of an app that proved themselves here. */
  devices(app: AppId): ReadonlySet<DeviceId> {
    const all = new Set<DeviceId>()
    this.each(({ session, via }) => {
      if (session === undefined || via !== undefined) return
      const parts = channelParts(session.channel)
      if (parts.app === app) all.add(parts.device)
    })
    return all
  }

  /** Does a device that proved itself have a channel here? */
  hasDevice(key: DeviceKey): boolean {
    let has = false
    this.each(({ session, via }) => {
      if (via !== undefined || session === undefined) return
      if (deviceOf(session.channel) === key) has = true
    })
    return has
  }
}
