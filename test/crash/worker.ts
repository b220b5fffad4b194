import type { Random } from '../support/random.ts'
import { sleep } from './load.ts'

/** Does one thing after another, at its own pace, until it is stopped. */
export class Worker {
  readonly #pauseMs: readonly [min: number, max: number]
  readonly #random: Random
  readonly #step: () => Promise<void>
  #running = false
  #loop: Promise<void> = Promise.resolve()

  constructor(
    pauseMs: readonly [min: number, max: number],
    random: Random,
    step: () => Promise<void>,
  ) {
    this.#pauseMs = pauseMs
    this.#random = random
    this.#step = step
  }

  get isRunning(): boolean {
    return this.#running
  }

  /** Does nothing while it runs. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#loop = this.#go()
  }

  /** Resolves when the step under way is done. */
  async stop(): Promise<void> {
    this.#running = false
    await this.#loop
  }

  async #go(): Promise<void> {
    while (this.#running) {
      await sleep(this.#random.int(this.#pauseMs[0], this.#pauseMs[1]))
      if (this.#running) await this.#step()
    }
  }
}
