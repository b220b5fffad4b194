import { connect, createServer, type Server, type Socket } from 'node:net'
import { hangUp } from '../../src/listen/sockets.ts'
import { seeded } from '../seeded.ts'
import type { Conditions } from './conditions.ts'
import { StreamLink, type Way } from './link.ts'
import { type Figures, linksMax, noFigures, type Relay, type RelayOptions } from './relay.ts'

/** What may be on its way in one direction of one link; then its sender is not read. */
const underwayMaxBytes = 256 * 1024
/** A dead link is let go after this, though an end has not noticed. */
const silentMaxMs = 15 * 60_000

/** Stands before a TCP port and lets bad weather at what passes. */
export async function relayStreams(options: RelayOptions): Promise<Relay> {
  const relay = new StreamRelay(options)
  await relay.listen()
  return relay
}

class StreamRelay implements Relay {
  readonly figures: Figures = noFigures()
  readonly #options: RelayOptions
  #conditions: Conditions
  readonly #server: Server
  readonly #links = new Set<Link>()

  constructor(options: RelayOptions) {
    this.#options = options
    this.#conditions = options.conditions
    this.#server = createServer(
      { noDelay: true, pauseOnConnect: true, allowHalfOpen: true },
      (device) => {
        if (this.#links.size >= linksMax) {
          hangUp(device)
          return
        }
        const { to, seed } = options
        const random = seeded(seed + this.figures.links++)
        const fate = new StreamLink(this.#conditions, random, performance.now())
        const gateway = connect({ ...to, noDelay: true, allowHalfOpen: true })
        const link = new Link(device, gateway, fate, this.figures, () => this.#links.delete(link))
        this.#links.add(link)
      },
    )
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  listen(): Promise<void> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, backlog: 4_096 }, resolve)
    })
  }

  become(conditions: Conditions): void {
    this.#conditions = conditions
    for (const link of this.#links) link.reset()
  }

  stop(): Promise<void> {
    for (const link of this.#links) link.reset()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }
}

/**
 * One connection and its other half, and what is under way between them.
 *
 *     device ──▶ lane up ──▶ gateway
 *            ◀── lane down ◀──
 */
class Link {
  readonly #fate: StreamLink
  readonly #figures: Figures
  readonly #lanes: readonly [Lane, Lane]
  readonly #gone: () => void
  readonly #death: NodeJS.Timeout
  #silence: NodeJS.Timeout | undefined
  #over = false

  constructor(
    device: Socket,
    gateway: Socket,
    fate: StreamLink,
    figures: Figures,
    gone: () => void,
  ) {
    this.#fate = fate
    this.#figures = figures
    this.#gone = gone
    this.#lanes = [new Lane('up', device, gateway, this), new Lane('down', gateway, device, this)]
    const inMs = Math.min(fate.resetAtMs - performance.now(), 2 ** 31 - 1)
    this.#death = setTimeout(() => this.reset(), inMs)
    device.resume()
  }

  get silent(): boolean {
    return this.#silence !== undefined
  }

  carry(way: Way, bytes: number): readonly { bytes: number; atMs: number }[] {
    const carried = this.#fate.carry(way, bytes, performance.now())
    if (carried.kind === 'pieces') {
      this.#figures.carried++
      return carried.pieces
    }
    if (carried.kind === 'reset') this.reset()
    else this.#fallSilent()
    return []
  }

  /** One end has gone. In silence the other does not hear of it, and both may go by themselves. */
  closed(): void {
    const over = ({ from }: Lane): boolean => from.destroyed || (this.silent && from.readableEnded)
    if (this.#lanes.every(over)) this.#end()
    else if (!this.silent) this.reset()
  }

  reset(): void {
    if (this.#over) return
    this.#figures.resets++
    this.#end()
  }

  #fallSilent(): void {
    if (this.silent || this.#over) return
    this.#figures.silenced++
    clearTimeout(this.#death)
    this.#silence = setTimeout(() => this.#end(), silentMaxMs)
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#death)
    clearTimeout(this.#silence)
    for (const lane of this.#lanes) lane.end()
    this.#gone()
  }
}

/** What was read at one end and not written at the other. */
class Lane {
  readonly from: Socket
  readonly #to: Socket
  readonly #link: Link
  readonly #queue: { readonly bytes: Buffer | undefined; readonly atMs: number }[] = []
  #queuedBytes = 0
  #lastAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(way: Way, from: Socket, to: Socket, link: Link) {
    this.from = from
    this.#to = to
    this.#link = link
    from.on('data', (chunk: Buffer) => {
      let at = 0
      for (const piece of link.carry(way, chunk.length)) {
        this.#push(chunk.subarray(at, at + piece.bytes), piece.atMs)
        at += piece.bytes
      }
    })
    from.on('end', () => {
      if (link.silent) link.closed()
      else this.#push(undefined, this.#lastAtMs)
    })
    from.on('error', () => {})
    from.on('close', (hadError) => {
      if (hadError || to.destroyed || link.silent) link.closed()
    })
    to.on('drain', () => this.#steer())
  }

  end(): void {
    clearTimeout(this.#timer)
    hangUp(this.from)
  }

  /** @param bytes undefined: it will send no more. */
  #push(bytes: Buffer | undefined, atMs: number): void {
    this.#lastAtMs = atMs
    this.#queue.push({ bytes, atMs })
    this.#queuedBytes += bytes?.length ?? 0
    this.#steer()
    if (this.#timer === undefined) this.#arm()
  }

  #arm(): void {
    const next = this.#queue[0]
    if (next === undefined) return
    this.#timer = setTimeout(() => this.#due(), Math.max(0, next.atMs - performance.now()))
  }

  #due(): void {
    this.#timer = undefined
    const nowMs = performance.now()
    while (this.#queue.length > 0 && this.#queue[0]!.atMs <= nowMs + 0.5) {
      const { bytes } = this.#queue.shift()!
      this.#queuedBytes -= bytes?.length ?? 0
      if (this.#link.silent) continue
      if (bytes === undefined) this.#to.end()
      else this.#to.write(bytes)
    }
    this.#steer()
    this.#arm()
  }

  #steer(): void {
    if (this.#queuedBytes + this.#to.writableLength > underwayMaxBytes) this.from.pause()
    else this.from.resume()
  }
}
