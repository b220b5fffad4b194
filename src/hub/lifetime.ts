/** After its time no more commands are written, and those on their way have so long to be acknowledged. */
export const lastWordsMs = 1_000
/** Over how long one that was sent away for its age comes back: nobody else goes with it. */
export const agedSpreadMs = 1_000

/** How old it may be, as a share of the lifetime: a tenth more or less. */
const [youngest, oldest] = [0.9, 1.1]

/**
 * When a connection that began then has lasted long enough. Spread by when it began, so that those
 * who came together do not go together; nothing need be kept for it. Source: Zuul.
 *
 * @param lifetimeMs 0: it may last for ever.
 */
export function lifeEndsMs(beganMs: number, lifetimeMs: number): number {
  if (lifetimeMs === 0) return Number.POSITIVE_INFINITY
  // Knuth's multiplicative hash: neighbours in time lie far from each other.
  const share = (Math.imul((beganMs % 2 ** 32) | 0, 0x9e3779b1) >>> 0) / 2 ** 32
  return beganMs + Math.round(lifetimeMs * (youngest + share * (oldest - youngest)))
}
