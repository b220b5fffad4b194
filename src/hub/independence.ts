import type { ChannelName, DeviceRecord, Link, Reason } from '../contract/index.ts'

type Channels = Pick<DeviceRecord, 'channels'>

/** Which channels are to have a connection to themselves: by their device's record, else by their name. */
export class Independence {
  /** Whoever's they are. */
  readonly #byName: ReadonlySet<ChannelName>

  constructor(byName: readonly ChannelName[]) {
    this.#byName = new Set(byName)
  }

  isIndependent({ channels }: Channels, channel: ChannelName): boolean {
    const connection = Object.hasOwn(channels, channel) ? channels[channel]!.connection : undefined
    return connection === undefined ? this.#byName.has(channel) : connection === 'independent'
  }

  /** An independent channel beside others. */
  misplaced(link: Link, device: Channels, channel: ChannelName): Reason | undefined {
    if (link.connection?.() !== 'shared') return undefined
    return this.isIndependent(device, channel) ? 'independent' : undefined
  }

  /**
   * Why a channel has to go elsewhere now that its device's record is another.
   *
   * One that is independent from now on: also where it is alone at present, lest others join it
   * there. It comes back knowing. One that was, on a connection of its own: it may join the others.
   */
  moved(link: Link, before: Channels, after: Channels, channel: ChannelName): Reason | undefined {
    const is = this.isIndependent(after, channel)
    if (is === this.isIndependent(before, channel)) return undefined
    const connection = link.connection?.()
    if (is) return connection === undefined ? undefined : 'independent'
    return connection === 'own' ? 'shared' : undefined
  }
}
