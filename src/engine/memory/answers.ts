import type { AppId, Clock, Limits } from '../../contract/index.ts'
import type { MemoryDisk } from './disk.ts'

interface Asked {
  readonly key: string
  readonly hash: string
}

/** What was answered to a key: the same again, or that it was used for something else (rule 28). */
export class Answers {
  readonly #disk: MemoryDisk
  readonly #clock: Clock
  readonly #limits: Limits

  constructor(disk: MemoryDisk, clock: Clock, limits: Limits) {
    this.#disk = disk
    this.#clock = clock
    this.#limits = limits
  }

  /** `kind`: what is asked for now. */
  find(
    app: AppId,
    asked: Asked | undefined,
    kind: 'command' | 'broadcast',
  ): { kind: 'repeat' | 'conflict'; id: string } | undefined {
    const earlier = asked && this.#disk.answers.get(`${app}/${asked.key}`)
    if (earlier === undefined) return undefined
    if (this.#clock.nowMs() >= earlier.atMs + this.#limits.idempotencyMs) return undefined
    // Ids of commands have colons, no identifier has.
    const same = earlier.hash === asked?.hash && earlier.id.includes(':') === (kind === 'command')
    return { kind: same ? 'repeat' : 'conflict', id: earlier.id }
  }

  /** Part of a commit. */
  keep(app: AppId, asked: Asked | undefined, id: string): void {
    if (asked === undefined) return
    const { key, hash } = asked
    this.#disk.answers.set(`${app}/${key}`, { hash, id, atMs: this.#clock.nowMs() })
  }
}
