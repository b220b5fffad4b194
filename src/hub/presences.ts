import type {
  AppId,
  DeviceId,
  DeviceKey,
  Events,
  Presence,
  PresenceState,
} from '../contract/index.ts'
import { channelParts, deviceKey, deviceOf } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'

interface Known {
  readonly attachments: Set<Attachment>
  state: PresenceState
  sinceMs: number
  heardAtMs: number
  protocol: string
  reason: string | undefined
}

const unknown: Presence = {
  state: 'offline',
  sinceMs: undefined,
  heardAtMs: undefined,
  protocol: undefined,
}

/** Which devices are there, by what is attached for them; each change is an event. */
export class Presences {
  readonly #events: Events
  readonly #devices = new Map<DeviceKey, Known>()
  #online = 0

  constructor(events: Events) {
    this.#events = events
  }

  get online(): number {
    return this.#online
  }

  /** Everything attached for a device. */
  attachments(device: DeviceKey): readonly Attachment[] {
    return [...(this.#devices.get(device)?.attachments ?? [])]
  }

  of(app: AppId, device: DeviceId): Presence {
    const known = this.#devices.get(deviceKey(app, device))
    if (known === undefined) return unknown
    let heardAtMs = known.heardAtMs
    for (const attachment of known.attachments) {
      heardAtMs = Math.max(heardAtMs, attachment.live.liveness.heardAtMs)
    }
    const { state, sinceMs, protocol, reason } = known
    return { state, sinceMs, heardAtMs, protocol, reason }
  }

  /** @returns whether it is the first of its device. */
  attached(attachment: Attachment, nowMs: number): boolean {
    const key = deviceOf(attachment.channel)
    let known = this.#devices.get(key)
    if (known === undefined) {
      known = {
        attachments: new Set(),
        state: 'offline',
        sinceMs: nowMs,
        heardAtMs: nowMs,
        protocol: '',
        reason: undefined,
      }
      this.#devices.set(key, known)
    }
    const isFirst = known.attachments.size === 0
    if (isFirst) this.#online++
    known.attachments.add(attachment)
    known.protocol = attachment.link.protocol
    this.#turn(known, attachment, 'online', undefined, nowMs)
    return isFirst
  }

  detached(attachment: Attachment, why: string, nowMs: number): void {
    const known = this.#devices.get(deviceOf(attachment.channel))
    if (known === undefined || !known.attachments.delete(attachment)) return
    known.heardAtMs = Math.max(known.heardAtMs, attachment.live.liveness.heardAtMs)
    if (known.attachments.size > 0) return
    this.#online--
    this.#turn(known, attachment, 'offline', why, nowMs)
  }

  /** One of its links is being probed, or has answered. */
  suspicion(attachment: Attachment, nowMs: number): void {
    const known = this.#devices.get(deviceOf(attachment.channel))
    if (known === undefined || known.attachments.size === 0) return
    const suspect = [...known.attachments].every((one) => one.live.liveness.suspect)
    this.#turn(known, attachment, suspect ? 'suspect' : 'online', undefined, nowMs)
  }

  forget(app: AppId, device: DeviceId): void {
    const key = deviceKey(app, device)
    if (this.#devices.get(key)?.attachments.size === 0) this.#devices.delete(key)
  }

  #turn(
    known: Known,
    attachment: Attachment,
    state: PresenceState,
    reason: string | undefined,
    nowMs: number,
  ): void {
    if (known.state === state) return
    known.state = state
    known.sinceMs = nowMs
    known.reason = reason
    const { app, device } = channelParts(attachment.channel)
    const { protocol } = attachment.link
    this.#events.append([{ kind: 'presence', app, device, atMs: nowMs, state, protocol, reason }])
  }
}
