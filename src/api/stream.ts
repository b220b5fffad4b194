import type { ServerResponse } from 'node:http'
import type { AppId, Clock, EventId, EventQuery, Events, Timer } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { eventJson } from './event-view.ts'
import type { Feed } from './feed.ts'
import { problemJson } from './problems.ts'
import type { Keep } from './tag-filter.ts'

export interface StreamOptions {
  readonly app: AppId
  readonly filter: Pick<EventQuery, 'device' | 'kinds'>
  /** Which of these to tell, where the log cannot know. */
  readonly keep?: Keep
  /** The stream tells what lies behind it. */
  readonly after: EventId
  readonly events: Pick<Events, 'read'>
  readonly feed: Feed
  readonly clock: Clock
  /** Asked with every heartbeat; false ends the stream. */
  readonly allowed: () => boolean
  readonly ended: () => void
}

/**
 * One back end that reads events as they come. Source: HTML Living Standard, server-sent events.
 *
 *     log:  … | written to the socket | read next … | grows
 *                             cursor ^
 *
 * While the socket is full nothing is read, so a slow reader costs one chunk of memory, and loses
 * nothing: the log keeps its place. A block with an `id` and no `data` moves the reader's
 * `Last-Event-ID` without an event, so that a resume skips what its filter would not show anyway.
 */
export class EventStream {
  readonly #response: ServerResponse
  readonly #options: StreamOptions
  #cursor: EventId
  #reading = false
  #again = false
  #full = false
  #ended = false
  #timer: Timer
  readonly #unlisten: () => void

  constructor(response: ServerResponse, options: StreamOptions) {
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
      void this.#pump()
    })
    this.#timer = this.#heartbeatLater()
    this.#unlisten = options.feed.listen(options.app, () => void this.#pump())
    this.#write(`retry: 1000\nid: ${options.after}\n\n`)
    void this.#pump()
  }

  /** The server stops: the reader may come back and resume. */
  close(): void {
    if (!this.#ended) this.#response.end()
    this.#end()
  }

  async #pump(): Promise<void> {
    if (this.#reading) {
      this.#again = true
      return
    }
    this.#reading = true
    try {
      let more = true
      while (more && !this.#full && !this.#ended) {
        this.#again = false
        more = (await this.#readOnce()) || this.#again
      }
    } catch {
      // The log cannot be read at the moment; the reader comes back and resumes.
      if (!this.#ended) this.#response.destroy()
    } finally {
      this.#reading = false
    }
  }

  /** @returns whether more lies there already. */
  async #readOnce(): Promise<boolean> {
    const { events, app, filter, keep } = this.#options
    const page = await events.read(app, {
      ...filter,
      after: this.#cursor,
      limit: apiBounds.streamReadEvents,
    })
    if (this.#ended) return false
    if (page.kind === 'gone') {
      const text = problemJson('cursor-gone', { oldest: page.oldest })
      this.#response.end(`event: gone\ndata: ${text}\n\n`)
      this.#end()
      return false
    }
    const items = keep === undefined ? page.items : await keep(page.items)
    if (this.#ended) return false
    let chunk = ''
    for (const event of items) {
      chunk += `id: ${event.id}\nevent: ${event.kind}\ndata: ${eventJson(event)}\n\n`
      if (chunk.length < apiBounds.streamChunkBytes) continue
      this.#cursor = event.id
      this.#write(chunk)
      chunk = ''
      // What is left of the page is read again once there is room.
      if (this.#full) return false
    }
    if (chunk !== '') this.#write(chunk)
    this.#cursor = page.next
    return !page.caughtUp
  }

  #write(text: string): void {
    if (this.#response.write(text)) return
    this.#full = true
    this.#timer.cancel()
    const { clock } = this.#options
    this.#timer = clock.at(clock.nowMs() + apiBounds.streamStalledMs, 'stalled stream', () =>
      this.#response.destroy(),
    )
  }

  #heartbeatLater(): Timer {
    const { clock, allowed } = this.#options
    return clock.at(clock.nowMs() + apiBounds.streamHeartbeatMs, 'stream heartbeat', () => {
      if (!allowed()) return this.close()
      this.#timer = this.#heartbeatLater()
      this.#write(`: heartbeat\nid: ${this.#cursor}\n\n`)
    })
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#timer.cancel()
    this.#unlisten()
    this.#options.ended()
  }
}
