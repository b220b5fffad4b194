import type { Offset } from '../../contract/index.ts'
import type { Entry } from './command-record.ts'

/**
 * Open commands of one channel in order of offset. Most leave at the front, so that is a pointer:
 *
 *     | gone  gone  gone | 7   9   10   11   13 |
 *                          ^ head
 */
export class OpenList {
  /** Shared while there is none: every attached channel has a list, and most are empty. */
  #entries: (Entry | undefined)[] = none
  #head = 0

  get size(): number {
    return this.#entries.length - this.#head
  }

  get first(): Entry | undefined {
    return this.#entries[this.#head]
  }

  /** Its offset is above all others. */
  push(entry: Entry): void {
    if (this.#entries === none) this.#entries = [entry]
    else this.#entries.push(entry)
  }

  get(offset: Offset): Entry | undefined {
    const entry = this.#entries[this.#seek(offset)]
    return entry?.offset === offset ? entry : undefined
  }

  remove(offset: Offset): void {
    const index = this.#seek(offset)
    if (this.#entries[index]?.offset !== offset) return
    if (index !== this.#head) {
      this.#entries.splice(index, 1)
      return
    }
    this.#entries[this.#head++] = undefined
    if (this.#head === this.#entries.length) {
      this.#entries = none
      this.#head = 0
    } else if (this.#head >= 1_024 && this.#head * 2 >= this.#entries.length) {
      this.#entries.splice(0, this.#head)
      this.#head = 0
    }
  }

  /** Those above `after` in order, until `each` returns false. Nothing may be removed meanwhile. */
  scan(after: Offset, each: (entry: Entry) => boolean): void {
    for (let index = this.#seek(after + 1); index < this.#entries.length; index++) {
      if (!each(this.#entries[index]!)) return
    }
  }

  /** Index of the first at or above. */
  #seek(offset: Offset): number {
    let low = this.#head
    // The oldest is asked for most of the time.
    if (low === this.#entries.length || this.#entries[low]!.offset >= offset) return low
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[middle]!.offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Nothing is ever put in here. */
const none: (Entry | undefined)[] = []
