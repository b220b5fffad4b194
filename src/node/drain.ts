import type { Adapter, Clock, Drain, Draining, Limits, Reason, Timer } from '../contract/index.ts'
import type { Log } from './log.ts'

/** What a drain asks of the hub. */
export interface Crowd {
  readonly present: number
  readonly inFlight: number
  leave(comeBackMs: (() => number) | undefined): void
  hangUp(reason: Reason, retryAfterMs: number): void
}

/** Between two slices, and two looks at who is left. */
const stepMs = 50
/** For devices to acknowledge what is on its way, before anybody is sent away. */
const quietMaxMs = 1_000
/** The least over which those sent away come back. */
const spreadMinMs = 1_000
const progressMs = 1_000

/**
 * Sends everybody away, in order:
 *
 *     no new sessions ▶ no command is written any more ▶ those on their way are acknowledged ▶
 *     slice by slice: "come back within …" ▶ what they said is kept and answered ▶ gone
 *
 * Source: Zuul's way of closing connections, spread and in slices.
 */
export class NodeDrain implements Drain {
  readonly #adapters: readonly Adapter[]
  readonly #crowd: Crowd
  readonly #clock: Clock
  readonly #limits: Pick<Limits, 'drainMaxMs' | 'drainSliceMax' | 'comeBackPerSecond'>
  readonly #log: Log
  #state: Draining['state'] = 'open'
  #sinceMs = 0
  #sessions = 0
  #spreadMs = spreadMinMs
  #quiet = false
  #sentAwayTotal = 0
  #saidMs = 0
  #timer: Timer | undefined
  #waiting: (() => void)[] = []

  constructor(parts: {
    readonly adapters: readonly Adapter[]
    readonly crowd: Crowd
    readonly clock: Clock
    readonly limits: Pick<Limits, 'drainMaxMs' | 'drainSliceMax' | 'comeBackPerSecond'>
    readonly log: Log
  }) {
    this.#adapters = parts.adapters
    this.#crowd = parts.crowd
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#log = parts.log
  }

  now(): Draining {
    const left = this.#crowd.present
    if (this.#state === 'open') {
      const nothing = { sinceMs: undefined, untilMs: undefined, comeBackWithinMs: undefined }
      return { state: 'open', sessions: left, left, ...nothing }
    }
    return {
      state: this.#state,
      sinceMs: this.#sinceMs,
      untilMs: this.#sinceMs + this.#limits.drainMaxMs,
      sessions: this.#sessions,
      left,
      comeBackWithinMs: this.#spreadMs,
    }
  }

  begin(): Draining {
    if (this.#state !== 'open') return this.now()
    const { comeBackPerSecond, drainMaxMs } = this.#limits
    this.#state = 'draining'
    this.#sinceMs = this.#clock.nowMs()
    this.#saidMs = this.#sinceMs
    this.#sessions = this.#crowd.present
    this.#quiet = false
    this.#spreadMs = Math.max(spreadMinMs, Math.ceil((this.#sessions / comeBackPerSecond) * 1000))
    this.#crowd.leave(() => spreadMinMs + Math.floor(Math.random() * this.#spreadMs))
    const { sessions } = this.now()
    this.#log.info(
      { event: 'drain.begun', sessions, comeBackWithinMs: this.#spreadMs, drainMaxMs },
      'no new sessions; sending away those there are',
    )
    this.#step()
    return this.now()
  }

  cancel(): Draining {
    if (this.#state === 'open') return this.now()
    this.#timer?.cancel()
    this.#state = 'open'
    this.#crowd.leave(undefined)
    for (const adapter of this.#adapters) adapter.stays?.()
    this.#log.info({ event: 'drain.canceled', left: this.#crowd.present }, 'devices may come again')
    this.#done()
    return this.now()
  }

  /** For a stop: begins it if nobody has, and resolves when it is over. */
  async finished(): Promise<void> {
    this.begin()
    if (this.#state === 'draining') await new Promise<void>((done) => this.#waiting.push(done))
  }

  figures(): Readonly<Record<string, number>> {
    return { draining: this.#state === 'open' ? 0 : 1, drain_sent_away_total: this.#sentAwayTotal }
  }

  #step(): void {
    const nowMs = this.#clock.nowMs()
    const elapsedMs = nowMs - this.#sinceMs
    if (!this.#quiet) this.#quiet = elapsedMs >= quietMaxMs || this.#crowd.inFlight === 0
    if (this.#quiet) this.#slice()
    const left = this.#crowd.present
    if (left === 0) this.#over('nobody is left')
    else if (elapsedMs >= this.#limits.drainMaxMs) {
      this.#crowd.hangUp('going-away', this.#spreadMs)
      this.#over('the time is over: the rest were hung up on')
    } else {
      if (nowMs >= this.#saidMs + progressMs) {
        this.#saidMs = nowMs
        const { sessions } = this.now()
        this.#log.info({ event: 'drain.progress', sessions, left })
      }
      this.#timer = this.#clock.at(nowMs + stepMs, 'drain', () => this.#step())
    }
  }

  #slice(): void {
    let room = this.#limits.drainSliceMax
    for (const adapter of this.#adapters) {
      if (room <= 0) break
      room -= adapter.sendAway?.(room, this.#spreadMs) ?? 0
    }
    this.#sentAwayTotal += this.#limits.drainSliceMax - room
  }

  #over(how: string): void {
    this.#state = 'drained'
    const tookMs = this.#clock.nowMs() - this.#sinceMs
    this.#log.info({ event: 'drain.ended', sessions: this.#sessions, tookMs }, how)
    this.#done()
  }

  #done(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done()
  }
}
