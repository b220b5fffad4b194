import type { AppId } from '../contract/index.ts'

/** So many at once, and of one app half of them at most: no app keeps all the others out. */
export class Shares {
  readonly #max: number
  readonly #maxOfApp: number
  /** Apps that have some. */
  readonly #apps = new Map<AppId, number>()
  #taken = 0

  constructor(max: number) {
    this.#max = max
    this.#maxOfApp = Math.ceil(max / 2)
  }

  get taken(): number {
    return this.#taken
  }

  /** Is there one for this app? */
  hasRoom(app: AppId): boolean {
    return this.#taken < this.#max && (this.#apps.get(app) ?? 0) < this.#maxOfApp
  }

  /** @returns false, and takes none, where there is none; else give it back by `release`. */
  take(app: AppId): boolean {
    if (!this.hasRoom(app)) return false
    this.#taken++
    this.#apps.set(app, (this.#apps.get(app) ?? 0) + 1)
    return true
  }

  release(app: AppId): void {
    this.#taken--
    const left = this.#apps.get(app)! - 1
    if (left === 0) this.#apps.delete(app)
    else this.#apps.set(app, left)
  }
}
