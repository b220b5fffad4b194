import type { ChannelId, Clock, Mailbox, ScheduledCommand, Timer } from '../contract/index.ts'
import { channelParts, StoreUnavailable } from '../contract/index.ts'
import { asAccepted, type Placement } from './placement.ts'

/** Commands looked at in one go, so that a great many do not hold up the rest. */
const sweepMax = 1_000
/** When nothing can be placed: asking again at once does not make the store quicker. */
const restMs = 100

/**
 * Gives scheduled commands their place when their time has come (rule 6): one timer, set to the
 * earliest the mailboxes know.
 *
 *     due     a 10:00   b 10:00   a 10:01   a 10:02
 *     a       ├─ place ─▶├─ place ─▶├─ place ─▶        one after the other, as their times are
 *     b       ├─ place ─▶                              beside it
 */
export class Schedules {
  readonly #mailbox: Mailbox
  readonly #placement: Placement
  readonly #clock: Clock
  readonly #log: (event: string, fields: Record<string, unknown>) => void
  #timer: Timer | undefined
  #timerAtMs = Number.POSITIVE_INFINITY
  #placing = false
  #notBeforeMs = 0
  #stopped = false
  placed = 0

  constructor(
    mailbox: Mailbox,
    placement: Placement,
    clock: Clock,
    log: (event: string, fields: Record<string, unknown>) => void,
  ) {
    this.#log = log
    this.#mailbox = mailbox
    this.#placement = placement
    this.#clock = clock
  }

  /** Nothing is placed before: if the clock jumped, next week's door must not open now (rule 34). */
  holdUntil(atMs: number): void {
    this.#notBeforeMs = atMs
  }

  /** Call whenever the earliest time may have moved; cheap when it has not. */
  arm(): void {
    if (this.#placing || this.#stopped) return
    const atMs = Math.max(this.#mailbox.nextRipeMs(), this.#notBeforeMs)
    if (atMs >= this.#timerAtMs || atMs === Number.POSITIVE_INFINITY) return
    this.#timer?.cancel()
    this.#timerAtMs = atMs
    this.#timer = this.#clock.at(atMs, 'schedules', () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY
      void this.#sweep()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  async #sweep(): Promise<void> {
    this.#placing = true
    try {
      while (!this.#stopped) {
        const ripe = await this.#mailbox.ripe(this.#clock.nowMs(), sweepMax)
        if (!(await this.#placeAll(ripe))) {
          if (this.#mailbox.nextRipeMs() <= this.#clock.nowMs()) this.#rest()
          return
        }
      }
    } catch (error) {
      this.#rest()
      if (!(error instanceof StoreUnavailable))
        this.#log('schedules.failed', { error: String(error) })
    } finally {
      this.#placing = false
      this.arm()
    }
  }

  #rest(): void {
    this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#clock.nowMs() + restMs)
  }

  /** @returns false when none of them could be placed. */
  async #placeAll(ripe: readonly ScheduledCommand[]): Promise<boolean> {
    const byChannel = new Map<ChannelId, ScheduledCommand[]>()
    for (const command of ripe) {
      const commands = byChannel.get(command.channel)
      if (commands === undefined) byChannel.set(command.channel, [command])
      else commands.push(command)
    }
    const moved = await Promise.all(
      [...byChannel].map(([channel, commands]) => this.#placeInOrder(channel, commands)),
    )
    return moved.includes(true)
  }

  async #placeInOrder(channel: ChannelId, commands: readonly ScheduledCommand[]): Promise<boolean> {
    const { app, device, channel: name } = channelParts(channel)
    let moved = false
    for (const command of commands) {
      if (this.#stopped) return moved
      const placed = await this.#placement.place(app, device, name, asAccepted(command))
      // Those after it wait too: what could not be placed now must not come behind them.
      if (placed === 'unavailable') return moved
      if (placed === 'gone') continue // canceled meanwhile, or its device was removed
      moved = true
      this.placed++
    }
    return moved
  }
}
