import type { ChannelName, Position } from '../../src/contract/index.ts'
import type { House } from './house.ts'
import { CoapLink, type Way } from './link.ts'
import type { CoapSession } from './session.ts'
import type { Refused } from './speaking.ts'

/**
 * The links of one session, one a channel: how they come and go, and which way their commands go.
 *
 *     attach(channel, way) ─┬─ there is one ─────────────▶ it goes this way from now on
 *                           ├─ one is being attached ────▶ the same, once it is
 *                           ╰─ none ─▶ welcome? ─▶ core ─▶ linked
 */
export class Links {
  readonly #house: House
  readonly #session: CoapSession
  /** An array: there are two at most, and every device at rest has one of these. */
  #all: readonly CoapLink[] = none
  #attaching: Map<ChannelName, Promise<CoapLink | Refused>> | undefined

  constructor(house: House, session: CoapSession) {
    this.#house = house
    this.#session = session
  }

  /** What changes while they are gone through is not seen by who does. */
  get all(): readonly CoapLink[] {
    return this.#all
  }

  of(channel: ChannelName): CoapLink | undefined {
    for (const link of this.#all) if (link.channel === channel) return link
    return undefined
  }

  /** A link for a channel, its commands going this way from now on. */
  async attach(channel: ChannelName, way: Way, resumeFrom?: Position): Promise<CoapLink | Refused> {
    const link = this.of(channel)
    if (link !== undefined) {
      link.way = way
      return link
    }
    this.#attaching ??= new Map()
    let attaching = this.#attaching.get(channel)
    if (attaching === undefined) {
      attaching = this.#attach(channel, way, resumeFrom).finally(() => {
        this.#attaching?.delete(channel)
        if (this.#attaching?.size === 0) this.#attaching = undefined
      })
      this.#attaching.set(channel, attaching)
    }
    const attached = await attaching
    if (attached instanceof CoapLink) attached.way = way
    return attached
  }

  /** Those of one way; left out: all. */
  detach(graceful: boolean, backAtMs?: number, way?: Way): void {
    for (const link of this.#all) {
      if (way !== undefined && link.way !== way) continue
      this.remove(link)
      link.detach(graceful, backAtMs)
    }
  }

  /** One that is made anew. */
  drop(link: CoapLink): void {
    this.remove(link)
    link.detach(true)
  }

  remove(link: CoapLink): void {
    this.#all = this.#all.filter((one) => one !== link)
  }

  async #attach(
    channel: ChannelName,
    way: Way,
    resumeFrom: Position | undefined,
  ): Promise<CoapLink | Refused> {
    const session = this.#session
    try {
      if (!(await this.#house.isWelcome(session)))
        return { kind: 'refused', reason: 'unauthorized' }
    } catch {
      return { kind: 'refused', reason: 'unavailable' }
    }
    const link = new CoapLink(session, this.#house.makeLinkId(), channel, way)
    const { app, device, keepaliveMs } = session.identity
    const attached = await this.#house.core.attach(link, {
      app,
      device,
      channel,
      windowMaxCommands: 1,
      ...(keepaliveMs !== undefined && { keepaliveMs }),
      ...(resumeFrom !== undefined && { resumeFrom }),
    })
    if (attached.kind === 'refused') return attached
    if (link.closedBy !== undefined || session.isOver) {
      attached.session.detach(true)
      return link.closedBy ?? { kind: 'refused', reason: 'normal' }
    }
    link.session = attached.session
    this.#all = this.#all.concat(link)
    return link
  }
}

const none: readonly CoapLink[] = []
