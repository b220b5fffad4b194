import {
  type Appended,
  type AppId,
  type Broadcast,
  type Broadcasted,
  type BroadcastId,
  type BroadcastRequest,
  type Canceled,
  type Command,
  type CommandId,
  type CommandStatus,
  channelId,
  type Depth,
  type DeviceId,
  type DeviceRecord,
  type EndStatus,
  type Explanation,
  type Gateway,
  type Keepalive,
  limits,
  locateCommand,
  type Presence,
  type Reply,
  type SlaSeries,
  type SubmitRequest,
  type Submitted,
} from '../../src/contract/index.ts'
import type { MemoryEngine } from '../../src/engine/memory/index.ts'
import { FlightRecorder } from '../../src/hub/recorder/recorder.ts'
import type { ManualClock } from '../support/manual-clock.ts'

/**
 * A hub without sessions: real mailboxes, no links, so a `now` is undeliverable, and what becomes
 * of the others is decided by the test.
 */
export class FakeGateway implements Gateway {
  readonly submitted: SubmitRequest[] = []
  readonly broadcasts: BroadcastRequest[] = []
  readonly refused: string[] = []
  /** What a test says to it, is what is traced. */
  readonly traces: FlightRecorder
  readonly #engine: MemoryEngine
  readonly #clock: ManualClock
  readonly #waiting = new Map<CommandId, Set<() => void>>()
  /** What submit says instead. */
  says: Submitted | undefined
  saysOfBroadcast: Broadcasted | undefined
  fails: Error | undefined
  isReady: { ok: boolean; why?: string } = { ok: true }

  constructor(engine: MemoryEngine, clock: ManualClock) {
    this.#engine = engine
    this.#clock = clock
    this.traces = new FlightRecorder(clock, limits)
  }

  async submit(request: SubmitRequest): Promise<Submitted> {
    this.submitted.push(request)
    if (this.fails !== undefined) throw this.fails
    if (this.says !== undefined) return this.says
    const { app, to, channel, idempotency } = request
    const now = this.#clock.nowMs()
    let { device } = to
    if (device === undefined) {
      const alias = await this.#engine.names.alias(app, to.alias!)
      if (alias === undefined || (alias.expiresAtMs ?? Infinity) <= now)
        return { kind: 'unknown-alias' }
      device = alias.device
    }
    const record = await this.#engine.names.device(app, device)
    if (record === undefined) return { kind: 'unknown-device' }
    if (record.disabled) return { kind: 'device-disabled' }
    if (!['main', 'urgent', ...Object.keys(record.channels)].includes(channel))
      return { kind: 'unknown-channel' }
    const place = channelId(app, device, channel)
    const repeatable = { ...(idempotency !== undefined && { idempotency }) }
    if (request.notBeforeMs !== undefined) {
      const options = { maxCommands: 100, maxTotal: 1_000, ...repeatable }
      const scheduled = await this.#engine.mailbox.schedule(place, this.#command(request), options)
      if (scheduled.kind === 'full')
        return { kind: 'schedule-full', max: scheduled.max, retryAfterMs: 4_200 }
      if (scheduled.kind === 'conflict' || scheduled.kind === 'unavailable') return scheduled
      return this.#accepted(app, scheduled.kind === 'kept' ? scheduled.command.id : scheduled.id)
    }
    const appended: Appended = await this.#engine.mailbox.append(place, this.#command(request), {
      maxCommands: record.channels[channel]?.maxCommands ?? 1_000,
      maxBytes: 1_048_576,
      overflow: 'reject',
      intendUpTo: 0,
      ...repeatable,
      ...(request.delivery === 'now' && {
        ended: { status: 'undeliverable' as const, reason: 'no-link' },
      }),
    })
    if (appended.kind === 'full')
      return { kind: 'full', depth: appended.depth, retryAfterMs: 4_200 }
    if (appended.kind === 'conflict' || appended.kind === 'unavailable') return appended
    return this.#accepted(app, appended.kind === 'kept' ? appended.command.id : appended.id)
  }

  async #accepted(app: AppId, id: CommandId): Promise<Submitted> {
    return { kind: 'accepted', status: (await this.status(app, id))! }
  }

  #command(request: SubmitRequest): Command {
    const now = this.#clock.nowMs()
    const { name, payload, contentType, delivery, expect, askedBy, ttlMs } = request
    const { replyTimeoutMs = 60_000, collapse, notBeforeMs, callback, traceparent } = request
    const from = notBeforeMs ?? now
    return {
      ...{ name, payload, contentType, delivery, expect, askedBy, replyTimeoutMs },
      acceptedAtMs: now,
      expiresAtMs: from + (ttlMs ?? (delivery === 'now' ? 30_000 : 604_800_000)),
      ...(collapse !== undefined && { collapse }),
      ...(notBeforeMs !== undefined && { notBeforeMs }),
      ...(callback !== undefined && { callback }),
      ...(traceparent !== undefined && { traceparent }),
    }
  }

  async broadcast(request: BroadcastRequest): Promise<Broadcasted> {
    this.broadcasts.push(request)
    if (this.fails !== undefined) throw this.fails
    if (this.saysOfBroadcast !== undefined) return this.saysOfBroadcast
    const { idempotency, ...asked } = request
    const { names, broadcasts } = this.#engine
    const tagged = await names.tagged(request.app, request.tag, { limit: 1 })
    if (tagged.items.length === 0) return { kind: 'unknown-tag' }
    const made = await broadcasts.create(
      { ...asked, id: `b${this.broadcasts.length}`, createdAtMs: this.#clock.nowMs() },
      names.snapshot(request.app, request.tag),
      { maxDevices: 1_000, maxKept: 1_000, ...(idempotency !== undefined && { idempotency }) },
    )
    if (made.kind === 'kept') return { kind: 'accepted', broadcast: made.broadcast }
    if (made.kind === 'busy') return { ...made, retryAfterMs: 4_200 }
    if (made.kind !== 'repeat') return made
    return { kind: 'accepted', broadcast: broadcasts.find(request.app, made.id)! }
  }

  /** Give the next of a broadcast's waiting devices their commands, as the hub would. */
  async place(app: AppId, id: BroadcastId, max: number): Promise<void> {
    const { broadcasts, mailbox } = this.#engine
    const { command, askedBy } = broadcasts.find(app, id)!
    for (const device of await broadcasts.waiting(app, id, max)) {
      const request: SubmitRequest = { app, to: { device }, askedBy, ...command }
      await mailbox.append(
        channelId(app, device, command.channel),
        { ...this.#command(request), broadcast: id },
        { maxCommands: 1_000, maxBytes: 1_048_576, overflow: 'reject', intendUpTo: 0 },
      )
    }
  }

  async stopBroadcast(app: AppId, id: BroadcastId): Promise<Broadcast | undefined> {
    if (this.fails !== undefined) throw this.fails
    return this.#engine.broadcasts.stop(app, id, 'stopped by a back end')
  }

  async status(app: AppId, id: CommandId): Promise<CommandStatus | undefined> {
    const place = locateCommand(app, id)
    if (place === undefined) return undefined
    const found = await this.#engine.mailbox.find(place.channel, place.epoch, place.offset)
    if (found === undefined) return undefined
    if (found.kind === 'ended') return found
    const { command } = found
    const status = command.deliveredAtMs !== undefined ? 'delivered' : 'queued'
    const timeline = [{ status: 'queued' as const, atMs: command.acceptedAtMs }]
    return { kind: 'open', status, command, timeline }
  }

  wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined> {
    return new Promise((resolve) => {
      const done = () => resolve(this.status(app, id))
      const all = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, all.add(done))
      this.#clock.at(this.#clock.nowMs() + timeoutMs, 'wait', done)
    })
  }

  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** What the device, or time, made of it. */
  async end(app: AppId, id: CommandId, status: EndStatus, reply?: Reply): Promise<void> {
    const place = locateCommand(app, id)!
    await new Promise((settled) =>
      this.#engine.mailbox.settle(
        place.channel,
        {
          changes: [
            {
              kind: 'ended',
              offset: place.offset,
              status,
              atMs: this.#clock.nowMs(),
              ...(reply !== undefined && { reply }),
            },
          ],
        },
        settled,
      ),
    )
    for (const done of this.#waiting.get(id) ?? []) done()
    this.#waiting.delete(id)
  }

  async cancel(app: AppId, id: CommandId): Promise<Canceled> {
    const status = await this.status(app, id)
    if (status === undefined) return { kind: 'unknown' }
    if (status.kind === 'ended') return { kind: 'too-late', status }
    await this.end(app, id, 'canceled')
    const ended = await this.status(app, id)
    return ended?.kind === 'ended'
      ? { kind: 'canceled', command: ended.command }
      : { kind: 'unavailable' }
  }

  async explain(app: AppId, id: CommandId): Promise<Explanation | undefined> {
    const status = await this.status(app, id)
    if (status === undefined) return undefined
    return {
      code: 'no-link',
      sentence: 'the device is offline',
      status,
      head: id,
      nextAtMs: status.command.expiresAtMs,
    }
  }

  presence(): Presence {
    return { state: 'offline', sinceMs: undefined, heardAtMs: undefined, protocol: undefined }
  }

  keepalive(): Keepalive {
    return { grantedMs: 60_000, provenMs: undefined }
  }

  async depth(app: AppId, device: DeviceId): Promise<Depth> {
    return this.#engine.mailbox.depth(channelId(app, device, 'main'))
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#engine.names.removeDevice(app, device)
  }

  readonly changes: (readonly [before: DeviceRecord, after: DeviceRecord])[] = []

  deviceChanged(before: DeviceRecord, after: DeviceRecord): void {
    this.changes.push([before, after])
  }

  refuseDevice(app: AppId, device: DeviceId): void {
    this.refused.push(`${app}/${device}`)
  }

  ready() {
    return this.isReady
  }

  figures() {
    return {}
  }

  sla(): readonly SlaSeries[] {
    return []
  }
}
