import type { AppId, KeyRecord } from '../contract/index.ts'
import type { Auth } from './auth.ts'
import { Refused } from './problems.ts'

/**
 * Keeps writing into an app and removing that app apart: what is written while it is removed would
 * be left behind in an app that nobody has, and found by whoever makes one of its name again.
 */
export class Tenants {
  readonly #auth: Pick<Auth, 'stillValid'>
  readonly #apps = new Map<AppId, { writing: number; closing: Promise<unknown> | undefined }>()
  readonly #idle = new Map<AppId, () => void>()

  constructor(auth: Pick<Auth, 'stillValid'>) {
    this.#auth = auth
  }

  /**
   * Write into an app, on behalf of a key.
   * @throws Refused: the key is nobody's by the time it may write.
   */
  async write<T>(app: AppId, key: KeyRecord, run: () => Promise<T>): Promise<T> {
    let entry = this.#apps.get(app)
    while (entry?.closing !== undefined) {
      await entry.closing
      entry = this.#apps.get(app)
    }
    if (!this.#auth.stillValid(key)) throw new Refused('unauthorized')
    if (entry === undefined) {
      entry = { writing: 0, closing: undefined }
      this.#apps.set(app, entry)
    }
    entry.writing++
    try {
      return await run()
    } finally {
      entry.writing--
      if (entry.writing === 0) {
        this.#idle.get(app)?.()
        if (entry.closing === undefined) this.#apps.delete(app)
      }
    }
  }

  /** While nobody writes into it. Not for one app twice at once. */
  async close<T>(app: AppId, run: () => Promise<T>): Promise<T> {
    const entry = this.#apps.get(app) ?? { writing: 0, closing: undefined }
    this.#apps.set(app, entry)
    const closing = (async () => {
      if (entry.writing > 0) await new Promise<void>((idle) => this.#idle.set(app, idle))
      this.#idle.delete(app)
      return run()
    })()
    const over = closing.then(
      () => {},
      () => {},
    )
    entry.closing = over
    try {
      return await closing
    } finally {
      entry.closing = undefined
      this.#apps.delete(app)
    }
  }
}
