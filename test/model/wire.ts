import assert from 'node:assert/strict'
import type { Downlink, Position, Session, Uplink } from '../../src/contract/index.ts'
import { MemoryLink } from '../support/world.ts'
import { limits } from './limits.ts'
import { type App, type Command, isOpen, mailbox } from './state.ts'

/** What is on the device's side of one channel, and outlives every connection. */
export class Locker {
  readonly app: string
  readonly device: string
  readonly channel: string
  /** The place of the last command it got. */
  stand: Position | undefined
  /** Where it stood before; what a device with a lost memory may claim. */
  stoodBefore: Position | undefined
  readonly received = new Map<string, Downlink>()
  line: Line | undefined
  /** In this process: when it was taken over. */
  takeovers: number[] = []
  heldUntilMs = 0
  uplinkEpoch = 1
  sequence = 0
  /** What it reported last, to be said again. */
  lastReport: readonly Uplink[] = []

  constructor(app: string, device: string, channel: string) {
    this.app = app
    this.device = device
    this.channel = channel
  }
}

export interface Delivery {
  readonly line: Line
  readonly downlink: Downlink
  readonly atMs: number
}

/** How a device says where it stands. */
export type Claim = 'true' | 'none' | 'older' | 'unknown' | 'ahead'

/** One link, with all that was written to it. */
export class Line extends MemoryLink {
  readonly locker: Locker
  readonly claim: Claim
  readonly windowMax: number
  readonly #write: (delivery: Delivery) => void
  readonly #nowMs: () => number
  /** The process it hangs on is no more: what it still writes nobody gets. */
  dead = false
  started = false
  start: Position = { epoch: 0, offset: 0 }
  keepaliveMs = 0
  heardAtMs: number
  probedAtMs: number | undefined
  /** Written in this session and not acknowledged, by offset. */
  readonly out = new Map<number, Command>()
  readonly written = new Set<number>()
  /** Ended in doubt while they were out: a late acknowledgement is worth telling (rule 8). */
  readonly doubted = new Set<number>()
  top = 0

  constructor(
    id: string,
    locker: Locker,
    options: {
      readonly claim: Claim
      readonly windowMax: number
      readonly carriesMaxBytes: number
      readonly nowMs: () => number
      readonly write: (delivery: Delivery) => void
    },
  ) {
    super(id)
    this.locker = locker
    this.claim = options.claim
    this.windowMax = options.windowMax
    this.carriesMaxBytes = options.carriesMaxBytes
    this.#nowMs = options.nowMs
    this.#write = options.write
    this.heardAtMs = this.#nowMs()
    this.client = `uplinks ${locker.uplinkEpoch}`
  }

  override deliver(downlink: Downlink): 'open' | 'full' {
    if (!this.dead) this.#write({ line: this, downlink, atMs: this.#nowMs() })
    return super.deliver(downlink)
  }

  override probe(): boolean {
    this.probedAtMs ??= this.#nowMs()
    return super.probe()
  }

  get talks(): Session | undefined {
    return this.isClosed || this.dead ? undefined : this.session
  }

  heard(): void {
    this.heardAtMs = this.#nowMs()
    this.probedAtMs = undefined
    this.session?.touch()
  }

  /** The device acknowledged these; what it may speak of is up to the highest it got or stood at. */
  acknowledged(offset: number, upTo: boolean): void {
    for (const one of [...this.out.keys()])
      if (one === offset || (upTo && one <= offset)) this.out.delete(one)
  }
}

/**
 * Rules 2, 5, 6, 12 to 14 and 19, seen from the device: what was written to a link at this moment.
 * `command` is what the model knows of it.
 */
export function judgeDelivery({ line, downlink, atMs }: Delivery, command: Command, app: App) {
  const { locker } = line
  const kept = downlink.command
  const about = `${kept.id} (${kept.name}) on ${line.id}`
  const { spec } = command
  assert.equal(
    `${command.app}/${command.device}/${spec.channel}`,
    keyOf(locker),
    `${about}: another's link`,
  )
  assert.equal(kept.name, spec.name, `${about}: name`)
  assert.deepEqual(Buffer.from(kept.payload), spec.payload, `${about}: payload`)
  assert.equal(kept.contentType, spec.contentType, `${about}: content type`)
  assert.equal(kept.expiresAtMs, command.expiresAtMs, `${about}: deadline told to the device`)
  assert.ok(line.started, `${about}: written before the device knew that it is attached`)
  assert.ok(atMs < command.expiresAtMs, `${about}: written ${atMs - command.expiresAtMs} ms late`)
  assert.ok(atMs >= (spec.notBeforeMs ?? 0), `${about}: written before its time`)
  assert.ok(kept.offset > line.top, `${about}: after ${line.top}, out of order`)
  assert.ok(kept.offset > line.start.offset, `${about}: at or before where it starts`)
  if (spec.delivery === 'now') assert.ok(command.writes <= 1, `${about}: a "now" written twice`)
  if (command.writes > 1) assert.ok(downlink.repeated, `${about}: a repeat that is not marked`)
  else if (!command.doubt && !command.saidSent)
    assert.ok(!downlink.repeated, `${about}: marked as a repeat, but written for the first time`)
  if (line.claim === 'true')
    assert.ok(!locker.received.has(kept.id), `${about}: again, to a device that stood past it`)
  for (const other of app.commands.values()) {
    if (other === command || other.place === undefined || other.device !== command.device) continue
    if (other.spec.channel !== spec.channel || other.acks.length > 0) continue
    const { offset } = other.place
    if (offset <= line.start.offset || offset >= kept.offset || line.written.has(offset)) continue
    const wasOpen = isOpen(other) || other.end!.atMs > atMs
    const wasPlaced = other.placedAtMs! < atMs
    assert.ok(!wasOpen || !wasPlaced, `${about}: overtook ${other.id} (${other.spec.name})`)
  }
  line.top = kept.offset
  line.written.add(kept.offset)
  line.out.set(kept.offset, command)
  const holding = [...line.out.values()].filter((one) => isOpen(one) || one.end!.atMs > atMs)
  assert.ok(holding.length <= line.windowMax, `${about}: over the window of ${line.windowMax}`)
  locker.stoodBefore = locker.stand
  locker.stand = { epoch: kept.epoch, offset: kept.offset }
  locker.received.set(kept.id, downlink)
}

/** All is at rest and the link takes more: then whatever can be written has been. */
export function judgeIdle(line: Line, app: App): void {
  const { locker } = line
  if (line.talks === undefined || !line.started || line.takes === 'full') return
  const next = mailbox(app, locker.device, locker.channel).find(
    ({ place, acks }) =>
      acks.length === 0 && place!.offset > line.start.offset && !line.written.has(place!.offset),
  )
  if (next === undefined) return
  const bytes = [...line.out.values()].reduce((sum, { spec }) => sum + spec.payload.length, 0)
  const hasRoom =
    line.out.size < line.windowMax &&
    (line.out.size === 0 || bytes + next.spec.payload.length <= limits.windowMaxBytes)
  assert.ok(!hasRoom, `${next.id} (${next.spec.name}) is not written though ${line.id} has room`)
}

/** Why we closed it must be true. */
export function judgeClose(
  line: Line,
  nowMs: number,
  facts: { readonly admitted: boolean; readonly storeLost: boolean; readonly replaced: boolean },
): void {
  const { reason } = line.closed!
  const probedMs = line.probedAtMs === undefined ? 0 : nowMs - line.probedAtMs
  const isTrue: Partial<Record<typeof reason, boolean>> = {
    'taken-over': facts.replaced,
    conflict: facts.replaced,
    'device-removed': !facts.admitted,
    'device-disabled': !facts.admitted,
    unavailable: facts.storeLost,
    'keepalive-expired': nowMs - line.heardAtMs >= line.keepaliveMs * 1.25 + 10_000,
    unresponsive: probedMs >= limits.ackOverdueMaxMs,
  }
  assert.ok(isTrue[reason] === true, `${line.id} was closed as ${reason}, and that is not true`)
}

export const keyOf = ({ app, device, channel }: { app: string; device: string; channel: string }) =>
  `${app}/${device}/${channel}`
