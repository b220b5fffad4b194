import type { Broadcasted, KeyRecord, Submitted } from '../contract/index.ts'
import { StoreUnavailable } from '../contract/index.ts'
import type { Callbacks } from './callbacks.ts'
import type { ApiContext } from './context.ts'
import { problemLine, type Slot } from './line-answers.ts'
import { type Ask, type Misread, readLine } from './line-request.ts'
import type { Refusal } from './problems.ts'
import { noteRefused } from './refused.ts'
import { refusalOf, refusalOfBroadcast, unavailable } from './submit-answers.ts'
import { statusOf } from './views.ts'

export interface AskSlot extends Slot {
  /** Until it is answered. */
  ask: Ask | undefined
}

export interface AskingOptions {
  readonly context: ApiContext
  readonly callbacks: Callbacks
  /** Of the call, for each of its lines. */
  readonly traceparent: string | undefined
  readonly key: KeyRecord
}

/** Who is told what became of a line. */
export interface Hearing {
  answer(slot: AskSlot, text: string): void
  /** It is over the quota. */
  wait(slot: AskSlot, retryAfterMs: number): void
}

/** One line: read, looked up, given to the gateway, and what that says put in words. */
export class LineAsking {
  readonly #options: AskingOptions
  readonly #hearing: Hearing

  constructor(options: AskingOptions, hearing: Hearing) {
    this.#options = options
    this.#hearing = hearing
  }

  /** @returns undefined for one that is refused, and has been answered. */
  read(slot: AskSlot, line: Buffer): Ask | undefined {
    const { context, key, traceparent } = this.#options
    const { limits, clock } = context
    const ask = readLine(line, key, limits, clock.nowMs(), traceparent)
    if (!('problem' in ask)) return ask
    this.#misread(slot, ask)
    return undefined
  }

  /**
   * What would have to be looked up for this line is looked up before it is given, and the lines
   * behind it wait: else they could overtake it on its way into the same mailbox.
   */
  prepare({ submit, broadcast }: Ask): Promise<Refusal | undefined> | undefined {
    const callback = submit === undefined ? broadcast.command.callback : submit.callback
    if (callback !== undefined) return this.#prepareAll(callback, submit?.to)
    if (submit === undefined) return undefined
    // The gateway takes a step more to an alias than to a device.
    if (submit.to.device === undefined) return this.#prepareAll(undefined, submit.to)
    const device = this.#options.context.names.device(submit.app, submit.to.device)
    return device instanceof Promise ? device.then(nothing, nothing) : undefined
  }

  give(slot: AskSlot): void {
    if (slot.ask === undefined) return
    const { submit, broadcast } = slot.ask
    const { gateway } = this.#options.context
    const failed = (error: unknown) => this.failed(slot, error)
    if (submit !== undefined)
      gateway.submit(submit).then((said) => this.#submitted(slot, said), failed)
    else gateway.broadcast(broadcast).then((said) => this.#broadcasted(slot, said), failed)
  }

  failed(slot: AskSlot, error: unknown): void {
    if (error instanceof StoreUnavailable) {
      this.refuse(slot, unavailable(error.full))
      return
    }
    this.#options.context.log?.error({ err: error, line: slot.line }, 'line failed')
    this.refuse(slot, { problem: 'internal' })
  }

  refuse(slot: AskSlot, refusal: Refusal): void {
    const submit = slot.ask?.submit
    if (submit !== undefined) {
      const { context, key } = this.#options
      noteRefused(context, key, submit.to, refusal.problem, submit.name)
    }
    this.#hearing.answer(slot, problemLine(slot.line, refusal))
  }

  #misread(slot: AskSlot, { device, ...refusal }: Misread): void {
    const { context, key } = this.#options
    if (device !== undefined) noteRefused(context, key, { device }, refusal.problem, undefined)
    this.refuse(slot, refusal)
  }

  async #prepareAll(
    callback: string | undefined,
    to: NonNullable<Ask['submit']>['to'] | undefined,
  ): Promise<Refusal | undefined> {
    const { context, callbacks, key } = this.#options
    if (callback !== undefined) {
      const refusal = await callbacks.refuses(key.app, callback)
      if (refusal !== undefined) return refusal
    }
    if (to === undefined) return undefined
    try {
      const device = to.device ?? (await context.names.alias(key.app, to.alias))?.device
      if (device !== undefined) await context.names.device(key.app, device)
    } catch {
      // The gateway will say so.
    }
    return undefined
  }

  #submitted(slot: AskSlot, said: Submitted): void {
    if (said.kind === 'accepted') {
      const { status } = said
      const code = status.kind === 'ended' ? 200 : 202
      const { id } = status.command
      this.#hearing.answer(
        slot,
        `{"line":${slot.line},"status":${code},"id":"${id}","commandStatus":"${statusOf(status)}"}\n`,
      )
    } else if (said.kind === 'limited') this.#hearing.wait(slot, said.retryAfterMs)
    else this.refuse(slot, refusalOf(said))
  }

  #broadcasted(slot: AskSlot, said: Broadcasted): void {
    if (said.kind === 'accepted') {
      const { id, devices } = said.broadcast
      this.#hearing.answer(
        slot,
        `{"line":${slot.line},"status":202,"broadcast":"${id}","devices":${devices}}\n`,
      )
    } else if (said.kind === 'limited') this.#hearing.wait(slot, said.retryAfterMs)
    else this.refuse(slot, refusalOfBroadcast(said))
  }
}

const nothing = () => undefined
