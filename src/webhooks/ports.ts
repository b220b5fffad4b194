import type { Clock, Events, KeptEvent, Limits, Names, Shelf } from '../contract/index.ts'
import type { HeldBytes } from './held-bytes.ts'
import type { Sender } from './sender.ts'
import type { Slots } from './slots.ts'

/** What pushing is made of; the same for every webhook. */
export interface PushPorts {
  readonly events: Pick<Events, 'read' | 'latest' | 'find'>
  readonly names: Pick<Names, 'device'>
  readonly shelf: Shelf
  readonly clock: Clock
  readonly limits: Limits
  /** 0 to 1, for jitter. */
  random(): number
  /** An event as receivers get it: JSON on one line. */
  eventJson(event: KeptEvent): string
  /** What an operator should hear of. A name that ends in `failed` or `lost` is a warning. */
  log(event: string, fields: object): void
  readonly sender: Sender
  readonly slots: Slots
  readonly held: HeldBytes
  readonly totals: Totals
}

/** Counted over all webhooks, since the start. */
export interface Totals {
  deliveries: number
  events: number
  failures: number
  deadLetters: number
}
