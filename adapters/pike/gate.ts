import { randomBytes } from 'node:crypto'
import type { Core, LinkId, Reason } from '../../src/contract/index.ts'
import { Door } from '../../src/listen/door.ts'
import { Sweep } from '../../src/listen/sweep.ts'

/** What runs against the handshake's time. */
export interface Overdue {
  overdue(): void
}

/** Counted for /metrics. */
export interface PikeCounts {
  connectionsTotal: number
  handshakesTotal: number
  handshakesFailedTotal: number
  framesInTotal: number
  framesOutTotal: number
  bytesInTotal: number
  bytesOutTotal: number
  malformedTotal: number
  resetsTotal: number
  channels: number
}

/** What all connections of one adapter share. */
export class Gate {
  readonly core: Core
  readonly handshakes: Sweep<Overdue>
  /** Where more come than can be let in. */
  readonly door: Door
  readonly #refusals: Sweep<() => void>
  readonly counts: PikeCounts = {
    connectionsTotal: 0,
    handshakesTotal: 0,
    handshakesFailedTotal: 0,
    framesInTotal: 0,
    framesOutTotal: 0,
    bytesInTotal: 0,
    bytesOutTotal: 0,
    malformedTotal: 0,
    resetsTotal: 0,
    channels: 0,
  }
  /** New for every start, so that a token is never used twice. */
  readonly #prefix = randomBytes(5).toString('hex')
  #made = 0

  constructor(core: Core) {
    this.core = core
    this.handshakes = new Sweep(
      core.clock,
      core.limits.handshakeTimeoutMs,
      'pike-handshakes',
      (item) => item.overdue(),
      'fair',
    )
    // A client waits for its WELCOME as long as we wait for its proof.
    this.door = new Door({
      clock: core.clock,
      waitMaxMs: core.limits.handshakeTimeoutMs,
      lateMs: () => this.handshakes.lateMs,
    })
    const { refusalDelayMs } = core.limits
    this.#refusals = new Sweep(core.clock, refusalDelayMs, 'pike-refusals', (tell) => tell())
  }

  /** Before whoever comes too often is told so: a loop without a pause gets ours. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.#refusals.add(resolve))
  }

  stop(): void {
    this.handshakes.stop()
    this.#refusals.stop()
  }

  /** A name for one connection, by which it can be traced. */
  makeToken(): LinkId {
    this.#made++
    return `${this.#prefix}-${this.#made.toString(36)}`
  }
}

/** How a link is refused or ended. */
export interface Refused {
  readonly kind: 'refused'
  readonly reason: Reason
  readonly retryAfterMs?: number | undefined
  /** Said to the peer; else the catalogue's words. */
  readonly text?: string
}
