import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { AppId, Clock, Timer } from '../contract/index.ts'

/** How long bodies may take, and how much memory. */
export interface ArrivalBounds {
  /** Bodies on their way into memory, together; of one app half. */
  readonly bodiesMaxBytes: number
  /** A whole body. */
  readonly requestTimeoutMs: number
  /** A body that lasts, without a byte of it. */
  readonly lineIdleTimeoutMs: number
  readonly timeoutsCheckMs: number
  /** A connection on which nothing moves, unless a lasting call says why. */
  readonly socketTimeoutMs: number
}

interface Arrival {
  /** Since when it is waited for: a lasting one since its last byte. */
  sinceMs: number
  app: AppId | undefined
  bytes: number
  /** 'body': it may take its time, and nobody says when it is over. */
  lasting: Lasting | 'body' | undefined
  bytesRead: number
}

/** A call that takes as long as it takes, as long as something moves. */
export interface Lasting {
  /** False while it is not the caller that is waited for. */
  waits(): boolean
  /** Nothing moved in time. */
  cut(): void
}

/**
 * Bodies under way: how long each takes, and how much memory they may come to take together.
 *
 *     request ──▶ watched ──▶ admitted ──▶ whole      at most requestTimeoutMs
 *                                └───────▶ lasting    as long as something comes
 *
 * Node's own timeout for whole requests would cut off a body that is meant to last, so this one is
 * in its place. It holds for every request with a body, also for one that was refused and whose
 * body nobody reads.
 */
export class Arrivals {
  readonly #clock: Clock
  readonly #bounds: ArrivalBounds
  readonly #tooSlow: (socket: Socket) => void
  readonly #under = new Map<IncomingMessage, Arrival>()
  readonly #bytesOf = new Map<AppId, number>()
  #bytes = 0
  #timer: Timer | undefined

  constructor(clock: Clock, bounds: ArrivalBounds, tooSlow: (socket: Socket) => void) {
    this.#clock = clock
    this.#bounds = bounds
    this.#tooSlow = tooSlow
  }

  get count(): number {
    return this.#under.size
  }

  get bytes(): number {
    return this.#bytes
  }

  watch(server: Server): void {
    server.prependListener('request', (request: IncomingMessage) => {
      const { headers } = request
      const length = headers['content-length']
      if (headers['transfer-encoding'] === undefined && (length === undefined || length === '0'))
        return
      this.#under.set(request, {
        sinceMs: this.#clock.nowMs(),
        app: undefined,
        bytes: 0,
        lasting: undefined,
        bytesRead: 0,
      })
      this.#timer ??= this.#checkLater()
    })
  }

  /**
   * A body is about to be read into memory, `maxBytes` at most. False: there is no room for it. One
   * app has half of the room, so that it cannot keep the others out.
   */
  admit(request: IncomingMessage, app: AppId, maxBytes: number): boolean {
    const arrival = this.#under.get(request)
    if (arrival === undefined) return true
    const said = Number(request.headers['content-length'] ?? maxBytes)
    const bytes = Math.min(said, maxBytes)
    const ofApp = (this.#bytesOf.get(app) ?? 0) + bytes
    const { bodiesMaxBytes } = this.#bounds
    if (ofApp > bodiesMaxBytes / 2 || this.#bytes + bytes > bodiesMaxBytes) return false
    arrival.app = app
    arrival.bytes = bytes
    this.#bytes += bytes
    this.#bytesOf.set(app, ofApp)
    return true
  }

  /**
   * From here on this call may last. With `lasting` it also judges its own silence, until `arrived`:
   * it may wait for what is ours for longer than a connection may be silent.
   */
  lasts(request: IncomingMessage, lasting?: Lasting): void {
    const arrival = this.#under.get(request)
    if (arrival === undefined) return
    this.#give(arrival)
    arrival.lasting = lasting ?? 'body'
    arrival.sinceMs = this.#clock.nowMs()
    arrival.bytesRead = request.socket.bytesRead
    if (lasting !== undefined) request.socket.setTimeout(0)
  }

  /** It is in memory, unless it may last. */
  read(request: IncomingMessage): void {
    if (this.#under.get(request)?.lasting === undefined) this.arrived(request)
  }

  /** It is all here, or nobody waits for it any more. */
  arrived(request: IncomingMessage): void {
    const arrival = this.#under.get(request)
    if (arrival === undefined) return
    this.#under.delete(request)
    this.#give(arrival)
    const { socket } = request
    if (typeof arrival.lasting === 'object' && !socket.destroyed)
      socket.setTimeout(this.#bounds.socketTimeoutMs)
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #give(arrival: Arrival): void {
    const { app, bytes } = arrival
    if (app === undefined) return
    arrival.app = undefined
    this.#bytes -= bytes
    const left = this.#bytesOf.get(app)! - bytes
    if (left === 0) this.#bytesOf.delete(app)
    else this.#bytesOf.set(app, left)
  }

  #checkLater(): Timer {
    const { timeoutsCheckMs } = this.#bounds
    return this.#clock.at(this.#clock.nowMs() + timeoutsCheckMs, 'slow bodies', () => this.#check())
  }

  #check(): void {
    const nowMs = this.#clock.nowMs()
    const { requestTimeoutMs, lineIdleTimeoutMs } = this.#bounds
    for (const [request, arrival] of this.#under) {
      const { lasting } = arrival
      const { socket } = request
      const judges = typeof lasting === 'object'
      if (socket.destroyed || (request.complete && !judges)) {
        this.arrived(request)
        continue
      }
      if (lasting !== undefined) {
        const { bytesRead } = socket
        if (bytesRead !== arrival.bytesRead || (judges && !lasting.waits())) {
          arrival.bytesRead = bytesRead
          arrival.sinceMs = nowMs
        }
      }
      const patienceMs = lasting === undefined ? requestTimeoutMs : lineIdleTimeoutMs
      if (nowMs - arrival.sinceMs < patienceMs) continue
      if (judges) lasting.cut()
      else {
        this.arrived(request)
        this.#tooSlow(socket)
      }
    }
    this.#timer = this.#under.size === 0 ? undefined : this.#checkLater()
  }
}
