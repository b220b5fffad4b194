import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'

export interface SseWriterOptions {
  readonly clock: Clock
  /** Where the reader stands, as its `Last-Event-ID` says it. */
  readonly cursor: () => string | number
  /** Asked with every heartbeat; false ends the stream. */
  readonly allowed: () => boolean
  /** There is room again. */
  readonly room: () => void
  /** It is over, by whichever end. Called once. */
  readonly ended: () => void
}

/**
 * The socket's end of a stream of server-sent events: full, stalled, idle or gone.
 *
 *     writable ──▶ full ──▶ room: writable again
 *                   └─────▶ stalled for too long: destroyed
 *
 * A block with an `id` and no `data` moves the reader's `Last-Event-ID` without an event.
 */
export class SseWriter {
  readonly #response: ServerResponse
  readonly #options: SseWriterOptions
  #full = false
  #ended = false
  #timer: Timer

  constructor(response: ServerResponse, options: SseWriterOptions) {
    this.#response = response
    this.#options = options
    response.on('close', () => this.#end())
    // What fails is the reader's connection; 'close' follows.
    response.on('error', () => {})
    response.on('drain', () => {
      if (this.#ended) return
      this.#full = false
      this.#timer.cancel()
      this.#timer = this.#heartbeatLater()
      options.room()
    })
    this.#timer = this.#heartbeatLater()
    this.write(`retry: 1000\nid: ${options.cursor()}\n\n`)
  }

  /** May something be written now? */
  get isOpen(): boolean {
    return !this.#full && !this.#ended
  }

  get isOver(): boolean {
    return this.#ended
  }

  write(text: string): void {
    if (this.#response.write(text)) return
    this.#full = true
    this.#timer.cancel()
    const { clock } = this.#options
    this.#timer = clock.at(clock.nowMs() + apiBounds.streamStalledMs, 'stalled stream', () =>
      this.#response.destroy(),
    )
  }

  /** The reader may come back. @param last said before the end. */
  close(last?: string): void {
    if (!this.#ended) this.#response.end(last)
    this.#end()
  }

  /** Without a word: the reader comes back. */
  destroy(): void {
    if (!this.#ended) this.#response.destroy()
  }

  #heartbeatLater(): Timer {
    const { clock, allowed, cursor } = this.#options
    return clock.at(clock.nowMs() + apiBounds.streamHeartbeatMs, 'stream heartbeat', () => {
      if (!allowed()) return this.close()
      this.#timer = this.#heartbeatLater()
      this.write(`: heartbeat\nid: ${cursor()}\n\n`)
    })
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#timer.cancel()
    this.#options.ended()
  }
}
