import type { ChannelId, DeviceId, DeviceRecord } from '../contract/index.ts'
import { channelId, deviceKey } from '../contract/index.ts'
import type { Arrivals } from './arrivals.ts'
import type { Attachment } from './attachment.ts'
import { isGranted } from './grants.ts'
import type { Independence } from './independence.ts'
import type { Presences } from './presences.ts'
import type { Sources } from './sources.ts'

/** What a change of a device's record ends of what the device is there by. */
export class Changes {
  readonly #arrivals: Arrivals
  readonly #independence: Independence
  readonly #attached: (channel: ChannelId) => Attachment | undefined

  readonly #sources: Sources
  readonly #presences: Presences

  constructor(
    arrivals: Arrivals,
    independence: Independence,
    sources: Sources,
    presences: Presences,
    attached: (channel: ChannelId) => Attachment | undefined,
  ) {
    this.#arrivals = arrivals
    this.#independence = independence
    this.#sources = sources
    this.#presences = presences
    this.#attached = attached
  }

  made(before: DeviceRecord, after: DeviceRecord): void {
    const { app, device } = after
    this.#arrivals.changed(deviceKey(app, device), after)
    const names = new Set([...Object.keys(before.channels), ...Object.keys(after.channels)])
    for (const name of names) {
      const attachment = this.#attached(channelId(app, device, name))
      if (attachment === undefined) continue
      const reason = this.#independence.moved(attachment.link, before, after, name)
      if (reason !== undefined) attachment.close(reason)
    }
    this.#withdraw(before, after)
  }

  /** Who may not speak for it any more is there by nothing from now on. */
  #withdraw({ gateways = [] }: DeviceRecord, after: DeviceRecord): void {
    if (gateways.every((via) => isGranted(after, via))) return
    const key = deviceKey(after.app, after.device)
    const isMeant = (via: DeviceId): boolean => !isGranted(after, via)
    this.#sources.closeVia(key, isMeant, 'unauthorized')
    for (const one of this.#presences.standing(key))
      if (one.via !== undefined && isMeant(one.via)) one.close('unauthorized')
  }
}
