import type {
  AppId,
  Broadcast,
  BroadcastId,
  Broadcasts,
  Clock,
  Command,
  DeviceId,
  Limits,
  Timer,
} from '../contract/index.ts'
import { type EndStatus, isFailure } from '../contract/index.ts'
import type { Placed, Placement } from './placement.ts'
import type { Quotas } from './quotas.ts'
import { TokenBucket } from './token-bucket.ts'

/** How long a broadcast rests when the store took nothing. */
const restMs = 1_000

/** A broadcast that has members waiting. */
interface Run {
  readonly broadcast: Broadcast
  readonly pace: TokenBucket | undefined
  /** Its next members; read again when all of them have been placed. */
  members: readonly DeviceId[]
  next: number
  underWay: number
  /** Its members are being read. */
  reading: boolean
  /** Calls that are stopping it; nobody is placed meanwhile. */
  stopping: number
  /** Something came of the members read last. */
  moved: boolean
  restUntilMs: number
  /** Called when nothing of it is under way any more. */
  drained: (() => void)[]
}

/**
 * The members of all running broadcasts, on their way to their mailboxes.
 *
 *     running   A a1 a2 a3 …     its rate ╮
 *               B b1 b2 …        no rate  ├─▶ one of each in turn ─▶ at most so many under way ─▶ place
 *               C c1 …     quota of app ──╯                          (broadcastMaxPending)
 *
 * What is placed is known by the store alone, in the command's own batch: so whatever happens here,
 * a crash included, it is enough to ask again who is still waiting.
 */
export class Placing {
  readonly #broadcasts: Broadcasts
  readonly #placement: Placement
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #quotas: Quotas
  readonly #log: (event: string, fields: Record<string, unknown>) => void
  #runs: Run[] = []
  /** Whose turn it is. */
  #turn = 0
  #underWay = 0
  #timer: Timer | undefined
  #timerAtMs = Number.POSITIVE_INFINITY
  #halted = false
  placed = 0

  constructor(
    broadcasts: Broadcasts,
    placement: Placement,
    clock: Clock,
    limits: Limits,
    quotas: Quotas,
    log: (event: string, fields: Record<string, unknown>) => void,
  ) {
    this.#broadcasts = broadcasts
    this.#log = log
    this.#placement = placement
    this.#clock = clock
    this.#limits = limits
    this.#quotas = quotas
  }

  get running(): number {
    return this.#runs.length
  }

  resume(): void {
    for (const broadcast of this.#broadcasts.running()) this.#open(broadcast)
    for (const run of this.#runs) run.restUntilMs = 0
    this.#go()
  }

  add(broadcast: Broadcast): void {
    if (broadcast.state === 'running') this.#open(broadcast)
    this.#go()
  }

  halt(): void {
    this.#halted = true
    this.#timer?.cancel()
  }

  /** @throws StoreUnavailable, as a rejection */
  async stop(app: AppId, id: BroadcastId, why: string): Promise<Broadcast | undefined> {
    const run = this.#find(app, id)
    if (run === undefined) return this.#broadcasts.stop(app, id, why)
    run.stopping++
    try {
      // Who is on the way has been decided; after `stop` nobody must come.
      if (run.underWay > 0) await new Promise<void>((resolve) => run.drained.push(resolve))
      const stopped = await this.#broadcasts.stop(app, id, why)
      this.#over(run)
      return stopped
    } catch (error) {
      this.#rest(run)
      throw error
    } finally {
      run.stopping--
      this.#go()
    }
  }

  #find(app: AppId, id: BroadcastId): Run | undefined {
    return this.#runs.find(({ broadcast }) => broadcast.app === app && broadcast.id === id)
  }

  #open(broadcast: Broadcast): void {
    if (this.#find(broadcast.app, broadcast.id) !== undefined) return
    const { ratePerSecond } = broadcast
    this.#runs.push({
      broadcast,
      // From one: a rate is asked for lest all come at once.
      pace:
        ratePerSecond === undefined
          ? undefined
          : new TokenBucket(ratePerSecond, this.#clock.nowMs(), 1),
      members: [],
      next: 0,
      underWay: 0,
      reading: false,
      stopping: 0,
      moved: true,
      restUntilMs: 0,
      drained: [],
    })
  }

  #over(run: Run): void {
    this.#runs = this.#runs.filter((other) => other !== run)
  }

  #rest(run: Run): void {
    run.members = []
    run.next = 0
    run.moved = true
    run.restUntilMs = this.#clock.nowMs() + restMs
  }

  /** Place what may be placed now, one of each in turn; then sleep until more may. */
  #go(): void {
    if (this.#halted) return
    const nowMs = this.#clock.nowMs()
    let wakeAtMs = Number.POSITIVE_INFINITY
    let passed = 0
    while (passed < this.#runs.length && this.#underWay < this.#limits.broadcastMaxPending) {
      const run = this.#runs[this.#turn++ % this.#runs.length]!
      const waitMs = this.#step(run, nowMs)
      if (waitMs === 0) {
        passed = 0
        wakeAtMs = Number.POSITIVE_INFINITY
      } else {
        passed++
        wakeAtMs = Math.min(wakeAtMs, nowMs + waitMs)
      }
    }
    this.#arm(wakeAtMs)
  }

  #arm(atMs: number): void {
    if (atMs >= this.#timerAtMs) return
    this.#timer?.cancel()
    this.#timerAtMs = atMs
    this.#timer = this.#clock.at(atMs, 'broadcasts', () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY
      this.#go()
    })
  }

  /** Place one. @returns 0, or how long until it may; Infinity: until something of it is over. */
  #step(run: Run, nowMs: number): number {
    if (run.reading || run.stopping > 0) return Number.POSITIVE_INFINITY
    if (run.restUntilMs > nowMs) return run.restUntilMs - nowMs
    const member = run.members[run.next]
    if (member === undefined) {
      if (run.underWay === 0) void this.#read(run)
      return Number.POSITIVE_INFINITY
    }
    if (!this.#spared(run)) return Number.POSITIVE_INFINITY
    const paceMs = run.pace?.waitMs(nowMs) ?? 0
    if (paceMs > 0) return paceMs
    const quotaMs = this.#quotas.placing(run.broadcast.app, nowMs)
    if (quotaMs > 0) return quotaMs
    run.pace?.take(nowMs)
    run.next++
    void this.#place(run, member)
    return 0
  }

  /**
   * Not so many have failed that no more may be placed. Each one under way may fail as it is placed,
   * so no more are than may still fail.
   */
  #spared(run: Run): boolean {
    const { app, id, stopAfterFailures } = run.broadcast
    if (stopAfterFailures === undefined) return true
    const failed = this.#failed(app, id)
    if (failed === undefined) return false
    if (failed < stopAfterFailures) return failed + run.underWay < stopAfterFailures
    this.stop(app, id, `${failed} of its commands failed`).catch(() => {}) // it rests, then again
    return false
  }

  /** undefined: it is over, and the store cannot be read. */
  #failed(app: AppId, id: BroadcastId): number | undefined {
    try {
      return failures(this.#broadcasts.find(app, id)?.ended ?? {})
    } catch {
      return undefined
    }
  }

  async #read(run: Run): Promise<void> {
    const { app, id } = run.broadcast
    run.reading = true
    try {
      if (!run.moved) this.#rest(run)
      run.members = await this.#broadcasts.waiting(app, id, this.#limits.broadcastMaxPending)
      run.next = 0
      run.moved = false
      const now = this.#broadcasts.find(app, id)
      if (run.members.length === 0 || now?.state !== 'running') this.#over(run)
    } catch {
      this.#rest(run) // the engine is down; it says so itself
    } finally {
      run.reading = false
      this.#go()
    }
  }

  async #place(run: Run, device: DeviceId): Promise<void> {
    const { broadcast } = run
    run.underWay++
    this.#underWay++
    let placed: Placed = 'unavailable'
    try {
      const command = this.#command(broadcast)
      placed = await this.#placement.place(
        broadcast.app,
        device,
        broadcast.command.channel,
        command,
      )
    } catch (error) {
      this.#log('broadcast.failed', { broadcast: broadcast.id, device, error: String(error) })
    }
    run.underWay--
    this.#underWay--
    if (placed === 'unavailable') this.#rest(run)
    else if (placed !== 'gone') {
      run.moved = true
      this.placed++
    }
    if (run.underWay === 0) for (const drained of run.drained.splice(0)) drained()
    this.#go()
  }

  #command({ id, askedBy, command }: Broadcast): Command {
    const nowMs = this.#clock.nowMs()
    const { name, payload, contentType, delivery, expect, collapse, callback, traceparent } =
      command
    const defaultTtlMs = delivery === 'now' ? this.#limits.nowTtlMs : this.#limits.queueTtlMs
    return {
      name,
      payload,
      contentType,
      delivery,
      expect,
      acceptedAtMs: nowMs,
      expiresAtMs: nowMs + (command.ttlMs ?? defaultTtlMs),
      replyTimeoutMs: command.replyTimeoutMs ?? this.#limits.replyTimeoutMs,
      askedBy,
      collapse,
      callback,
      broadcast: id,
      traceparent,
    }
  }
}

const failures = (ended: Broadcast['ended']): number =>
  Object.entries(ended).reduce(
    (sum, [status, count]) => (isFailure(status as EndStatus) ? sum + (count ?? 0) : sum),
    0,
  )
