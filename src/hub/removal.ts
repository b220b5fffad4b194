import type { AppId, ChannelId, Clock, DeviceId, Names, Reason } from '../contract/index.ts'
import { deviceKey } from '../contract/index.ts'
import type { Arrivals } from './arrivals.ts'
import type { Desk } from './desk.ts'
import type { Heartbeats } from './heartbeats.ts'
import type { Presences } from './presences.ts'
import type { Sources } from './sources.ts'

/** All that knows of a device while it is there. */
interface Parts {
  readonly clock: Clock
  readonly names: Names
  readonly desk: Desk
  readonly arrivals: Arrivals
  readonly sources: Sources
  readonly presences: Presences
  readonly heartbeats: Heartbeats
  isAttached(channel: ChannelId): boolean
  closeVia(app: AppId, gateway: DeviceId, reason: Reason): void
}

/** The end of a device: of all by which it is there, of its commands, of its name (rule 7). */
export class Removal {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** It may no longer be connected: whatever it is here by is closed. */
  close(app: AppId, device: DeviceId, reason: Reason): void {
    const { arrivals, sources, presences, clock } = this.#parts
    const key = deviceKey(app, device)
    arrivals.forget(key, reason)
    sources.closeDevice(key, reason)
    for (const one of presences.standing(key)) one.close(reason)
    this.#parts.closeVia(app, device, 'unauthorized')
    presences.unwanted(key, reason, clock.nowMs())
  }

  /** @returns whether there was one. */
  async remove(app: AppId, device: DeviceId): Promise<boolean> {
    const { names, presences, heartbeats } = this.#parts
    this.close(app, device, 'device-removed')
    await this.#endCommands(app, device)
    const removed = await names.removeDevice(app, device)
    // Whoever was in between: a session or a command that still saw the device.
    this.close(app, device, 'device-removed')
    await this.#endCommands(app, device)
    presences.forget(app, device)
    heartbeats.forget(app, device)
    return removed
  }

  #endCommands(app: AppId, device: DeviceId): Promise<void> {
    const { desk } = this.#parts
    return desk.removeAll(app, device, (channel) => this.#parts.isAttached(channel))
  }
}
