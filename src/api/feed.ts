import type { AppId, Clock, Events } from '../contract/index.ts'

/**
 * Tells readers that their app's log has grown; they read it themselves. One listener on the log,
 * however many readers.
 *
 * Ask for `version` before reading: when it has moved since, `changed` answers at once, so that
 * nothing falls between reading and waiting.
 */
export class Feed {
  readonly #clock: Clock
  readonly #apps = new Map<AppId, { version: number; readonly wake: Set<() => void> }>()
  readonly #stop: () => void

  constructor(events: Pick<Events, 'listen'>, clock: Clock) {
    this.#clock = clock
    this.#stop = events.listen((heard) => {
      if (this.#apps.size === 0) return
      let last: AppId | undefined
      for (const { app } of heard) {
        if (app === last) continue
        last = app
        const entry = this.#apps.get(app)
        if (entry === undefined) continue
        entry.version++
        for (const wake of [...entry.wake]) wake()
      }
    })
  }

  version(app: AppId): number {
    return this.#entry(app).version
  }

  /** Call `wake` whenever the log has grown. @returns stops. */
  listen(app: AppId, wake: () => void): () => void {
    const { wake: all } = this.#entry(app)
    all.add(wake)
    return () => all.delete(wake)
  }

  /**
   * Resolves when the log has grown since `version`, at `untilMs`, or when `released` hands its
   * caller's argument the means and that is called.
   */
  changed(
    app: AppId,
    version: number,
    untilMs: number,
    released: (release: () => void) => () => void,
  ): Promise<void> {
    const entry = this.#entry(app)
    if (entry.version !== version) return Promise.resolve()
    return new Promise((resolve) => {
      let ended = false
      const end = () => {
        if (ended) return
        ended = true
        stop()
        timer.cancel()
        forget?.()
        resolve()
      }
      const stop = this.listen(app, end)
      const timer = this.#clock.at(untilMs, 'long poll', end)
      const forget = released(end)
      if (ended) forget()
    })
  }

  close(): void {
    this.#stop()
  }

  /** Apps are those of keys that exist, so they are few. */
  #entry(app: AppId) {
    let entry = this.#apps.get(app)
    if (entry === undefined) {
      entry = { version: 0, wake: new Set() }
      this.#apps.set(app, entry)
    }
    return entry
  }
}
