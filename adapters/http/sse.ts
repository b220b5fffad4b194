import type { ServerResponse } from 'node:http'
import type { Clock, Downlink, Position, Timer } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import { hangUpOn } from '../../src/listen/sockets.ts'
import { httpBounds } from './bounds.ts'
import { itemJson } from './item.ts'
import { type Acknowledged, type Closed, HttpLink, type LinkParts, receiverOf } from './link.ts'
import { problemJson, refusalOf } from './problems.ts'

/** The link of a device that receives one channel by a stream. */
export class StreamLink extends HttpLink {
  readonly #stream: CommandStream
  /** The probe that was not answered yet. */
  #probe: string | undefined

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
    this.#probe ??= this.#stream.nextProbe()
    this.#stream.write(`event: probe\ndata: ${JSON.stringify({ probe: this.#probe })}\n\n`)
    return true
  }

  /** Other connections of it may work while this one is dead: asked, it must name the question. */
  override came(): void {
    if (this.#probe === undefined) super.came()
  }

  /** What came down this stream and is acknowledged proves it as well. */
  override acknowledge(position: Position, upTo: boolean): Acknowledged {
    const outcome = super.acknowledge(position, upTo)
    if (outcome === 'ok') this.#probe = undefined
    return outcome
  }

  override replied(): void {
    this.#probe = undefined
  }

  override probeAnswered(probe: string): void {
    if (this.#probe !== probe) return
    this.#probe = undefined
    super.came()
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
 *     probe     a question: is this stream read? Its answer names it
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
  #probes = 0

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

  nextProbe(): string {
    return `${++this.#probes}`
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
    const commentS = httpBounds.commentMs / 1000
    const receiver = receiverOf(links)
    const start = JSON.stringify({ time, keepaliveS, commentS, receiver, channels })
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
    if (reasons[reason].reset) hangUpOn(this.#response)
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
      if (this.#full) hangUpOn(this.#response)
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
