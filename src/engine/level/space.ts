import { statfs } from 'node:fs/promises'
import type { Clock } from '../../contract/index.ts'

/** How often free space is asked for while commands are accepted. */
const spaceCheckMs = 250

/** Free bytes of the file system of a folder, as far as this user may have them. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/** After one look at the files of a store the next comes no sooner than so many times what it took. */
const restAfterLook = 20

interface Parts {
  readonly folder: string
  readonly clock: Clock
  /** With less left on the disk nothing new is accepted. */
  readonly reserveBytes: number
  readonly storeMaxBytes: number
  readonly freeBytes: (folder: string) => Promise<number>
  readonly storeBytes: () => Promise<number>
}

/**
 * Keeps the store within its bound, and a reserve on the disk: beyond either nothing new is accepted,
 * while what was accepted can still be delivered, acknowledged and ended, which takes space before it
 * gives some back.
 *
 * A store may be ten thousands of files. So it is looked at now and then, and between two looks only
 * when the disk has lost what is left of the bound since: the store cannot have grown by more.
 */
export class Space {
  readonly #parts: Parts
  #checkAtMs = 0
  #low = false
  free = Number.POSITIVE_INFINITY
  storeBytes = 0
  /** Free bytes when the store was last looked at. */
  #freeThen = 0
  #lookAtMs = 0
  #looking: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Nothing new may be kept, as of a moment ago. */
  get full(): boolean {
    const nowMs = this.#parts.clock.nowMs()
    if (nowMs >= this.#checkAtMs) {
      this.#checkAtMs = nowMs + spaceCheckMs
      this.check().catch(() => {})
    }
    return this.#low || this.isOver
  }

  /** The store is at its bound. */
  get isOver(): boolean {
    return this.storeBytes >= this.#parts.storeMaxBytes
  }

  async check(): Promise<void> {
    const { clock, folder, freeBytes, reserveBytes, storeMaxBytes } = this.#parts
    this.free = await freeBytes(folder)
    this.#low = this.free < reserveBytes
    const couldBe = this.storeBytes + Math.max(0, this.#freeThen - this.free)
    if (couldBe >= storeMaxBytes && clock.nowMs() >= this.#lookAtMs) await this.look()
  }

  /** At the files of the store. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { clock, folder, freeBytes, storeBytes } = this.#parts
    const beganAtMs = clock.nowMs()
    this.#freeThen = await freeBytes(folder)
    this.storeBytes = await storeBytes()
    const nowMs = clock.nowMs()
    this.#lookAtMs = nowMs + restAfterLook * (nowMs - beganAtMs)
  }
}
