import { Apps, Keys } from './admin.ts'
import { Broadcasts } from './broadcasts.ts'
import { type Canceled, Commands, type SendOptions, type Sent } from './commands.ts'
import { Devices } from './devices.ts'
import { type EventFilter, EventFollower, type FollowOptions } from './events.ts'
import type { Listing, PageQuery } from './listing.ts'
import { Aliases, Tags } from './names.ts'
import { type RetryOptions, retryPolicy } from './retry.ts'
import { type ManyAnswer, type ManyLine, type ManyOptions, sendMany } from './send-many.ts'
import { connectionOf, followTrace, type TraceOptions, traceOf } from './traces.ts'
import { type CallOptions, Transport, timeoutDefaultMs } from './transport.ts'
import type {
  BroadcastAccepted,
  BroadcastPost,
  Command,
  CommandPost,
  Connection,
  Drain,
  EventPage,
  Explanation,
  Key,
  To,
  Trace,
  TraceEntry,
} from './types.ts'
import { Webhooks } from './webhooks.ts'

export interface PikeBackendOptions {
  /** Where the gateway is, e.g. `http://127.0.0.1:8080`. */
  readonly url: string
  /** API key. Keep it out of the source. */
  readonly key: string
  /** For one try of a call, beyond what it asks to wait, ms. Default 30 s. */
  readonly timeoutMs?: number
  /** When to try again: after lost answers, `429`, `503` and the like. */
  readonly retry?: RetryOptions
}

export interface EventPageQuery extends EventFilter, PageQuery {
  /** Hold a page that would be empty until something comes, s; at most 60. */
  readonly waitSeconds?: number
}

/**
 * A gateway as a back end sees it. Holds no connection and nothing to close; make one and keep it.
 *
 * What is refused comes as {@link PikeProblem}, no answer as {@link PikeUnreachable}; both say what
 * to do. How a command ended is never an error, it is a value.
 */
export class PikeBackend {
  readonly url: string
  readonly devices: Devices
  readonly aliases: Aliases
  readonly tags: Tags
  readonly broadcasts: Broadcasts
  readonly apps: Apps
  readonly keys: Keys
  readonly webhooks: Webhooks
  readonly #transport: Transport
  readonly #commands: Commands

  constructor({ url, key, timeoutMs = timeoutDefaultMs, retry }: PikeBackendOptions) {
    if (!URL.canParse(url) || !/^https?:/.test(url))
      throw new TypeError(
        `"${url}" is no address of a gateway; write it like http://127.0.0.1:8080`,
      )
    if (/\/v1\/*$/.test(new URL(url).pathname))
      throw new TypeError(
        `"${url}" ends in /v1, which the client adds itself; write it like http://127.0.0.1:8080`,
      )
    if (key.trim() === '') throw new TypeError('no key was given: PIKE_API_KEY?')
    this.#transport = new Transport({ url, key, timeoutMs, retry: retryPolicy(retry) })
    this.url = this.#transport.url
    this.#commands = new Commands(this.#transport)
    this.devices = new Devices(this.#transport)
    this.aliases = new Aliases(this.#transport)
    this.tags = new Tags(this.#transport)
    this.broadcasts = new Broadcasts(this.#transport)
    this.apps = new Apps(this.#transport)
    this.keys = new Keys(this.#transport)
    this.webhooks = new Webhooks(this.#transport)
  }

  /**
   * Sends one command, exactly one: it makes an idempotency key itself and repeats with it when the
   * answer is lost or the gateway cannot at the moment. Resolves once it is kept; with
   * `waitSeconds` once it has ended.
   */
  send(to: To, command: CommandPost, options?: SendOptions): Promise<Sent> {
    return this.#commands.send(to, command, options)
  }

  /**
   * Sends as many as there are, both ways at once: read the answers while lines are still being
   * made. Each line has a key, so that after a broken connection those unanswered are sent again
   * and are the same commands. A line that is refused fails alone, as an answer with a `problem`.
   */
  sendMany(
    lines: Iterable<ManyLine | string> | AsyncIterable<ManyLine | string>,
    options: ManyOptions = {},
  ): AsyncGenerator<ManyAnswer> {
    return sendMany(this.#transport, lines, options)
  }

  /** One command for every device that has the tag at this moment; `pike.broadcasts` tells how it goes. */
  broadcast(
    tag: string,
    command: BroadcastPost,
    options?: Omit<SendOptions, 'waitSeconds' | 'traceparent'>,
  ): Promise<BroadcastAccepted> {
    return this.#commands.broadcast(tag, command, options)
  }

  command(id: string, options?: CallOptions): Promise<Command> {
    return this.#commands.get(id, options)
  }

  /** Until it has ended, or the time is over: `ended` says which. */
  wait(id: string, seconds: number, options?: CallOptions): Promise<Command> {
    return this.#commands.wait(id, seconds, options)
  }

  /** Takes back what was never sent. Too late is a value, not an error. */
  cancel(id: string, options?: CallOptions): Promise<Canceled> {
    return this.#commands.cancel(id, options)
  }

  /** Why it is where it is: a code, a sentence, what happens next. */
  explain(id: string, options?: CallOptions): Promise<Explanation> {
    return this.#commands.explain(id, options)
  }

  /** What happened last, of one device, newest last: frames and changes of state, over all its protocols. */
  trace(device: string, options: TraceOptions = {}): Promise<Trace> {
    return traceOf(this.#transport, device, options)
  }

  /** The same and then what comes, for as long as one likes. */
  followTrace(device: string, options: TraceOptions = {}): AsyncGenerator<TraceEntry> {
    return followTrace(this.#transport, device, options)
  }

  /** One connection by its token, as traces and logs name it; undefined: none that is remembered. */
  connection(
    token: string,
    options: Omit<TraceOptions, 'since' | 'connection'> = {},
  ): Promise<Connection | undefined> {
    return connectionOf(this.#transport, token, options)
  }

  /** A device's commands, newest first; `status`: `open`, or an outcome. */
  history(
    device: string,
    { status, ...options }: CallOptions & { readonly status?: Command['status'] | 'open' } = {},
  ): Listing<Command> {
    return this.#commands.history(device, status, options)
  }

  /** Events as they come, for as long as one likes: see {@link EventFollower}. */
  events(options: FollowOptions = {}): EventFollower {
    return new EventFollower(this.#transport, options)
  }

  /** One page of events. Without `after` from the oldest kept. Keep `next` once you have dealt with the items. */
  async eventPage(query: EventPageQuery = {}): Promise<EventPage> {
    const { type, device, tag, after, limit, waitSeconds, ...options } = query
    const { body } = await this.#transport.call<EventPage>('GET', '/v1/events', {
      ...options,
      headers: { accept: 'application/json' },
      query: { type, device, tag, after, limit, wait: waitSeconds },
      waitMs: (waitSeconds ?? 0) * 1000,
    })
    return body
  }

  /** The key this client calls with: of which app it is, its name, what it may do. Any scope. */
  async key(options: CallOptions = {}): Promise<Key> {
    return (await this.#transport.call<Key>('GET', '/v1/key', options)).body
  }

  /** Send every device away politely, and let none in; with the scope `admin`. Repeating it does nothing. */
  async drain(options: CallOptions = {}): Promise<Drain> {
    return (await this.#transport.call<Drain>('POST', '/v1/drain', options)).body
  }

  /** How far that is; `open`: there is none. */
  async draining(options: CallOptions = {}): Promise<Drain> {
    return (await this.#transport.call<Drain>('GET', '/v1/drain', options)).body
  }

  /** Let devices in again. */
  async cancelDrain(options: CallOptions = {}): Promise<Drain> {
    return (await this.#transport.call<Drain>('DELETE', '/v1/drain', options)).body
  }

  /** A backup of the whole store, as it comes; with the scope `admin`. The file is for `pike restore`. */
  async *backup(options: CallOptions = {}): AsyncGenerator<Uint8Array> {
    const { response, abort } = await this.#transport.open('/v1/backup', options)
    try {
      const reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> } =
        response.body!.getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done || value === undefined) return
        yield value
      }
    } catch (error) {
      throw this.#transport.failure(error, options.signal)
    } finally {
      abort(new Error('closed'))
    }
  }
}
