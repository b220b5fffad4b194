import type { Epoch, EpochSpan, Head, Offset, Position } from '../contract/index.ts'

/**
 * Where delivery starts, from what the store and the device know.
 *
 *     stored cursor        device           start
 *        4                  none              4     fresh
 *        4                  known, 9          9     resumed: 5 to 9 are acknowledged by this
 *        9                  known, 4          9     resumed: what has ended does not come again
 *        4                  unknown           4     tail-lost: repeats possible, known by id
 *
 * Source: rules 13, 14.
 */
export function resume(
  head: Head,
  claimed: Position | undefined,
): { readonly resumed: 'resumed' | 'fresh' | 'tail-lost'; readonly start: Offset } {
  if (claimed === undefined) return { resumed: 'fresh', start: head.cursor }
  if (!isKnown(head.epochs, head.top, claimed)) return { resumed: 'tail-lost', start: head.cursor }
  return { resumed: 'resumed', start: Math.max(head.cursor, claimed.offset) }
}

/** A position is known if its epoch is listed and its offset not beyond that epoch's last. */
function isKnown(epochs: readonly EpochSpan[], top: Offset, { epoch, offset }: Position): boolean {
  for (let i = epochs.length - 1; i >= 0; i--) {
    const span = epochs[i]!
    if (span.epoch !== epoch) continue
    return offset <= (i === epochs.length - 1 ? top : span.last)
  }
  return false
}

/** The epoch in which coming appends are numbered; 0 where there is none yet. */
export const currentEpoch = (head: Head): Epoch => head.epochs.at(-1)?.epoch ?? 0
