import type { ServerResponse } from 'node:http'
import type { AppId, Clock, EventId, EventQuery, Events } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { eventJson } from './event-view.ts'
import type { Feed } from './feed.ts'
import { problemJson } from './problems.ts'
import { SseWriter } from './sse-writer.ts'
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
 * nothing: the log keeps its place. Its heartbeats carry that place, so that a resume skips what its
 * filter would not show anyway.
 */
export class EventStream {
  readonly #options: StreamOptions
  readonly #writer: SseWriter
  readonly #unlisten: () => void
  #cursor: EventId
  #reading = false
  #again = false

  constructor(response: ServerResponse, options: StreamOptions) {
    this.#options = options
    this.#cursor = options.after
    const { clock, allowed } = options
    this.#writer = new SseWriter(response, {
      ...{ clock, allowed },
      cursor: () => this.#cursor,
      room: () => void this.#pump(),
      ended: () => {
        this.#unlisten()
        options.ended()
      },
    })
    this.#unlisten = options.feed.listen(options.app, () => void this.#pump())
    void this.#pump()
  }

  /** The server stops: the reader may come back and resume. */
  close(): void {
    this.#writer.close()
  }

  async #pump(): Promise<void> {
    if (this.#reading) {
      this.#again = true
      return
    }
    this.#reading = true
    try {
      let more = true
      while (more && this.#writer.isOpen) {
        this.#again = false
        more = (await this.#readOnce()) || this.#again
      }
    } catch {
      // The log cannot be read at the moment; the reader comes back and resumes.
      this.#writer.destroy()
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
    if (this.#writer.isOver) return false
    if (page.kind === 'gone') {
      const text = problemJson('cursor-gone', { oldest: page.oldest })
      this.#writer.close(`event: gone\ndata: ${text}\n\n`)
      return false
    }
    const items = keep === undefined ? page.items : await keep(page.items)
    if (this.#writer.isOver) return false
    let chunk = ''
    for (const event of items) {
      chunk += `id: ${event.id}\nevent: ${event.kind}\ndata: ${eventJson(event)}\n\n`
      if (chunk.length < apiBounds.streamChunkBytes) continue
      this.#cursor = event.id
      this.#writer.write(chunk)
      chunk = ''
      // What is left of the page is read again once there is room.
      if (!this.#writer.isOpen) return false
    }
    if (chunk !== '') this.#writer.write(chunk)
    this.#cursor = page.next
    return !page.caughtUp
  }
}
