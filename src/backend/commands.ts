import { randomUUID } from 'node:crypto'
import { backendBounds } from './bounds.ts'
import { PikeProblem, PikeUnreachable } from './errors.ts'
import { Listing } from './listing.ts'
import { sleep } from './retry.ts'
import { type CallOptions, passes, type Transport } from './transport.ts'
import type {
  Accepted,
  BroadcastAccepted,
  BroadcastPost,
  Command,
  CommandPost,
  Explanation,
  To,
} from './types.ts'

export interface SendOptions extends CallOptions {
  /** Stay until the command has ended, or this long, s. */
  readonly waitSeconds?: number
  /** What this command is for you, e.g. an order number: within 24 h it is one command, however often you send it. Without: a random one. */
  readonly idempotencyKey?: string
  /** W3C Trace Context: kept with the command, shown with its outcome. */
  readonly traceparent?: string
}

/**
 * What became of a command by the time of the answer. `ended` true: `status` is the outcome and
 * never changes. Else it goes on: `wait`, or read the events.
 */
export type Sent = (Accepted & { readonly ended: false }) | EndedCommand
export type EndedCommand = Command & { readonly ended: true }

export type Canceled =
  | { readonly canceled: true; readonly command: Command }
  /** It may have been sent, or has ended: `status` says where it stands. */
  | { readonly canceled: false; readonly status: string }

const commandPath = (id: string): string => `/v1/commands/${encodeURIComponent(id)}`
export const devicePath = (device: string): string => `/v1/devices/${encodeURIComponent(device)}`

/** Commands, one at a time. */
export class Commands {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async send(to: To, post: CommandPost, options: SendOptions = {}): Promise<Sent> {
    const { waitSeconds = 0, idempotencyKey = randomUUID(), traceparent, ...call } = options
    const untilMs = performance.now() + waitSeconds * 1000
    const place =
      typeof to === 'object' && 'alias' in to
        ? `/v1/aliases/${encodeURIComponent(to.alias)}`
        : devicePath(typeof to === 'string' ? to : to.device)
    const waitMs = waitPart(untilMs)
    try {
      const { status, body } = await this.#transport.call<Accepted | Command>(
        'POST',
        `${place}/commands`,
        {
          ...call,
          body: post,
          headers: {
            'idempotency-key': idempotencyKey,
            ...(traceparent !== undefined && { traceparent }),
            ...prefer(waitMs),
          },
          waitMs,
        },
      )
      if (status === 200) return body as EndedCommand
      if (waitSeconds > 0 && performance.now() < untilMs)
        return (await this.#waitUntil(body.id, untilMs, call)) as Sent
      return { ...(body as Accepted), ended: false }
    } catch (error) {
      if (error instanceof PikeProblem || error instanceof PikeUnreachable)
        error.idempotencyKey = idempotencyKey
      throw error
    }
  }

  async broadcast(
    tag: string,
    post: BroadcastPost,
    {
      idempotencyKey = randomUUID(),
      ...call
    }: Omit<SendOptions, 'waitSeconds' | 'traceparent'> = {},
  ): Promise<BroadcastAccepted> {
    try {
      const { body } = await this.#transport.call<BroadcastAccepted>(
        'POST',
        `/v1/tags/${encodeURIComponent(tag)}/commands`,
        { ...call, body: post, headers: { 'idempotency-key': idempotencyKey } },
      )
      return body
    } catch (error) {
      if (error instanceof PikeProblem || error instanceof PikeUnreachable)
        error.idempotencyKey = idempotencyKey
      throw error
    }
  }

  async get(id: string, options: CallOptions = {}): Promise<Command> {
    return (await this.#transport.call<Command>('GET', commandPath(id), options)).body
  }

  /** Until it has ended or the time is over; `ended` says which. Goes on over restarts of the gateway. */
  wait(id: string, seconds: number, options: CallOptions = {}): Promise<Command> {
    return this.#waitUntil(id, performance.now() + seconds * 1000, options)
  }

  async #waitUntil(id: string, untilMs: number, options: CallOptions): Promise<Command> {
    let last: Command | undefined
    for (let idle = 0; ; ) {
      const waitMs = waitPart(untilMs)
      const askedMs = performance.now()
      try {
        const { body, headers } = await this.#transport.call<Command>('GET', commandPath(id), {
          ...options,
          headers: prefer(waitMs),
          waitMs,
        })
        last = body
        if (body.ended || performance.now() >= untilMs) return body
        // A gateway that has no room to hold the call answers at once: ask less and less often.
        idle = headers.has('preference-applied') && performance.now() - askedMs > 100 ? 0 : idle + 1
      } catch (error) {
        if (!isPassing(error)) throw error
        if (performance.now() >= untilMs) {
          if (last !== undefined) return last
          throw error
        }
        idle++
      }
      const leftMs = Math.max(0, untilMs - performance.now())
      if (idle > 0) await sleep(Math.min(leftMs, idle * 250, 2_000), options.signal)
    }
  }

  async cancel(id: string, options: CallOptions = {}): Promise<Canceled> {
    const { status, body, repeated } = await this.#transport.call<
      Command & { commandStatus: string }
    >('DELETE', commandPath(id), { ...options, expected: [409] })
    if (status !== 409) return { canceled: true, command: body }
    // The first try did it, and its answer was lost.
    if (repeated && body.commandStatus === 'canceled')
      return { canceled: true, command: await this.get(id, options) }
    return { canceled: false, status: body.commandStatus }
  }

  async explain(id: string, options: CallOptions = {}): Promise<Explanation> {
    return (await this.#transport.call<Explanation>('GET', `${commandPath(id)}/explain`, options))
      .body
  }

  history(device: string, status: string | undefined, options: CallOptions): Listing<Command> {
    return new Listing(this.#transport, `${devicePath(device)}/commands`, { status }, options)
  }
}

/** What is left, ms, as far as one call may ask for it. */
const waitPart = (untilMs: number): number =>
  Math.max(0, Math.min(backendBounds.waitCallMaxMs, untilMs - performance.now()))

/** Source: RFC 7240 §4.3; whole seconds. */
const prefer = (waitMs: number): Record<string, string> =>
  waitMs > 0 ? { prefer: `wait=${Math.ceil(waitMs / 1000)}` } : {}

const isPassing = (error: unknown): boolean =>
  error instanceof PikeUnreachable || (error instanceof PikeProblem && passes(error.status))
