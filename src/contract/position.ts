/**
 * Place of a command in its mailbox. Ours; from 1, growing, never used twice within an epoch, and
 * with holes: what was canceled, expired or superseded never comes.
 */
export type Offset = number

/** Number a device gives an uplink. Theirs; from 1, growing within its uplink epoch. */
export type Sequence = number

/** Identity of one unbroken numbering: a random integer, 1 to 2^32-1. */
export type Epoch = number

/** Where a device stands in its mailbox: an offset and the epoch in which it was numbered. */
export interface Position {
  readonly epoch: Epoch
  readonly offset: Offset
}

/** How a device numbered an uplink. */
export interface Stamp {
  readonly epoch: Epoch
  readonly sequence: Sequence
}

/** One epoch of a channel and the last offset numbered in it. Oldest first in every list. */
export interface EpochSpan {
  readonly epoch: Epoch
  readonly last: Offset
}

/** Epochs a channel remembers; an older position is unknown. `rules.md` 13. */
export const epochsKept = 16
