/** What a gateway holds at one moment, its garbage collected. */
export interface Held {
  readonly atMs: number
  readonly heapBytes: number
  readonly rssBytes: number
  /** Open files but connections that have a peer and files of the store, whose number follows its size up to a bound. */
  readonly descriptors: number
  readonly storeFiles: number
}

const hourMs = 3_600_000

/** By least squares, a unit an hour. @returns NaN for fewer than two. */
export function slopePerHour(points: readonly { atMs: number; value: number }[]): number {
  const count = points.length
  const mean = (of: (point: { atMs: number; value: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / count
  const atMs = mean((point) => point.atMs)
  const value = mean((point) => point.value)
  let along = 0
  let square = 0
  for (const point of points) {
    along += (point.atMs - atMs) * (point.value - value)
    square += (point.atMs - atMs) ** 2
  }
  return (along / square) * hourMs
}

/** The first third is for what fills once: caches, rings, code. */
export const settled = <T>(all: readonly T[]): readonly T[] => all.slice(Math.ceil(all.length / 3))
