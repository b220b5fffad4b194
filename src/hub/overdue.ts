import { overdue } from '../channel/index.ts'
import type { Change, ChannelId, Clock, Limits, Mailbox, Timer } from '../contract/index.ts'

/** Due commands looked at in one go, so that a great many do not hold up the rest. */
const sweepMax = 1_000
/** When what is due waits for the store: asking again at once does not make it quicker. */
const restMs = 20

/**
 * Ends what time ends: `expired`, `in-doubt`, `unanswered`. One timer, set to the earliest deadline
 * the mailboxes know.
 */
export class Overdue {
  readonly #mailbox: Mailbox
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #withdraw: (channel: ChannelId, offset: number) => void
  #timer: Timer | undefined
  #timerAtMs = Number.POSITIVE_INFINITY
  #sweeping = false
  #holdUntilMs = 0
  #restUntilMs = 0
  #stopped = false

  constructor(
    mailbox: Mailbox,
    clock: Clock,
    limits: Limits,
    withdraw: (channel: ChannelId, offset: number) => void,
  ) {
    this.#mailbox = mailbox
    this.#clock = clock
    this.#limits = limits
    this.#withdraw = withdraw
  }

  /** Nothing is ended by time before this moment (rule 34: after a doubtful jump of the clock). */
  holdUntil(atMs: number): void {
    this.#holdUntilMs = atMs
  }

  /** Call whenever the earliest deadline may have moved; cheap when it has not. */
  arm(): void {
    if (this.#sweeping || this.#stopped) return
    const atMs = Math.max(this.#mailbox.nextDueMs(), this.#holdUntilMs, this.#restUntilMs)
    if (atMs >= this.#timerAtMs || atMs === Number.POSITIVE_INFINITY) return
    this.#timer?.cancel()
    this.#timerAtMs = atMs
    this.#timer = this.#clock.at(atMs, 'overdue', () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY
      void this.#sweep()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  async #sweep(): Promise<void> {
    this.#sweeping = true
    try {
      for (;;) {
        const askedAtMs = this.#clock.nowMs()
        const due = await this.#mailbox.due(askedAtMs, sweepMax)
        if (due.length === 0 && this.#mailbox.nextDueMs() <= askedAtMs) {
          this.#restUntilMs = this.#clock.nowMs() + restMs
        }
        if (due.length === 0 || this.#stopped) break
        const nowMs = this.#clock.nowMs()
        const byChannel = new Map<ChannelId, Change[]>()
        for (const command of due) {
          const change = overdue(command, nowMs, this.#limits.inDoubtGraceMs)
          if (change?.kind !== 'ended') continue
          const changes = byChannel.get(command.channel)
          if (changes === undefined) byChannel.set(command.channel, [change])
          else changes.push(change)
          if (change.status === 'in-doubt') this.#withdraw(command.channel, command.offset)
        }
        if (byChannel.size === 0) break
        await Promise.all(
          [...byChannel].map(
            ([channel, changes]) =>
              new Promise((done) => this.#mailbox.settle(channel, { changes }, done)),
          ),
        )
      }
    } catch {
      // The engine is down; it says so itself, and `arm` is called when it is back.
    } finally {
      this.#sweeping = false
      this.arm()
    }
  }
}
