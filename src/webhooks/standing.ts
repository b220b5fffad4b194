import type { ShelfChange } from '../contract/index.ts'
import { webhookBounds } from './bounds.ts'
import type { Ledger } from './ledger.ts'
import { decodeKept, encodeKept, type Kept } from './progress.ts'

const progressName = 'progress'

/** Where one webhook stands, on the shelf: written soon after it sent something, else at leisure. */
export class Standing {
  readonly #ledger: Ledger
  readonly #createdAtMs: number
  #moved: 'sent' | 'looked' | undefined
  #keptAtMs: number

  constructor(ledger: Ledger, createdAtMs: number, nowMs: number) {
    this.#ledger = ledger
    this.#createdAtMs = createdAtMs
    this.#keptAtMs = nowMs
  }

  /** It has sent something, or given something up. */
  sent(): void {
    this.#moved = 'sent'
  }

  /** It has only looked at what it does not send. */
  looked(): void {
    this.#moved ??= 'looked'
  }

  /** What is kept; what was kept of an earlier one of this name is forgotten. @throws StoreUnavailable */
  async load(): Promise<Kept | undefined> {
    const text = await this.#ledger.read(progressName)
    const kept = text === undefined ? undefined : decodeKept(text)
    if (kept === undefined || kept.createdAtMs === this.#createdAtMs) return kept
    await this.#ledger.erase()
    return undefined
  }

  /** What is to be written now, if anything. */
  changes(
    nowMs: number,
    all: boolean,
    now: () => Omit<Kept, 'createdAtMs'>,
  ): readonly ShelfChange[] {
    const due =
      this.#moved === 'sent' ||
      !this.#ledger.isEmpty ||
      (this.#moved === 'looked' &&
        (all || nowMs - this.#keptAtMs >= webhookBounds.webhookIdleProgressMs))
    if (!due) return []
    this.#moved = undefined
    this.#keptAtMs = nowMs
    const kept = { ...now(), createdAtMs: this.#createdAtMs }
    this.#ledger.put(progressName, encodeKept(kept))
    return this.#ledger.changes()
  }
}
