import type { Broadcasts } from './broadcast.ts'
import type { Bus } from './bus.ts'
import type { Directory } from './directory.ts'
import type { Events } from './events.ts'
import type { NodeId } from './ids.ts'
import type { Mailbox } from './mailbox.ts'
import type { Names } from './names.ts'
import type { Shelf } from './shelf.ts'

/** Where mailboxes, events, names and routes live. */
export interface Engine {
  readonly name: string
  /** What a resolved promise survives: nothing, the end of the process, the loss of power. */
  readonly durability: 'nothing' | 'process' | 'power'
  readonly node: NodeId
  readonly mailbox: Mailbox
  readonly events: Events
  readonly names: Names
  readonly broadcasts: Broadcasts
  readonly shelf: Shelf
  readonly directory: Directory
  readonly bus: Bus
  /** `full`: no space; `down`: cannot be written. It comes back by itself. */
  readonly state: EngineState
  /**
   * Called on every change of state. On leaving `ready` all live state built on what was not yet
   * durable is void: the hub closes its sessions and loads afresh.
   */
  onState(changed: (state: EngineState, detail: string) => void): void
  /** Everything settled so far is durable when it resolves. */
  flushed(): Promise<void>
  /**
   * Everything durable as of one moment, as a stream of bytes that a restore takes; goes on while
   * the store is in use. Absent where there is nothing to restore from.
   * @throws StoreUnavailable, as a rejection of the first step
   */
  backup?(): AsyncIterable<Uint8Array>
  /** Writes the clean mark last; `rules.md` 13. */
  close(): Promise<void>
  /** For /metrics: names in snake case with their unit, e.g. `commits_total`. */
  figures(): Readonly<Record<string, number>>
}

export type EngineState = 'ready' | 'full' | 'down' | 'closed'

/** Thrown where a change cannot be kept and the caller must stop; expected outcomes are values. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
  readonly full: boolean

  constructor(full: boolean, options?: ErrorOptions) {
    super(full ? 'the store has no space left' : 'the store cannot be written', options)
    this.full = full
  }
}

/** Thrown by opening a store; `advice` says what to do. */
export class StoreCannotOpen extends Error {
  override readonly name = 'StoreCannotOpen'
  readonly advice: string

  constructor(message: string, advice: string, options?: ErrorOptions) {
    super(message, options)
    this.advice = advice
  }
}
