import { totalmem } from 'node:os'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { constrainedMemory } from 'node:process'
import { getHeapStatistics } from 'node:v8'
import type { Adapter, Clock, Limits, Timer } from '../contract/index.ts'
import type { Log } from './log.ts'
import { Overload, overloadLevelMax } from './overload.ts'

/** What there is too much of, each as a share of its bound. */
export interface Signals {
  readonly loop: number
  readonly memory: number
  readonly commits: number
}

type PressureLimits = Pick<
  Limits,
  'overloadLoopMs' | 'overloadMemoryPercent' | 'overloadCommitMs' | 'commitMaxPending'
>

const lookMs = 1_000
/** A step up after so long of too much, one down after so long without. */
const upMs = 5_000
const downMs = 10_000
/** Sent away at once where nothing else has helped, and over how long they come back. */
const sliceMax = 100
const spreadMs = 60_000

/** Looks at the signals once a second, and has done about it what there is to do. */
export class Pressure {
  readonly #clock: Clock
  readonly #log: Log
  readonly #read: () => Signals
  readonly #adapters: readonly Adapter[]
  readonly #press: (level: number) => void
  readonly #overload = new Overload({ upMs, downMs })
  #signals: Signals = { loop: 0, memory: 0, commits: 0 }
  #sentAwayTotal = 0
  #timer: Timer | undefined

  constructor(parts: {
    readonly clock: Clock
    readonly log: Log
    readonly read: () => Signals
    readonly adapters: readonly Adapter[]
    readonly press: (level: number) => void
  }) {
    this.#clock = parts.clock
    this.#log = parts.log
    this.#read = parts.read
    this.#adapters = parts.adapters
    this.#press = parts.press
  }

  start(): void {
    this.#timer = this.#clock.at(this.#clock.nowMs() + lookMs, 'overload', () => {
      this.#look()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  figures(): Readonly<Record<string, number>> {
    const { loop, memory, commits } = this.#signals
    return {
      overload_level: this.#overload.level,
      overload_loop_share: loop,
      overload_memory_share: memory,
      overload_commits_share: commits,
      overload_sent_away_total: this.#sentAwayTotal,
    }
  }

  #look(): void {
    this.#signals = this.#read()
    const before = this.#overload.level
    const { loop, memory, commits } = this.#signals
    const level = this.#overload.look(Math.max(loop, memory, commits), this.#clock.nowMs())
    if (level !== before) {
      this.#log[level > before ? 'warn' : 'info'](
        { event: level > before ? 'overload.more' : 'overload.less', level, ...this.#signals },
        steps[level],
      )
      this.#press(level)
    }
    if (level === overloadLevelMax) this.#sendSomeAway()
  }

  #sendSomeAway(): void {
    let room = sliceMax
    for (const adapter of this.#adapters) room -= adapter.sendAway?.(room, spreadMs) ?? 0
    this.#sentAwayTotal += sliceMax - room
  }
}

const steps: readonly string[] = [
  'all is taken again',
  'new connections are refused',
  'reports that nobody expects to be acknowledged are dropped',
  'fewer commands are out on each link',
  'calls that accept commands get 429',
  'devices are sent away, a slice a second',
]

/** The signals of this process. */
export class ProcessSignals {
  readonly #limits: PressureLimits
  readonly #engine: () => Readonly<Record<string, number>>
  readonly #loop: IntervalHistogram
  readonly #memoryMaxBytes: number
  #rssBytes = 0
  #commits = 0
  #commitSeconds = 0

  /** @param engine its figures. */
  constructor(limits: PressureLimits, engine: () => Readonly<Record<string, number>>) {
    this.#limits = limits
    this.#engine = engine
    this.#loop = monitorEventLoopDelay({ resolution: 20 })
    this.#loop.enable()
    const within = constrainedMemory?.() ?? 0
    // Where there is no bound a very large number is said.
    this.#memoryMaxBytes = within > 0 && within < totalmem() ? within : totalmem()
  }

  read(): Signals {
    const { overloadLoopMs, overloadMemoryPercent, overloadCommitMs, commitMaxPending } =
      this.#limits
    const loopMs = this.#loop.percentile(99) / 1e6
    this.#loop.reset()
    const { used_heap_size: heap, heap_size_limit: heapMax } = getHeapStatistics()
    const memory = Math.max(heap / heapMax, this.#rss() / this.#memoryMaxBytes)
    return {
      loop: loopMs / overloadLoopMs,
      memory: (memory * 100) / overloadMemoryPercent,
      commits: Math.max(
        this.#commitMs() / overloadCommitMs,
        (this.#engine().commit_pending ?? 0) / commitMaxPending,
      ),
    }
  }

  stop(): void {
    this.#loop.disable()
  }

  /** As it was, where it cannot be read: that takes a descriptor. */
  #rss(): number {
    try {
      this.#rssBytes = process.memoryUsage.rss()
    } catch {}
    return this.#rssBytes
  }

  /** The mean since the last look: one long one of few is what most wait for. */
  #commitMs(): number {
    const { commits_total: commits = 0, commit_seconds_sum: seconds = 0 } = this.#engine()
    const count = commits - this.#commits
    const took = seconds - this.#commitSeconds
    this.#commits = commits
    this.#commitSeconds = seconds
    return count === 0 ? 0 : (took / count) * 1000
  }
}
