import type { ChannelId, DeviceRecord } from '../contract/index.ts'
import { channelId, deviceKey } from '../contract/index.ts'
import type { Arrivals } from './arrivals.ts'
import type { Attachment } from './attachment.ts'
import { freed, isIndependent, isolated } from './independence.ts'

/** What a change of a device's record ends of what the device is there by. */
export class Changes {
  readonly #arrivals: Arrivals
  readonly #attached: (channel: ChannelId) => Attachment | undefined

  constructor(arrivals: Arrivals, attached: (channel: ChannelId) => Attachment | undefined) {
    this.#arrivals = arrivals
    this.#attached = attached
  }

  made(before: DeviceRecord, after: DeviceRecord): void {
    const { app, device } = after
    this.#arrivals.changed(deviceKey(app, device), after)
    const names = new Set([...Object.keys(before.channels), ...Object.keys(after.channels)])
    for (const name of names) {
      const attachment = this.#attached(channelId(app, device, name))
      if (attachment === undefined) continue
      const { link } = attachment
      const reason = isIndependent(before, name)
        ? freed(link, after, name)
        : isolated(link, after, name)
      if (reason !== undefined) attachment.close(reason)
    }
  }
}
