import { type Place, placeOf } from './place.ts'

/** How far a webhook has come. */
export interface Progress {
  /** Where every lane is that is not among `lanes`. */
  readonly at: Place
  /** The least of all. */
  readonly least: Place
  readonly laneCount: number
  readonly lanes: ReadonlyMap<
    number,
    {
      readonly at: Place
      /** It has failed for so long; only time in which we ran counts. */
      readonly failingMs: number | undefined
    }
  >
}

/** What is kept of a webhook beside its record: how far it has come, and what it has done. */
export interface Kept {
  readonly progress: Progress
  /** When the webhook was made: one of the same name made later starts afresh. */
  readonly createdAtMs: number
  readonly delivered: number
  readonly failedAttempts: number
}

export const startingAt = (at: Place, laneCount: number): Progress => ({
  at,
  least: at,
  laneCount,
  lanes: new Map(),
})

export function encodeKept({ progress, ...kept }: Kept): string {
  const { at, laneCount, lanes } = progress
  return JSON.stringify({
    ...kept,
    at: at.id,
    laneCount,
    lanes: [...lanes].map(([index, lane]) => [index, lane.at.id, lane.failingMs ?? -1]),
  })
}

/** @returns undefined for what nobody can have written, as after damage: then nothing is known. */
export function decodeKept(text: string): Kept | undefined {
  try {
    const { at, laneCount, lanes, ...kept } = JSON.parse(text) as {
      at: string
      laneCount: number
      lanes: [number, string, number][]
      createdAtMs: number
      delivered: number
      failedAttempts: number
    }
    const own = new Map(
      lanes.map(([index, id, failingMs]) => [
        index,
        { at: placeOf(id), failingMs: failingMs < 0 ? undefined : failingMs },
      ]),
    )
    const places = [...own.values()].map((lane) => lane.at)
    const least = places.reduce((a, b) => (a.sequence <= b.sequence ? a : b), placeOf(at))
    return { ...kept, progress: { at: placeOf(at), least, laneCount, lanes: own } }
  } catch {
    return undefined
  }
}
