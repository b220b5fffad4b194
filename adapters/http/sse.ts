import type { ServerResponse } from 'node:http'
import type { Clock, Downlink, Timer } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import { httpBounds } from './bounds.ts'
import { itemJson } from './item.ts'
import { type Closed, HttpLink, type LinkParts, receiverOf } from './link.ts'
import { problemJson, refusalOf } from './problems.ts'

/** The link of a device that receives one channel by a stream. */
export class StreamLink extends HttpLink {
  readonly #stream: CommandStream

  constructor(parts: LinkParts, stream: CommandStream) {
    super(parts)
    this.#stream = stream
  }

  deliver(downlink: Downlink): 'open' | 'full' {
    this.wrote(downlink)
    this.#stream.write(`event: command\ndata: ${itemJson(downlink)}\n\n`)
    return this.#stream.isFull ? 'full' : 'open'
  }

  probe(): boolean {
    this.#stream.write('event: probe\ndata: {}\n\n')
    return true
  }

  protected ending(closed: Closed): void {
    this.#stream.end(closed)
  }
}

/**
 * Commands as server-sent events, of one or more channels. Source: HTML Living Standard, server-sent
 * events.
 *
 *     start     what was granted, once
 *     command   one command
 *     probe     say something: any request counts
 *     closed    why it ends, as a problem
 *
 * Reading it proves nothing, so each command is acknowledged by a request of its own (rule 24), and
 * the device gives a sign of life in time or loses the stream.
 */
export class CommandStream {
  readonly #response: ServerResponse
  readonly #clock: Clock
  readonly #linkMaxBytes: number
  readonly #ended: (stream: CommandStream) => void
  #links: readonly StreamLink[] = []
  #begun = false
  #over = false
  #full = false
  #timer: Timer | undefined

  constructor(
    response: ServerResponse,
    clock: Clock,
    linkMaxBytes: number,
    ended: (stream: CommandStream) => void,
  ) {
    this.#response = response
    this.#clock = clock
    this.#linkMaxBytes = linkMaxBytes
    this.#ended = ended
    response.on('close', () => this.#gone())
    // What fails is the device's connection; 'close' follows.
    response.on('error', () => {})
    response.on('drain', () => this.#drained())
  }

  get isFull(): boolean {
    return this.#full
  }

  get isOver(): boolean {
    return this.#over
  }

  /** Its links are attached; commands may follow. */
  begin(links: readonly StreamLink[]): void {
    this.#begun = true
    this.#links = links
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // A proxy that collects an answer before it passes it on would never pass on this one.
      'x-accel-buffering': 'no',
    })
    const channels = links.map((link) => ({
      channel: link.channel,
      ...link.standing,
      resumed: link.session?.resumed,
    }))
    const keepaliveMs = Math.min(...links.map(({ session }) => session?.keepaliveMs ?? 0))
    const keepaliveS = Math.floor(keepaliveMs / 1000)
    const time = new Date(this.#clock.nowMs()).toISOString()
    const start = JSON.stringify({ time, keepaliveS, receiver: receiverOf(links), channels })
    this.write(`retry: 1000\nevent: start\ndata: ${start}\n\n`)
    this.#arm()
    for (const link of links) link.session?.start()
  }

  write(text: string): void {
    if (this.#over) return
    this.#response.write(text)
    if (this.#full || this.#response.writableLength < this.#linkMaxBytes) return
    this.#full = true
    this.#arm()
  }

  /** One of its channels is over, and with it all: the device comes again for the rest. */
  end(closed: Closed): void {
    if (this.#over || !this.#begun) return
    const { reason, retryAfterMs } = closed
    const { problem, retryAfterMs: againMs } = refusalOf(reason, retryAfterMs)
    const retry = againMs === undefined ? '' : `retry: ${Math.ceil(againMs)}\n`
    if (reasons[reason].reset) this.#response.socket?.resetAndDestroy()
    else this.#response.end(`${retry}event: closed\ndata: ${problemJson(problem)}\n\n`)
    this.#finish(!reasons[reason].reset)
  }

  #drained(): void {
    if (!this.#full) return
    this.#full = false
    this.#arm()
    for (const link of this.#links) link.session?.drained()
  }

  #arm(): void {
    this.#timer?.cancel()
    const [afterMs, what] = this.#full
      ? [httpBounds.answerStalledMs, 'http stalled stream']
      : [httpBounds.commentMs, 'http stream comment']
    this.#timer = this.#clock.at(this.#clock.nowMs() + afterMs, what, () => {
      if (this.#full) this.#response.socket?.resetAndDestroy()
      else {
        this.#response.write(': here\n\n')
        this.#arm()
      }
    })
  }

  #gone(): void {
    this.#finish(false)
  }

  #finish(graceful: boolean): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.cancel()
    for (const link of this.#links) link.detach(graceful)
    this.#ended(this)
  }
}
