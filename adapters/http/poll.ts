import type { ServerResponse } from 'node:http'
import type { ChannelName, Clock, Timer } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import { hangUpOn } from '../../src/listen/sockets.ts'
import { itemJson } from './item.ts'
import { type Closed, receiverOf } from './link.ts'
import { refusalOf, refuse } from './problems.ts'
import type { Seat, Waiting } from './seat.ts'
import type { Visitor } from './visitors.ts'

export interface PollOptions {
  readonly response: ServerResponse
  readonly visitor: Visitor
  /** At least one, in the order in which they are answered from. */
  readonly seats: readonly Seat[]
  /** Of which channel an empty answer speaks. */
  readonly about: ChannelName
  readonly waitMs: number
  /** From its answer on the device sleeps for so long. */
  readonly sleepMs: number | undefined
  readonly clock: Clock
  readonly ended: (poll: Poll) => void
}

/**
 * One poll: held until one of its channels has commands, or its time is over. An answer is of one
 * channel, so that one position says that all of it arrived; what another channel has meanwhile is
 * the next answer.
 */
export class Poll implements Waiting {
  readonly #options: PollOptions
  #timer: Timer | undefined
  #flushing: NodeJS.Immediate | undefined
  #over = false

  constructor(options: PollOptions) {
    this.#options = options
    const { response, seats, clock, waitMs } = options
    response.on('close', () => this.#gone())
    // What fails is the device's connection; 'close' follows.
    response.on('error', () => {})
    if (response.destroyed) {
      this.#gone()
      return
    }
    this.#timer = clock.at(clock.nowMs() + waitMs, 'http poll', () => this.#answer())
    for (const seat of seats) {
      if (this.#over) seat.abandoned()
      else seat.wait(this)
    }
  }

  get isOver(): boolean {
    return this.#over
  }

  /** What comes in the same turn goes into the same answer. */
  ready(): void {
    if (this.#over) return
    this.#flushing ??= setImmediate(() => this.#answer())
  }

  closed({ reason, retryAfterMs }: Closed): void {
    if (!this.#end()) return
    const { response, seats } = this.#options
    for (const seat of seats) seat.abandoned()
    if (reasons[reason].reset) hangUpOn(response)
    else refuse(response, refusalOf(reason, retryAfterMs))
  }

  #answer(): void {
    if (!this.#end()) return
    const { response, visitor, seats, about, sleepMs, clock } = this.#options
    const some = seats.filter(({ hasSome }) => hasSome)
    // One whose answers get lost must not keep the other from its turn.
    const seat = some.find(({ channel }) => channel !== visitor.lastAnswered) ?? some[0]
    visitor.lastAnswered = seat?.channel
    const items = seat?.handOver() ?? []
    const of = seat ?? seats.find(({ channel }) => channel === about) ?? seats[0]!
    const { epoch, after } = of.standing
    const last = items.at(-1)?.command.offset ?? after
    const head = `"epoch":"${epoch}","after":"${last}","receiver":"${receiverOf(seats)}"`
    const text = `{${head},"items":[${items.map(itemJson).join(',')}]}`
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
    })
    response.end(text)
    const backAtMs = sleepMs === undefined ? undefined : clock.nowMs() + sleepMs
    for (const one of seats) one.answered(response, backAtMs)
  }

  #gone(): void {
    if (!this.#end()) return
    for (const seat of this.#options.seats) seat.abandoned()
  }

  #end(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#timer?.cancel()
    clearImmediate(this.#flushing)
    this.#options.ended(this)
    return true
  }
}
