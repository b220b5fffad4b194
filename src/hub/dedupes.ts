import { Dedupe } from '../channel/index.ts'
import type { ChannelId, Mailbox } from '../contract/index.ts'
import type { InOrder } from './in-order.ts'

/** What is known of the uplinks of one channel, by all who bring some at this moment. */
export class SharedDedupe {
  readonly channel: ChannelId
  /** Set once it is loaded. */
  dedupe: Dedupe | undefined
  /** While it is being loaded; rejects where the store cannot be read. */
  loading: Promise<void> | undefined
  /** The store has lost what this says: whatever it judged is not kept. */
  isVoid = false
  users = 0

  constructor(channel: ChannelId) {
    this.channel = channel
  }
}

/**
 * The dedupes in use, one a channel.
 *
 *     attachment, numbering ─╮
 *     intake, stamped ───────┼─▶ hold ─▶ one Dedupe ─▶ judged and kept in the same step
 *     intake, stamped ───────╯            ▲
 *                                         ╰─ the mailbox, behind all that was settled before
 *
 * Two of them for one channel would each keep a state that knows nothing of the other's uplinks.
 * Nobody needs one: it is let go, and what it knows is in the mailbox, which is where the next begins.
 */
export class Dedupes {
  readonly #mailbox: Mailbox
  readonly #shared = new Map<ChannelId, SharedDedupe>()
  #losses = 0

  constructor(mailbox: Mailbox) {
    this.#mailbox = mailbox
  }

  get size(): number {
    return this.#shared.size
  }

  /** How often the store has lost something: what was read of it before may be untrue. */
  get losses(): number {
    return this.#losses
  }

  /** To be let go of, once each. Whoever finds it `loading` must wait for that. */
  hold(channel: ChannelId): SharedDedupe {
    let shared = this.#shared.get(channel)
    if (shared === undefined) {
      shared = new SharedDedupe(channel)
      this.#shared.set(channel, shared)
      this.#load(shared)
    }
    shared.users++
    return shared
  }

  /**
   * With the dedupe of a channel in hand, at once or in the order of the calls; `held` must let go
   * of it. `failed`: the store cannot be read.
   */
  use(
    channel: ChannelId,
    order: InOrder,
    held: (shared: SharedDedupe, dedupe: Dedupe) => void,
    failed: () => void,
  ): void {
    const shared = this.hold(channel)
    const go = (): void => {
      if (!shared.isVoid && shared.dedupe !== undefined) {
        held(shared, shared.dedupe)
        return
      }
      this.letGo(shared)
      failed()
    }
    if (shared.loading === undefined) go()
    else order.until(shared.loading, go, go)
  }

  /** The batch of what it judged is answered. */
  settled(shared: SharedDedupe | undefined, outcome: 'kept' | 'unavailable'): void {
    if (shared === undefined) return
    if (outcome !== 'kept') this.void(shared)
    this.letGo(shared)
  }

  letGo(shared: SharedDedupe): void {
    shared.users--
    if (shared.users === 0 && this.#shared.get(shared.channel) === shared) {
      this.#shared.delete(shared.channel)
    }
  }

  /** What it has judged was not kept: the next one begins at what is. */
  void(shared: SharedDedupe): void {
    shared.isVoid = true
    if (this.#shared.get(shared.channel) === shared) this.#shared.delete(shared.channel)
  }

  /** The store has lost something; nobody knows of which. */
  voidAll(): void {
    this.#losses++
    for (const shared of this.#shared.values()) shared.isVoid = true
    this.#shared.clear()
  }

  #load(shared: SharedDedupe): void {
    const kept = this.#mailbox.uplinks(shared.channel)
    if (!(kept instanceof Promise)) {
      shared.dedupe = new Dedupe(kept)
      return
    }
    shared.loading = kept.then(
      (text) => {
        shared.dedupe = new Dedupe(text)
        shared.loading = undefined
      },
      (error: unknown) => {
        this.void(shared)
        throw error
      },
    )
  }
}
