import type { Frame, HelloFrame } from '../../adapters/pike/frames.ts'
import { openSocket, type PikeClientOptions } from '../options.ts'
import { Branch, type BranchHost } from './branch.ts'
import { type CarrierOptions, Connection, type Sharers } from './connection.ts'

/** The highest channel number there is. */
const lastNumber = 63

/**
 * The connection of a controller, which the devices it speaks for share. Its own channels have the
 * numbers from 0 up; theirs those from 63 down.
 *
 *     open ──▶ branches that waited begin        gone ──▶ branches end
 */
export class Trunk implements Sharers, BranchHost {
  /** Told that branches can begin. */
  readonly #opened: () => void
  #connection: Connection | undefined
  #isOpen = false
  readonly #waiting = new Set<Branch>()
  /** undefined: that number is not theirs; null: it was, and what still comes is passed over. */
  readonly #byNumber: (Branch | null | undefined)[] = []
  /** How many numbers from 0 up are its controller's own. */
  readonly #own: number
  #next = lastNumber

  constructor(own: number, opened: () => void) {
    this.#own = own
    this.#opened = opened
  }

  /** Another connection of the controller; the one before is over. */
  connect(how: CarrierOptions, options: PikeClientOptions): Connection {
    this.ended()
    this.#byNumber.length = 0
    this.#next = lastNumber
    const connection = new Connection({ ...how, socket: openSocket(options), sharers: this })
    this.#connection = connection
    return connection
  }

  branch(how: CarrierOptions): Branch {
    const branch = new Branch(this, how)
    this.#waiting.add(branch)
    // Whoever asks for it must have it before it can answer.
    queueMicrotask(() => {
      if (this.#isOpen && this.#waiting.delete(branch)) branch.begin()
    })
    return branch
  }

  // What branches ask.

  get usable(): boolean {
    return this.#connection?.usable === true
  }

  get full(): boolean {
    return this.#connection?.full === true
  }

  get busy(): boolean {
    return this.#connection?.busy === true
  }

  /** In turns, so that what still comes for the one before is not taken for its own. */
  number(branch: Branch): number | undefined {
    for (let tries = lastNumber; tries >= this.#own; tries--) {
      const number = this.#next
      this.#next = number <= this.#own ? lastNumber : number - 1
      if (this.#byNumber[number] instanceof Branch) continue
      this.#byNumber[number] = branch
      return number
    }
    return undefined
  }

  open(hello: HelloFrame): void {
    this.#connection?.open(hello)
  }

  write(frame: Frame): void {
    this.#connection?.write(frame)
  }

  left(branch: Branch): void {
    this.#waiting.delete(branch)
    for (const [number, one] of this.#byNumber.entries())
      if (one === branch) this.#byNumber[number] = null
  }

  // What the connection brings.

  opened(): void {
    this.#isOpen = true
    for (const branch of [...this.#waiting]) if (this.#waiting.delete(branch)) branch.begin()
    this.#opened()
  }

  take(frame: Frame, askedAtMs: number | undefined): boolean {
    if (frame.type === 'pong' || frame.type === 'goaway') {
      for (const branch of this.#all) branch.hear(frame)
      return false
    }
    if (!('channelNumber' in frame) || frame.channelNumber === undefined) return false
    const { channelNumber } = frame
    const branch = this.#byNumber[channelNumber]
    if (branch === undefined) return false
    branch?.take({ ...frame, channelNumber }, askedAtMs)
    return true
  }

  heard(): void {
    for (const branch of this.#all) branch.heard()
  }

  drained(): void {
    for (const branch of this.#all) branch.drained()
  }

  ended(): void {
    this.#isOpen = false
    for (const branch of this.#all) branch.cut()
  }

  get #all(): ReadonlySet<Branch> {
    const all = new Set<Branch>()
    for (const one of this.#byNumber) if (one) all.add(one)
    return all
  }
}
