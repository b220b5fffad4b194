import type { ServerResponse } from 'node:http'
import type { AppId, Clock, DeviceId, LinkId, Timer, Traces } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { entryView } from './trace-view.ts'

export interface TraceStreamOptions {
  readonly app: AppId
  readonly device: DeviceId
  readonly connection: LinkId | undefined
  readonly payloads: boolean
  /** The stream tells what lies behind it. */
  readonly after: number
  readonly traces: Traces
  readonly clock: Clock
  /** Asked with every heartbeat; false ends the stream. */
  readonly allowed: () => boolean
  readonly ended: () => void
}

/**
 * One reader that follows a device. As with events, nothing is read while its socket is full; but the
 * ring waits for nobody, so a reader that is slow for long misses what was written over.
 */
export class TraceStream {
  readonly #response: ServerResponse
  readonly #options: TraceStreamOptions
  #cursor: number
  #full = false
  #ended = false
  #due = false
  #timer: Timer
  readonly #unfollow: () => void

  constructor(response: ServerResponse, options: TraceStreamOptions) {
    this.#response = response
    this.#options = options
    this.#cursor = options.after
    response.on('close', () => this.#end())
    // What fails is the reader's connection; 'close' follows.
    response.on('error', () => {})
    response.on('drain', () => {
      if (this.#ended) return
      this.#full = false
      this.#timer.cancel()
      this.#timer = this.#heartbeatLater()
      this.#pump()
    })
    this.#timer = this.#heartbeatLater()
    const { traces, app, device } = options
    this.#unfollow = traces.follow(app, device, () => this.#pumpSoon())
    this.#write(`retry: 1000\nid: ${this.#cursor}\n\n`)
    this.#pump()
  }

  /** The server stops: the reader may come back. */
  close(): void {
    if (!this.#ended) this.#response.end()
    this.#end()
  }

  /** What a turn brings is written together. */
  #pumpSoon(): void {
    if (this.#due || this.#full || this.#ended) return
    this.#due = true
    setImmediate(() => {
      this.#due = false
      this.#pump()
    })
  }

  #pump(): void {
    const { traces, app, device, connection, payloads } = this.#options
    for (let more = true; more && !this.#full && !this.#ended; ) {
      const trace = traces.trace(app, device, {
        after: this.#cursor,
        limit: apiBounds.streamReadEvents,
        ...(connection !== undefined && { connection }),
      })
      let chunk = ''
      for (const entry of trace.items) {
        chunk += `id: ${entry.id}\nevent: ${entry.way}\ndata: ${JSON.stringify(entryView(entry, payloads))}\n\n`
      }
      this.#cursor = trace.next
      more = !trace.caughtUp
      if (chunk !== '') this.#write(chunk)
    }
  }

  #write(text: string): void {
    if (this.#response.write(text)) return
    this.#full = true
    this.#timer.cancel()
    const { clock } = this.#options
    this.#timer = clock.at(clock.nowMs() + apiBounds.streamStalledMs, 'stalled trace', () =>
      this.#response.destroy(),
    )
  }

  #heartbeatLater(): Timer {
    const { clock, allowed } = this.#options
    return clock.at(clock.nowMs() + apiBounds.streamHeartbeatMs, 'trace heartbeat', () => {
      if (!allowed()) return this.close()
      this.#timer = this.#heartbeatLater()
      this.#write(`: heartbeat\nid: ${this.#cursor}\n\n`)
    })
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#timer.cancel()
    this.#unfollow()
    this.#options.ended()
  }
}
