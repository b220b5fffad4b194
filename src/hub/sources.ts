import type {
  Admitted,
  ChannelId,
  Clock,
  DeviceId,
  DeviceKey,
  DeviceRecord,
  Engine,
  Limits,
  Mailbox,
  Reason,
  Source,
} from '../contract/index.ts'
import { deviceKey, StoreUnavailable } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'
import type { Deadlines } from './deadlines.ts'
import type { Dedupes } from './dedupes.ts'
import { isGranted } from './grants.ts'
import { type HubCounts, unavailableRetryMs } from './host.ts'
import { Intake, type IntakeHost } from './intake.ts'
import type { Presences } from './presences.ts'
import type { Quotas } from './quotas.ts'
import type { Sla } from './sla.ts'
import type { Verifiers } from './verifiers.ts'

/** What sources need of the hub. */
export interface SourcesHost {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox: Mailbox
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  readonly dedupes: Dedupes
  readonly service: Sla
  readonly counts: HubCounts
  readonly running: boolean
  comeBackMs(): number | undefined
  crowdedMs(): number | undefined
  sheds(): boolean
  log(event: string, fields: Record<string, unknown>): void
  attached(channel: ChannelId): Attachment | undefined
  kept(): void
}

/**
 * Who may speak without claiming a channel, and what ends that.
 *
 *     admit ─▶ may it? ─▶ intake ─┬─ stays: its device is online, and it counts as a session
 *                                 ╰─ does not: a sign of life, no more
 */
export class Sources implements IntakeHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox: Mailbox
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  readonly dedupes: Dedupes
  readonly counts: HubCounts
  readonly #host: SourcesHost
  readonly #presences: Presences
  readonly #door: Pick<Verifiers, 'arrived' | 'proved'>
  /** Lists as long as they must be: one or two, and every device has one. */
  readonly #intakes = new Map<DeviceKey, readonly Intake[]>()
  #size = 0
  #staying = 0
  /** How often sources of some device were closed. */
  #closings = 0

  constructor(
    host: SourcesHost,
    presences: Presences,
    door: Pick<Verifiers, 'arrived' | 'proved'>,
  ) {
    this.#host = host
    this.#presences = presences
    this.#door = door
    this.clock = host.clock
    this.limits = host.limits
    this.mailbox = host.mailbox
    this.deadlines = host.deadlines
    this.quotas = host.quotas
    this.dedupes = host.dedupes
    this.counts = host.counts
  }

  get size(): number {
    return this.#size
  }

  /** Those that keep a connection. */
  get staying(): number {
    return this.#staying
  }

  async admit(source: Source): Promise<Admitted> {
    try {
      const record = await this.#look(source)
      return this.#refusal(source, record) ?? this.#enter(source, record!)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) {
        const { app, device } = source
        this.log('admit.failed', { app, device, error: String(error) })
      }
      return unavailable
    }
  }

  closeDevice(device: DeviceKey, reason: Reason): void {
    this.#closings++
    for (const intake of this.#intakes.get(device) ?? []) intake.close(reason)
  }

  /** Those by which others speak for it. */
  closeVia(device: DeviceKey, isMeant: (via: DeviceId) => boolean, reason: Reason): void {
    this.#closings++
    for (const intake of this.#intakes.get(device) ?? [])
      if (intake.via !== undefined && isMeant(intake.via)) intake.close(reason)
  }

  closeAll(reason: Reason, retryAfterMs?: number): void {
    for (const ofDevice of [...this.#intakes.values()]) {
      for (const intake of ofDevice) intake.close(reason, retryAfterMs)
    }
  }

  // What intakes need and tell.

  log(event: string, fields: Record<string, unknown>): void {
    this.#host.log(event, fields)
  }

  attached(channel: ChannelId): Attachment | undefined {
    return this.#host.attached(channel)
  }

  kept(): void {
    this.#host.kept()
  }

  sheds(): boolean {
    return this.#host.sheds()
  }

  async device({ app, device }: Source): Promise<DeviceRecord | undefined> {
    return this.#host.engine.names.device(app, device)
  }

  heard(device: DeviceKey, nowMs: number): void {
    this.#presences.heard(device, nowMs)
  }

  left(intake: Intake, why: string): void {
    const ofDevice = this.#intakes.get(intake.device) ?? []
    const others = ofDevice.filter((other) => other !== intake)
    this.#size -= ofDevice.length - others.length
    if (others.length === 0) this.#intakes.delete(intake.device)
    else this.#intakes.set(intake.device, others)
    if (!intake.source.stays) return
    if (others.length < ofDevice.length) this.#staying--
    this.quotas.detached(intake.app)
    this.#presences.left(intake, why, this.clock.nowMs())
  }

  /** Until nobody was closed while it was looked up: it may be this one, removed by now. */
  async #look({ app, device }: Source): Promise<DeviceRecord | undefined> {
    for (;;) {
      const closings = this.#closings
      const looked = this.#host.engine.names.device(app, device)
      if (!(looked instanceof Promise)) return looked
      const record = await looked
      if (closings === this.#closings) return record
    }
  }

  #refusal(source: Source, record: DeviceRecord | undefined): Admitted | undefined {
    if (!this.#host.running) return { kind: 'refused', reason: 'going-away' }
    const retryAfterMs = source.stays ? this.#host.comeBackMs() : undefined
    if (retryAfterMs !== undefined) return { kind: 'refused', reason: 'going-away', retryAfterMs }
    const crowdedMs = source.stays ? this.#host.crowdedMs() : undefined
    if (crowdedMs !== undefined) {
      this.counts.crowded++
      return { kind: 'refused', reason: 'overloaded', retryAfterMs: crowdedMs }
    }
    if (this.#host.engine.state !== 'ready') return unavailable
    if (record === undefined || record.disabled || !isGranted(record, source.via))
      return { kind: 'refused', reason: 'unauthorized' }
    if (source.stays && !this.quotas.admits(source.app, false, this.clock.nowMs())) {
      return { kind: 'refused', reason: 'overloaded' }
    }
    return undefined
  }

  #enter(source: Source, record: DeviceRecord): Admitted {
    const { app, protocol, stays } = source
    const tally = this.#host.service.tally(app, protocol, record.attributes.class)
    const intake = new Intake(this, source, record, tally)
    const key = deviceKey(app, source.device)
    const ofDevice = this.#intakes.get(key)
    this.#intakes.set(key, ofDevice === undefined ? [intake] : ofDevice.concat(intake))
    this.#size++
    this.#door.proved(key, source.peer)
    const nowMs = this.clock.nowMs()
    if (stays) {
      this.#staying++
      this.quotas.attached(app)
      this.#door.arrived(key)
      this.#presences.came(intake, nowMs)
    } else this.#presences.heard(key, nowMs)
    return { kind: 'intake', intake }
  }
}

const unavailable: Admitted = {
  kind: 'refused',
  reason: 'unavailable',
  retryAfterMs: unavailableRetryMs,
}
