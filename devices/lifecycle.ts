import { nextStep } from '../adapters/pike/frames.ts'
import {
  delayMs,
  firstWindowMs,
  provedMs,
  type ReconnectPolicy,
  type Row,
  reconnectPolicy,
  refusedRetryMinMs,
  retryAfterMaxMs,
} from './reconnect.ts'

/**
 * Pike's life cycle of a client. Pure: inputs and the time come in, effects go out.
 *
 *               start, restart               every channel welcomed
 *     stopped ──────────────────▶ starting ─────────────────────────▶ running
 *      ▲ ▲ ▲                       ▲    │                              │  │
 *      │ │ │              delay is │    │ failed, closed, took too long│  │ receive, sendSuccess,
 *      │ │ │              over     │    ▼                              │  │ sendFailure: stay here
 *      │ │ └─────────────────────  waiting ◀───────────────────────────┘
 *      │ │       stop                     lost, closed, going away, patrol found it unusable
 *      │ └── starting: stop, or closed with "never"
 *      └──── running:  stop, or closed with "never", or the storage failed
 *
 *     restart from anywhere: what there is is closed, then starting.
 *
 * Whatever an old connection still says is ignored: each has a number, and only the newest counts.
 * After a stop nothing happens until `start` or `restart`.
 */
export type State =
  | { readonly kind: 'stopped'; readonly reason: StopReason }
  | { readonly kind: 'starting'; readonly connection: number; readonly untilMs: number }
  | { readonly kind: 'waiting'; readonly untilMs: number; readonly why: string }
  | { readonly kind: 'running'; readonly connection: number; readonly sinceMs: number }

/** `refused`: the server said "do not come back until reconfigured"; `code` and `text` say why. */
export type StopReason =
  | { readonly kind: 'not-started' }
  | { readonly kind: 'asked' }
  | { readonly kind: 'refused'; readonly code: number; readonly text: string }
  | { readonly kind: 'storage'; readonly text: string }

export type Input =
  /** `afterMs`: not before. */
  | { readonly kind: 'start'; readonly afterMs?: number }
  | { readonly kind: 'stop' }
  | { readonly kind: 'restart' }
  /** Every channel of this connection has been welcomed. */
  | { readonly kind: 'ready'; readonly connection: number; readonly policy: ReconnectPolicy }
  /** One of our messages was acknowledged: this connection does its work. */
  | { readonly kind: 'acknowledged'; readonly connection: number }
  | { readonly kind: 'lost'; readonly connection: number; readonly cause: Cause }
  /** The sweep, once a heartbeat period: is the connection we believe in still one? */
  | { readonly kind: 'patrol'; readonly usable: boolean }
  | { readonly kind: 'storage-failed'; readonly text: string }
  /** Another connection of this client was told never to come back. */
  | { readonly kind: 'refused'; readonly reason: StopReason }
  | { readonly kind: 'tick' }

export type Cause =
  /** It broke, could not be made, fell silent or broke the protocol. */
  | { readonly kind: 'local'; readonly text: string }
  | {
      readonly kind: 'closed'
      readonly code: number
      readonly retryAfterMs: number
      readonly text: string
    }
  | { readonly kind: 'going-away'; readonly spreadMs: number }

export type Effect =
  | { readonly kind: 'connect'; readonly connection: number }
  /** `politely`: say goodbye; else the bytes under way must not arrive later. */
  | { readonly kind: 'disconnect'; readonly connection: number; readonly politely: boolean }
  /** Always the last effect: whoever hears it may call back. */
  | { readonly kind: 'state'; readonly state: State }

const nothing: readonly Effect[] = []

export class Lifecycle {
  readonly #startTimeoutMs: number
  readonly #random: () => number
  readonly #refusedRetryMs: number | undefined
  #policy: ReconnectPolicy
  #state: State = { kind: 'stopped', reason: { kind: 'not-started' } }
  #connections = 0
  /** Tries in a row that led to no useful connection. */
  #failures = 0
  #row: Row = { place: 0, spreadMs: undefined }
  #acknowledged = false

  constructor(options: {
    readonly startTimeoutMs: number
    readonly random: () => number
    readonly policy?: ReconnectPolicy
    /** Who is refused for good waits so long, an hour at least. Absent: it stops. */
    readonly refusedRetryMs?: number
  }) {
    this.#startTimeoutMs = options.startTimeoutMs
    this.#random = options.random
    this.#policy = options.policy ?? reconnectPolicy
    this.#refusedRetryMs = options.refusedRetryMs
  }

  get state(): State {
    return this.#state
  }

  /** The one connection that counts; 0 for none. */
  get connection(): number {
    const state = this.#state
    return state.kind === 'starting' || state.kind === 'running' ? state.connection : 0
  }

  get failures(): number {
    return this.#failures
  }

  /** When to give `tick` if nothing else happens. */
  get dueMs(): number {
    const state = this.#state
    return state.kind === 'starting' || state.kind === 'waiting'
      ? state.untilMs
      : Number.POSITIVE_INFINITY
  }

  input(input: Input, nowMs: number): readonly Effect[] {
    switch (input.kind) {
      case 'start':
        if (this.#state.kind !== 'stopped') return nothing
        this.#failures = 0
        if (input.afterMs === undefined || input.afterMs === 0) return this.#connect(nowMs)
        return [
          this.#enter({ kind: 'waiting', untilMs: nowMs + input.afterMs, why: 'moved to and fro' }),
        ]
      case 'restart':
        this.#failures = 0
        return [...this.#disconnect(true), ...this.#connect(nowMs)]
      case 'stop':
        if (this.#state.kind === 'stopped') return nothing
        return this.#stop({ kind: 'asked' }, true)
      case 'storage-failed':
        if (this.#state.kind === 'stopped') return nothing
        return this.#stop({ kind: 'storage', text: input.text }, false)
      case 'refused':
        if (this.#state.kind === 'stopped') return nothing
        return this.#stop(input.reason, true)
      case 'ready':
        return this.#ready(input.connection, input.policy, nowMs)
      case 'acknowledged':
        if (this.#state.kind === 'running' && input.connection === this.#state.connection)
          this.#acknowledged = true
        return nothing
      case 'lost':
        return input.connection === this.connection && input.connection !== 0
          ? this.#lost(input.cause, nowMs)
          : nothing
      case 'patrol':
        return this.#state.kind === 'running' && !input.usable
          ? this.#lost({ kind: 'local', text: 'patrol found the connection unusable' }, nowMs)
          : this.#tick(nowMs)
      case 'tick':
        return this.#tick(nowMs)
    }
  }

  #tick(nowMs: number): readonly Effect[] {
    const state = this.#state
    if (state.kind === 'waiting' && nowMs >= state.untilMs) return this.#connect(nowMs)
    if (state.kind === 'starting' && nowMs >= state.untilMs)
      return this.#lost({ kind: 'local', text: 'not ready in time' }, nowMs)
    return nothing
  }

  #connect(nowMs: number): Effect[] {
    const connection = ++this.#connections
    this.#acknowledged = false
    return [
      { kind: 'connect', connection },
      this.#enter({ kind: 'starting', connection, untilMs: nowMs + this.#startTimeoutMs }),
    ]
  }

  #ready(connection: number, policy: ReconnectPolicy, nowMs: number): readonly Effect[] {
    const state = this.#state
    if (state.kind !== 'starting' || state.connection !== connection) return nothing
    this.#policy = policy
    return [this.#enter({ kind: 'running', connection, sinceMs: nowMs })]
  }

  #lost(cause: Cause, nowMs: number): readonly Effect[] {
    const goodbye = this.#disconnect(cause.kind !== 'local')
    if (cause.kind === 'closed' && nextStep(cause.code) === 'never') {
      if (this.#refusedRetryMs !== undefined) {
        // Devices refused together do not come back together.
        const afterMs =
          Math.max(refusedRetryMinMs, this.#refusedRetryMs) * (1 + this.#random() / 10)
        const untilMs = nowMs + afterMs
        return [...goodbye, this.#enter({ kind: 'waiting', untilMs, why: cause.text })]
      }
      const reason = { kind: 'refused', code: cause.code, text: cause.text } as const
      return [...goodbye, this.#enter({ kind: 'stopped', reason })]
    }
    const state = this.#state
    // Only a connection that did its work makes us forget the failures: no connect-and-drop loops.
    const proved =
      state.kind === 'running' && (this.#acknowledged || nowMs - state.sinceMs >= provedMs)
    if (proved) this.#failures = 0
    const untilMs = nowMs + this.#delayMs(cause)
    const why = cause.kind === 'going-away' ? 'the server is going away' : cause.text
    return [...goodbye, this.#enter({ kind: 'waiting', untilMs, why })]
  }

  #delayMs(cause: Cause): number {
    if (this.#failures === 0) this.#row = { place: this.#random(), spreadMs: undefined }
    this.#failures++
    if (cause.kind === 'going-away') {
      const spreadMs = Math.min(cause.spreadMs, retryAfterMaxMs)
      this.#row = { ...this.#row, spreadMs }
      // Also where it is the second time: not before its place, and not in a loop.
      return Math.max(this.#row.place * spreadMs, this.#backoffMs)
    }
    if (cause.kind === 'closed') {
      const step = nextStep(cause.code)
      // It said so to who came too early, or has no words for a spread: it will soon be back.
      if (step === 'elsewhere') this.#row = { ...this.#row, spreadMs: firstWindowMs }
      if (cause.retryAfterMs > 0)
        return Math.min(cause.retryAfterMs, retryAfterMaxMs) + this.#random() * this.#policy.baseMs
      if (step === 'later' && this.#failures === 1) return this.#backoffMs + this.#policy.baseMs / 2
    }
    return this.#backoffMs
  }

  get #backoffMs(): number {
    return delayMs(this.#failures, this.#row, this.#policy)
  }

  #stop(reason: StopReason, politely: boolean): readonly Effect[] {
    return [...this.#disconnect(politely), this.#enter({ kind: 'stopped', reason })]
  }

  #disconnect(politely: boolean): Effect[] {
    const connection = this.connection
    return connection === 0 ? [] : [{ kind: 'disconnect', connection, politely }]
  }

  #enter(state: State): Effect {
    this.#state = state
    return { kind: 'state', state }
  }
}
