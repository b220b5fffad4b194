import { backendBounds } from './bounds.ts'
import { CursorGone, PikeProblem } from './errors.ts'
import { retryDelayMs, sleep } from './retry.ts'
import { SseParser } from './sse.ts'
import { passes, type Transport } from './transport.ts'
import type { Event, EventType } from './types.ts'

export interface EventFilter {
  readonly type?: EventType | readonly EventType[]
  readonly device?: string
  /** Devices that have this tag now. */
  readonly tag?: string
}

export interface FollowOptions extends EventFilter {
  /** An event id or a `cursor`: from behind it. Without: from now on. */
  readonly after?: string
  readonly signal?: AbortSignal
  /** A connection that brings nothing for this long is opened anew. Default 45 s. */
  readonly silentMs?: number
  /** The connection broke; it is opened again after `delayMs`. */
  readonly onReconnect?: (about: { error: unknown; delayMs: number }) => void
}

/** What a stream may do next. */
type Chunk = { readonly done: boolean; readonly value?: Uint8Array | undefined }

/**
 * Events as they come, for as long as one likes.
 *
 *     … | yielded | parsed, to be yielded | on the wire …
 *                 ^ cursor
 *
 * It comes back by itself where it was, over broken connections and restarts of the gateway. Keep
 * `cursor` after you have dealt with an event, and give it as `after` the next time: at least once,
 * repeats have the same `id`. Throws {@link CursorGone} when events in between are no longer kept,
 * and {@link PikeProblem} when the gateway refuses for good.
 */
export class EventFollower implements AsyncIterable<Event> {
  readonly #transport: Transport
  readonly #options: FollowOptions
  /** Up to where everything was parsed; the stream resumes from here. */
  #parsed: string | undefined
  #cursor: string | undefined
  readonly #ready: Event[] = []
  #connection: Connection | undefined
  #gone: CursorGone | undefined
  #everOpen = false
  #failures = 0

  constructor(transport: Transport, options: FollowOptions) {
    this.#transport = transport
    this.#options = options
    this.#parsed = options.after
    this.#cursor = options.after
  }

  /** Behind the last event yielded, and what the filter hid after it. Undefined before the first connection. */
  get cursor(): string | undefined {
    return this.#cursor
  }

  /**
   * Connects now rather than with the first event asked for: whatever happens from here on will be
   * among the events. Resolves with the cursor.
   */
  async open(): Promise<string> {
    while (this.#cursor === undefined) await this.#read()
    if (this.#connection === undefined && this.#ready.length === 0) await this.#connect()
    return this.#cursor
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Event> {
    try {
      for (;;) {
        for (let event = this.#ready.shift(); event !== undefined; event = this.#ready.shift()) {
          this.#cursor = event.id
          yield event
        }
        this.#cursor = this.#parsed
        await this.#read()
      }
    } finally {
      this.close()
    }
  }

  /** Ends the connection; the loop over the events does so by itself. */
  close(): void {
    this.#connection?.close()
    this.#connection = undefined
  }

  /** Reads a piece, from a new connection if there is none. */
  async #read(): Promise<void> {
    const { signal } = this.#options
    if (this.#gone !== undefined) throw this.#gone
    try {
      signal?.throwIfAborted()
      this.#connection ??= await this.#open()
      const { done, value } = await this.#connection.read()
      if (done || value === undefined) throw new Error('the stream ended')
      this.#take(this.#connection.parser.push(value))
      this.#failures = 0
    } catch (error) {
      this.close()
      if (signal?.aborted) throw signal.reason
      await this.#comeBack(error)
    }
  }

  async #connect(): Promise<void> {
    while (this.#connection === undefined) {
      try {
        this.#connection = await this.#open()
      } catch (error) {
        if (this.#options.signal?.aborted) throw this.#options.signal.reason
        await this.#comeBack(error)
      }
    }
  }

  async #open(): Promise<Connection> {
    const { type, device, tag, signal, silentMs = backendBounds.streamSilentMs } = this.#options
    const opened = await this.#transport.open('/v1/events', {
      query: { type, device, tag },
      headers: {
        accept: 'text/event-stream',
        ...(this.#parsed !== undefined && { 'last-event-id': this.#parsed }),
      },
      ...(signal !== undefined && { signal }),
    })
    this.#everOpen = true
    return new Connection(opened, silentMs)
  }

  /** Waits until another try; throws what no other try would mend. */
  async #comeBack(error: unknown): Promise<void> {
    if (error instanceof PikeProblem && !passes(error.status)) throw error
    const { retry } = this.#transport
    this.#failures++
    // Somewhere that was never reached is a wrong address rather than a restart.
    if (!this.#everOpen && (retry.failFast || this.#failures >= retry.tries)) throw error
    const asked = error instanceof PikeProblem ? error.retryAfterSeconds : undefined
    const delayMs = retryDelayMs(retry, this.#failures, asked)
    this.#options.onReconnect?.({ error, delayMs })
    await sleep(delayMs, this.#options.signal)
  }

  #take(blocks: ReturnType<SseParser['push']>): void {
    for (const { id, type, data } of blocks) {
      if (type === 'gone') {
        // What came before it is given out first.
        this.#gone = new CursorGone(this.#transport.url, JSON.parse(data))
        return
      }
      if (data !== '') this.#ready.push(JSON.parse(data) as Event)
      if (id === undefined) continue
      this.#parsed = id
      // The first block of a stream is its cursor, even where events come in the same breath.
      if (this.#ready.length === 0) this.#cursor = id
    }
  }
}

class Connection {
  readonly parser = new SseParser()
  readonly #reader: { read(): Promise<Chunk> }
  readonly #abort: (why: Error) => void
  readonly #silentMs: number

  constructor(opened: { response: Response; abort: (why: Error) => void }, silentMs: number) {
    this.#reader = opened.response.body!.getReader()
    this.#abort = opened.abort
    this.#silentMs = silentMs
  }

  /** Only the time we wait counts as silence: whoever reads slowly is not silent. */
  async read(): Promise<Chunk> {
    const timer = setTimeout(
      () => this.#abort(new Error(`nothing for ${this.#silentMs} ms, not even a heartbeat`)),
      this.#silentMs,
    )
    try {
      return await this.#reader.read()
    } finally {
      clearTimeout(timer)
    }
  }

  close(): void {
    this.#abort(new Error('closed'))
  }
}
