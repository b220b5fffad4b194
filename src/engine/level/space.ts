import { statfs } from 'node:fs/promises'
import type { Clock } from '../../contract/index.ts'

/** How often free space is asked for while commands are accepted. */
const spaceCheckMs = 250

/** Free bytes of the file system of a folder, as far as this user may have them. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/**
 * Keeps a reserve on the disk: with less left, nothing new is accepted, while what was accepted can
 * still be delivered, acknowledged and ended, which takes space before it gives some back.
 */
export class Space {
  readonly #folder: string
  readonly #clock: Clock
  readonly #reserveBytes: number
  readonly #freeBytes: (folder: string) => Promise<number>
  #checkAtMs = 0
  #low = false
  free = Number.POSITIVE_INFINITY

  constructor(
    folder: string,
    clock: Clock,
    reserveBytes: number,
    freeBytes: (folder: string) => Promise<number>,
  ) {
    this.#folder = folder
    this.#clock = clock
    this.#reserveBytes = reserveBytes
    this.#freeBytes = freeBytes
  }

  /** As of a moment ago. */
  get low(): boolean {
    const nowMs = this.#clock.nowMs()
    if (nowMs >= this.#checkAtMs) {
      this.#checkAtMs = nowMs + spaceCheckMs
      this.check().catch(() => {})
    }
    return this.#low
  }

  async check(): Promise<void> {
    this.free = await this.#freeBytes(this.#folder)
    this.#low = this.free < this.#reserveBytes
  }
}
