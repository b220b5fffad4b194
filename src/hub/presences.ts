import type {
  AppId,
  DeviceId,
  DeviceKey,
  Events,
  Limits,
  Presence,
  PresenceState,
  Reason,
} from '../contract/index.ts'
import { deviceKey } from '../contract/index.ts'
import type { Deadlines, Sleeper } from './deadlines.ts'
import type { PresenceMarks } from './presence-marks.ts'

/** Something by which a device is there. */
export interface Standing {
  readonly device: DeviceKey
  readonly protocol: string
  readonly heardAtMs: number
  /** Who speaks for the device by it, if not itself. */
  readonly via: DeviceId | undefined
  /** It went quiet and is being asked for a sign of life. */
  readonly suspect: boolean
  /** How long it may be silent; left out, or Infinity: others watch it. */
  readonly keepaliveMs?: number
  /** End it from our side. */
  close(reason: Reason, retryAfterMs?: number): void
}

type PresenceLimits = Pick<Limits, 'queueTtlMs' | 'connectionsMax' | 'presenceMissedMs'>

/** One device that is or was there. */
class Known implements Sleeper {
  readonly device: DeviceKey
  /** A list as long as it must be: a handful, and every device has one. */
  standing: readonly Standing[] = nothing
  state: PresenceState = 'offline'
  sinceMs: number
  heardAtMs: number
  protocol = ''
  reason: string | undefined
  /** Of its last change. */
  term = 0
  /** It was there when the process before this one ended: until then it may come back. */
  missingAtMs: number | undefined
  /** When it said that it comes back, by whatever of it has gone. */
  backAtMs: number | undefined
  heapIndex = -1
  armedAtMs = 0
  readonly #overslept: (known: Known, nowMs: number) => void

  constructor(device: DeviceKey, nowMs: number, overslept: (known: Known, nowMs: number) => void) {
    this.device = device
    this.sinceMs = nowMs
    this.heardAtMs = nowMs
    this.#overslept = overslept
  }

  get deadlineMs(): number {
    if (this.state === 'asleep') return this.backAtMs!
    return this.missingAtMs ?? Number.POSITIVE_INFINITY
  }

  wake(nowMs: number): void {
    this.#overslept(this, nowMs)
  }
}

const nothing: readonly Standing[] = []

const unknown: Presence = {
  state: 'offline',
  sinceMs: undefined,
  heardAtMs: undefined,
  protocol: undefined,
}

/**
 * Which devices are there, by what stands for them; each change is an event.
 *
 *                 first of it came            all of it is probed
 *     offline ───────────────────▶ online ◀───────────────────▶ suspect
 *        ▲  ▲                        │ │        one answered
 *        │  ╰──── the last of it left ╯ ╰──── and it said when it comes back ───▶ asleep
 *        ╰──────────────────────────── that time has passed ────────────────────────╯
 *
 * Who only posts now and then has no state, only a last sign of life.
 *
 * Each change has a term, larger than that of every change of this device before it, also over
 * restarts: so a change that is told late is known as such. Who was there when the process before
 * this one died is suspect until it is back, or has been missed for long enough to be offline.
 */
export class Presences {
  readonly #events: Events
  readonly #limits: PresenceLimits
  readonly #marks: PresenceMarks
  readonly #deadlines: Deadlines
  readonly #devices = new Map<DeviceKey, Known>()
  /** Last signs of life of devices that are not known otherwise; the oldest names go. */
  readonly #heard = new Map<DeviceKey, number>()
  #online = 0

  constructor(events: Events, limits: PresenceLimits, deadlines: Deadlines, marks: PresenceMarks) {
    this.#marks = marks
    this.#events = events
    this.#limits = limits
    this.#deadlines = deadlines
  }

  get online(): number {
    return this.#online
  }

  /**
   * Who was there when the process before this one ended, without a word of their leaving.
   * @throws StoreUnavailable, as a rejection
   */
  async remember(nowMs: number): Promise<void> {
    for await (const [device, { state, protocol, sinceMs, term, backAtMs }] of this.#marks.all()) {
      if (this.#devices.has(device)) continue
      const known = new Known(device, sinceMs, this.#overslept)
      known.protocol = protocol
      known.term = term
      if (state === 'asleep') {
        known.state = 'asleep'
        known.backAtMs = backAtMs ?? nowMs
      } else {
        known.state = 'suspect'
        known.reason = 'restarted'
        known.missingAtMs = nowMs + this.#limits.presenceMissedMs
      }
      this.#devices.set(device, known)
      this.#deadlines.arm(known)
    }
  }

  /** Everything that stands for a device. */
  standing(device: DeviceKey): readonly Standing[] {
    return this.#devices.get(device)?.standing ?? nothing
  }

  of(app: AppId, device: DeviceId): Presence {
    const key = deviceKey(app, device)
    const known = this.#devices.get(key)
    if (known === undefined) {
      const heardAtMs = this.#heard.get(key)
      return heardAtMs === undefined ? unknown : { ...unknown, heardAtMs }
    }
    const { state, sinceMs, protocol, reason, backAtMs, term } = known
    return {
      state,
      sinceMs,
      heardAtMs: heardAtMs(known),
      protocol,
      via: viaOf(known),
      reason,
      backAtMs: state === 'asleep' ? backAtMs : undefined,
      term,
    }
  }

  /** What a device was told, the least of all that stands for it; undefined: nothing. */
  keepaliveMs(app: AppId, device: DeviceId): number | undefined {
    let leastMs = Number.POSITIVE_INFINITY
    for (const { keepaliveMs } of this.#devices.get(deviceKey(app, device))?.standing ?? nothing)
      leastMs = Math.min(leastMs, keepaliveMs ?? leastMs)
    return leastMs === Number.POSITIVE_INFINITY ? undefined : leastMs
  }

  /** @returns whether it is the first of its device. */
  came(one: Standing, nowMs: number): boolean {
    let known = this.#devices.get(one.device)
    if (known === undefined) {
      known = new Known(one.device, nowMs, this.#overslept)
      this.#devices.set(one.device, known)
      this.#heard.delete(one.device)
    }
    const isFirst = known.standing.length === 0
    if (isFirst) this.#online++
    known.standing = known.standing.concat(one)
    known.protocol = one.protocol
    known.backAtMs = undefined
    this.#turn(known, 'online', undefined, nowMs)
    return isFirst
  }

  /** @param backAtMs when it said that it comes back. */
  left(one: Standing, why: string, nowMs: number, backAtMs?: number): void {
    const known = this.#devices.get(one.device)
    if (known === undefined || !known.standing.includes(one)) return
    known.standing = known.standing.filter((other) => other !== one)
    known.heardAtMs = Math.max(known.heardAtMs, one.heardAtMs)
    if (backAtMs !== undefined) {
      const atMs = Math.min(backAtMs, nowMs + this.#limits.queueTtlMs)
      known.backAtMs = Math.max(known.backAtMs ?? 0, atMs)
    }
    if (known.standing.length > 0) return
    this.#online--
    known.protocol = one.protocol
    if ((known.backAtMs ?? 0) > nowMs) {
      this.#turn(known, 'asleep', undefined, nowMs, one.via)
      this.#deadlines.arm(known)
    } else this.#turn(known, 'offline', why, nowMs, one.via)
  }

  /** A sign of life of a device, by something that does not stay. */
  heard(device: DeviceKey, nowMs: number): void {
    const known = this.#devices.get(device)
    if (known !== undefined) {
      known.heardAtMs = nowMs
      return
    }
    this.#heard.set(device, nowMs)
    if (this.#heard.size <= this.#limits.connectionsMax) return
    for (const oldest of this.#heard.keys()) {
      this.#heard.delete(oldest)
      return
    }
  }

  /** One of its links is being probed, or has answered. */
  suspicion(one: Standing, nowMs: number): void {
    const known = this.#devices.get(one.device)
    if (known === undefined || known.standing.length === 0) return
    let suspect = true
    for (const each of known.standing) suspect &&= each.suspect
    const reason = suspect ? 'acknowledgement-overdue' : undefined
    this.#turn(known, suspect ? 'suspect' : 'online', reason, nowMs)
  }

  /** It may not come back: it is not waited for. */
  unwanted(device: DeviceKey, why: string, nowMs: number): void {
    const known = this.#devices.get(device)
    if (known === undefined || !isAwaited(known)) return
    this.#turn(known, 'offline', why, nowMs)
  }

  forget(app: AppId, device: DeviceId): void {
    const key = deviceKey(app, device)
    this.#heard.delete(key)
    const known = this.#devices.get(key)
    if (known?.standing.length !== 0) return
    this.#deadlines.remove(known)
    this.#devices.delete(key)
    this.#marks.set(key, undefined)
  }

  /** It said that it comes back, and did not; or was there before a restart, and is not. */
  readonly #overslept = (known: Known, nowMs: number): void => {
    if (!isAwaited(known)) return
    const reason = known.state === 'asleep' ? 'keepalive-expired' : 'restarted'
    this.#turn(known, 'offline', reason, nowMs)
  }

  /** @param via who spoke for it by what was the last of it. */
  #turn(
    known: Known,
    state: PresenceState,
    reason: string | undefined,
    nowMs: number,
    via = viaOf(known),
  ): void {
    if (known.state === state) return
    if (isAwaited(known)) {
      this.#deadlines.remove(known)
      known.missingAtMs = undefined
    }
    known.state = state
    known.sinceMs = nowMs
    known.reason = reason
    // By the clock, which does not go back over a restart (rule 34), and not ahead of it by more than
    // this one device changes: the next process counts on from its own clock.
    known.term = Math.max(known.term + 1, nowMs)
    const { protocol, term, backAtMs } = known
    // No slash stands in an identifier.
    const [app = '', device = ''] = known.device.split('/')
    const heard = state === 'online' ? undefined : { heardAtMs: heardAtMs(known) }
    const about = { app, device, atMs: nowMs, state, term, protocol, via, reason, ...heard }
    this.#events.append([{ kind: 'presence', ...about }])
    // After its event: a crash in between leaves one more to be told, not one less.
    if (state === 'suspect') return
    const mark =
      state === 'asleep'
        ? { state, protocol, sinceMs: nowMs, term, backAtMs }
        : { state, protocol, sinceMs: nowMs, term }
    this.#marks.set(known.device, state === 'offline' ? undefined : mark)
  }
}

/** Nothing stands for it, and it may come back by a certain time. */
const isAwaited = ({ state, missingAtMs }: Known): boolean =>
  state === 'asleep' || missingAtMs !== undefined

/** Who speaks for it, if somebody does. */
const viaOf = ({ standing }: Known): DeviceId | undefined =>
  standing.find(({ via }) => via !== undefined)?.via

function heardAtMs(known: Known): number {
  let atMs = known.heardAtMs
  for (const one of known.standing) atMs = Math.max(atMs, one.heardAtMs)
  return atMs
}
