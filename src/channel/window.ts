import type { Offset, OpenCommand } from '../contract/index.ts'

export interface Out {
  readonly command: OpenCommand
  readonly sentAtMs: number
  readonly repeated: boolean
}

interface Place extends Out {
  /** Acknowledged, but what that changes is not kept yet. */
  settling: boolean
}

/**
 * Which commands are out on the link.
 *
 *     kept as acknowledged |  out on the link   |  not sent yet
 *   | 1  2  3  4           | 5  6· 7  8·        | 9  12  13
 *                            ^ oldest out         ^ next         · acknowledged, being kept
 *
 * A place becomes free when the acknowledgement is kept, not when it arrives: so what a crash finds
 * open and sent is never more than one window (rule 4).
 */
export class Window {
  readonly maxCommands: number
  readonly #maxBytes: number
  /** In order of offset, since commands are sent in order. Many a channel never has one. */
  #out: Map<Offset, Place> = none
  #bytes = 0

  constructor(maxCommands: number, maxBytes: number) {
    this.maxCommands = maxCommands
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#out.size
  }

  /** One command always fits into an empty window, whatever its size. */
  room(bytes: number): boolean {
    if (this.#out.size === 0) return true
    return this.#out.size < this.maxCommands && this.#bytes + bytes <= this.#maxBytes
  }

  admit(command: OpenCommand, repeated: boolean, nowMs: number): void {
    if (this.#out === none) this.#out = new Map()
    this.#out.set(command.offset, { command, sentAtMs: nowMs, repeated, settling: false })
    this.#bytes += command.payload.length
  }

  get(offset: Offset): Out | undefined {
    return this.#out.get(offset)
  }

  /** What the device's end now has, each once; they stay out until `retire`. */
  acknowledge(offset: Offset): Out | undefined {
    const out = this.#out.get(offset)
    if (out === undefined || out.settling) return undefined
    out.settling = true
    return out
  }

  acknowledgeUpTo(offset: Offset): Out[] {
    const now: Place[] = []
    for (const [at, out] of this.#out) {
      if (at > offset) break
      if (out.settling) continue
      out.settling = true
      now.push(out)
    }
    return now
  }

  retire(offset: Offset): void {
    const out = this.#out.get(offset)
    if (out === undefined) return
    this.#out.delete(offset)
    this.#bytes -= out.command.payload.length
  }

  /** When the oldest unacknowledged one was sent; undefined: nothing waits for the device. */
  get oldestSentAtMs(): number | undefined {
    for (const out of this.#out.values()) if (!out.settling) return out.sentAtMs
    return undefined
  }
}

/** Nothing is ever put in here. */
const none = new Map<Offset, Place>()
