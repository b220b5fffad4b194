import type { Channel } from './channel.ts'
import type { Entry } from './command-record.ts'
import type { OpenList } from './open-list.ts'

/**
 * Payload bytes held of channels the hub holds open, over all of them; beyond it payloads are read
 * from the store when they are sent.
 */
export const payloadCacheMaxBytes = 32 * 1_048_576
/**
 * Channels that nobody holds open and whose open commands are in memory all the same, and how many
 * commands these have together; beyond either the longest unused goes.
 */
const idleMaxChannels = 10_000
const idleMaxCommands = 50_000

/**
 * Whose open commands are in memory.
 *
 *     in the store only ──hold──▶ idle ──attach──▶ attached, with payloads
 *            ▲                     │  ▲                │
 *            └───────trim──────────┘  └────release─────┘
 */
export class Held {
  readonly #idle = new Set<Channel>()
  #idleCommands = 0
  #cachedBytes = 0

  get cachedBytes(): number {
    return this.#cachedBytes
  }

  /** All its open commands are in this list. */
  hold(channel: Channel, open: OpenList): void {
    channel.live = { open, attached: false, reads: 0, wanted: 0 }
    this.#idle.add(channel)
    this.#idleCommands += open.size
    this.trim(channel)
  }

  /** It is used: others go before it. */
  touch(channel: Channel): void {
    if (channel.live!.attached || this.#idle.size <= 1) return
    this.#idle.delete(channel)
    this.#idle.add(channel)
  }

  attach(channel: Channel): void {
    const live = channel.live!
    if (live.attached) return
    live.attached = true
    if (this.#idle.delete(channel)) this.#idleCommands -= live.open.size
  }

  release(channel: Channel): void {
    const { live } = channel
    if (live === undefined || !live.attached) return
    live.attached = false
    live.open.scan(0, (entry) => {
      this.forgetPayload(entry)
      return true
    })
    this.#idle.add(channel)
    this.#idleCommands += live.open.size
    this.trim()
  }

  /** A new open command, the newest of its channel. Its payload is held where it is worth it. */
  push(channel: Channel, entry: Entry): void {
    const { live } = channel
    if (live === undefined) return
    live.open.push(entry)
    if (!live.attached) this.#idleCommands += 1
    if (!live.attached || this.#cachedBytes + entry.bytes > payloadCacheMaxBytes) {
      entry.payload = undefined
    } else this.#cachedBytes += entry.bytes
  }

  /** It has ended. */
  remove(channel: Channel, entry: Entry): void {
    this.forgetPayload(entry)
    channel.live!.open.remove(entry.offset)
    if (!channel.live!.attached) this.#idleCommands -= 1
  }

  /** It was read ahead of its time. */
  keepPayload(channel: Channel, entry: Entry, payload: Uint8Array): void {
    const { live } = channel
    if (live?.attached !== true || live.open.get(entry.offset) !== entry) return
    if (entry.payload !== undefined || entry.bytes === 0) return
    if (this.#cachedBytes + entry.bytes > payloadCacheMaxBytes) return
    entry.payload = payload
    this.#cachedBytes += entry.bytes
  }

  forgetPayload(entry: Entry): void {
    if (entry.payload === undefined) return
    entry.payload = undefined
    this.#cachedBytes -= entry.bytes
  }

  /** Let go of what is too much, `keep` excepted. */
  trim(keep?: Channel): void {
    for (const channel of this.#idle) {
      if (this.#idleCommands <= idleMaxCommands && this.#idle.size <= idleMaxChannels) return
      if (channel === keep) continue
      this.#idle.delete(channel)
      this.#idleCommands -= channel.live!.open.size
      channel.live = undefined
    }
  }

  clear(): void {
    this.#idle.clear()
    this.#idleCommands = 0
    this.#cachedBytes = 0
  }
}
