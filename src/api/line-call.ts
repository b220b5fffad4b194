import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Timer } from '../contract/index.ts'
import { isBlank, LineCutter, linesMediaType, tooLong } from '../listen/lines.ts'
import { apiBounds } from './bounds.ts'
import { LineAnswers, problemLine } from './line-answers.ts'
import { type AskingOptions, type AskSlot, type Hearing, LineAsking } from './line-asking.ts'
import type { ProblemName, Refusal } from './problems.ts'

export interface LineCallOptions extends AskingOptions {
  /** The app has a quota: lines are given one by one, so that none overtakes one that must wait. */
  readonly paced: boolean
  readonly ended: () => void
}

/**
 * One POST /v1/commands: lines in, answers out, in the same order (rule 29).
 *
 *     request ─▶ cutter ─▶ line ─▶ looked up ─▶ gateway … kept ─▶ answers ─▶ response
 *        ▲                                          │ over the quota: this line waits,
 *        └─ read only while answers have room ◀─────┘ and those behind it are not taken
 *
 * A line is answered when what its answer promises has happened, never before. Whatever is wrong
 * with one line is that line's answer.
 */
export class LineCall implements Hearing {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #options: LineCallOptions
  readonly #cutter: LineCutter
  readonly #answers: LineAnswers<AskSlot>
  readonly #asking: LineAsking
  #lines = 0
  /** Over the quota, in order; they are given again before anything new. */
  #limited: AskSlot[] = []
  /** Until it is time for that. */
  #quotaTimer: Timer | undefined
  #paced: boolean
  /** Something is looked up for the last line. */
  #preparing = false
  #turns = false
  #inputEnded = false
  #allTaken = false
  /** Why nothing more is read though more may come. */
  #stopped: ProblemName | undefined
  #ended = false
  #keyTimer: Timer
  readonly #forget: () => void

  constructor(request: IncomingMessage, response: ServerResponse, options: LineCallOptions) {
    this.#request = request
    this.#response = response
    this.#options = options
    this.#paced = options.paced
    const { limits, holds, arrivals } = options.context
    this.#cutter = new LineCutter(limits.bodyMaxBytes)
    this.#asking = new LineAsking(options, this)
    this.#answers = new LineAnswers(response, limits.linesMaxPending, () => this.#flushed())
    response.writeHead(200, {
      'content-type': linesMediaType,
      'cache-control': 'no-store',
      // A proxy that collects an answer before it passes it on would never pass on this one.
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
    response.on('close', () => this.#end())
    // What fails is the caller's connection; 'close' follows.
    response.on('error', () => {})
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => {
      if (this.#stopped !== undefined || this.#ended) return
      request.pause()
      this.#cutter.feed(chunk)
      this.#turn()
    })
    request.on('end', () => {
      this.#inputEnded = true
      this.#turn()
    })
    arrivals.lasts(request, {
      // Is it the caller who could go on and does not?
      waits: () => !this.#answers.moved() && (this.#answers.isFull || this.#answers.isEmpty),
      cut: () => {
        if (this.#answers.isFull) response.destroy()
        else this.#stop('request-timeout')
      },
    })
    this.#keyTimer = this.#keyLater()
    this.#forget = holds.add(() => this.#stop('stopping'))
  }

  /** Take lines as long as there is room, and let others have their turn. */
  #turn(): void {
    let taken = 0
    if (this.#stopped === undefined && !this.#ended) this.#checkKey()
    while (!this.#turns && this.#mayTake()) {
      if (taken === (this.#paced ? 1 : apiBounds.linesPerTurn)) {
        this.#turnLater()
        return
      }
      taken++
      const again = this.#limited.shift()
      if (again !== undefined) {
        this.#asking.give(again)
        continue
      }
      const line = this.#cutter.next() ?? (this.#inputEnded ? this.#cutter.last() : undefined)
      if (line === undefined) {
        this.#allTaken = this.#inputEnded
        if (this.#allTaken) this.#answers.flushLater()
        else this.#request.resume()
        return
      }
      this.#take(line)
    }
  }

  #mayTake(): boolean {
    if (this.#preparing || this.#quotaTimer !== undefined) return false
    if (this.#stopped !== undefined || this.#allTaken || this.#ended) return false
    // What waited for the quota has its room.
    return this.#limited.length > 0 || this.#answers.hasRoom
  }

  #turnLater(): void {
    if (this.#turns) return
    this.#turns = true
    setImmediate(() => {
      this.#turns = false
      this.#turn()
    })
  }

  #take(line: Buffer | typeof tooLong): void {
    this.#lines++
    if (line !== tooLong && isBlank(line)) return
    const bytes = line === tooLong ? 0 : line.length
    const slot = this.#answers.add({ line: this.#lines, bytes, ask: undefined, answer: undefined })
    if (line === tooLong) {
      this.#asking.refuse(slot, { problem: 'body-too-large' })
      return
    }
    const ask = this.#asking.read(slot, line)
    if (ask === undefined) return
    slot.ask = ask
    const prepared = this.#asking.prepare(ask)
    if (prepared === undefined) this.#asking.give(slot)
    else this.#giveAfter(slot, prepared)
  }

  #giveAfter(slot: AskSlot, prepared: Promise<Refusal | undefined>): void {
    this.#preparing = true
    const go = (refusal: Refusal | undefined) => {
      this.#preparing = false
      this.#checkKey()
      if (this.#stopped !== undefined || this.#ended) this.#asking.refuse(slot, this.#unread())
      else if (refusal === undefined) this.#asking.give(slot)
      else this.#asking.refuse(slot, refusal)
      // Those behind it not before it is on its way.
      this.#turnLater()
    }
    prepared.then(go, (error: unknown) => {
      this.#asking.failed(slot, error)
      go(undefined)
    })
  }

  /** Over the quota: this line, and all that are told so meanwhile, go again when it is time. */
  wait(slot: AskSlot, retryAfterMs: number): void {
    if (this.#stopped !== undefined || this.#ended) {
      this.#asking.refuse(slot, this.#unread())
      return
    }
    this.#paced = true
    const at = this.#limited.findIndex(({ line }) => line > slot.line)
    if (at === -1) this.#limited.push(slot)
    else this.#limited.splice(at, 0, slot)
    const { clock } = this.#options.context
    this.#quotaTimer ??= clock.at(clock.nowMs() + retryAfterMs, 'lines over quota', () => {
      this.#quotaTimer = undefined
      this.#turn()
    })
  }

  answer(slot: AskSlot, text: string): void {
    slot.ask = undefined
    this.#answers.answer(slot, text)
  }

  #flushed(): void {
    if (this.#ended) return
    const over = this.#stopped !== undefined || this.#allTaken
    if (over && this.#answers.isEmpty) this.#finish()
    else this.#turn()
  }

  #finish(): void {
    const { clock } = this.#options.context
    if (this.#stopped === undefined || this.#allTaken) this.#response.end()
    else {
      // The last line says from where on nothing was read.
      this.#response.end(problemLine(this.#lines + 1, this.#unread()))
      // What still comes is thrown away for a moment: a reset would take the answers with it.
      this.#request.resume()
      clock.at(clock.nowMs() + lingerMs, 'ended lines', () => this.#request.destroy())
    }
    this.#end()
  }

  /** Read no more. What the gateway has is answered, what waits for the quota is not kept. */
  #stop(problem: ProblemName): void {
    if (this.#stopped !== undefined || this.#ended) return
    this.#stopped = problem
    this.#quotaTimer?.cancel()
    this.#quotaTimer = undefined
    for (const slot of this.#limited.splice(0)) this.#asking.refuse(slot, this.#unread())
    this.#answers.flushLater()
  }

  #unread(): Refusal {
    return { problem: this.#stopped ?? 'stopping', retryAfterMs: retryMs }
  }

  /** A key that was revoked sends no more: asked before any line is given. */
  #checkKey(): void {
    const { context, key } = this.#options
    if (!context.auth.stillValid(key, 'commands')) this.#stop('unauthorized')
  }

  /** Nor does its call stay open though no line comes. */
  #keyLater(): Timer {
    const { clock } = this.#options.context
    return clock.at(clock.nowMs() + apiBounds.streamHeartbeatMs, 'lines of a key', () => {
      this.#checkKey()
      if (!this.#ended) this.#keyTimer = this.#keyLater()
    })
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#keyTimer.cancel()
    this.#quotaTimer?.cancel()
    this.#options.context.arrivals.arrived(this.#request)
    this.#forget()
    this.#options.ended()
  }
}

/** How long what still comes is thrown away after the last answer. */
const lingerMs = 1_000
const retryMs = apiBounds.retryAfterSeconds * 1000
