import type { ServerResponse } from 'node:http'
import type { AppId, Clock, DeviceId, LinkId, Traces } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { SseWriter } from './sse-writer.ts'
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
  readonly #options: TraceStreamOptions
  readonly #writer: SseWriter
  readonly #unfollow: () => void
  #cursor: number
  #due = false

  constructor(response: ServerResponse, options: TraceStreamOptions) {
    this.#options = options
    this.#cursor = options.after
    const { traces, app, device, clock, allowed } = options
    this.#writer = new SseWriter(response, {
      ...{ clock, allowed },
      cursor: () => this.#cursor,
      room: () => this.#pump(),
      ended: () => {
        this.#unfollow()
        options.ended()
      },
    })
    this.#unfollow = traces.follow(app, device, () => this.#pumpSoon())
    this.#pump()
  }

  /** The server stops: the reader may come back. */
  close(): void {
    this.#writer.close()
  }

  /** What a turn brings is written together. */
  #pumpSoon(): void {
    if (this.#due || !this.#writer.isOpen) return
    this.#due = true
    setImmediate(() => {
      this.#due = false
      this.#pump()
    })
  }

  #pump(): void {
    const { traces, app, device, connection, payloads } = this.#options
    for (let more = true; more && this.#writer.isOpen; ) {
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
      if (chunk !== '') this.#writer.write(chunk)
    }
  }
}
