import type { Offset } from '../../src/contract/index.ts'

/** Something that waits for its turn. */
export interface Waiting {
  /** 0: it belongs to what follows it. */
  readonly offset: Offset
  readonly bytes: number
}

/**
 * What a channel may have under way that shares its connection with `urgent`: what lies in buffers
 * on the way to the device, ours or others', stands before whatever `urgent` says next. So it is
 * counted until the device acknowledges it, and what is beyond the bound waits here.
 *
 *     delivered ──▶ waiting ──take──▶ out, up to `maxBytes`, one always ──acknowledged──▶ gone
 */
export class Outflow<Item extends Waiting> {
  #waiting: Item[] = []
  /** Offset and bytes, in turn; in order. */
  #out: number[] = []
  #outBytes = 0
  readonly #maxBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  get outBytes(): number {
    return this.#outBytes
  }

  add(item: Item): void {
    this.#waiting.push(item)
  }

  /** What may go now, in order. @param bounded false: everything. */
  take(bounded: boolean): readonly Item[] {
    let count = 0
    for (; count < this.#waiting.length; count++) {
      const { offset, bytes } = this.#waiting[count]!
      if (bounded && this.#outBytes > 0 && this.#outBytes + bytes > this.#maxBytes) break
      if (offset === 0) continue
      this.#out.push(offset, bytes)
      this.#outBytes += bytes
    }
    return this.#waiting.splice(0, count)
  }

  /** The device has it all up to here. */
  acknowledgedUpTo(offset: Offset): void {
    let at = 0
    for (; at < this.#out.length && this.#out[at]! <= offset; at += 2)
      this.#outBytes -= this.#out[at + 1]!
    this.#out.splice(0, at)
  }

  /** The device has this one. */
  acknowledged(offset: Offset): void {
    for (let at = 0; at < this.#out.length; at += 2) {
      if (this.#out[at] !== offset) continue
      this.#outBytes -= this.#out[at + 1]!
      this.#out.splice(at, 2)
      return
    }
  }
}
