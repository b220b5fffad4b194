import type { EventId } from '../contract/index.ts'

/** A place in the log of an app: behind the event of this id. */
export interface Place {
  readonly id: EventId
  /** Grows with every event of the app, whatever the epoch; ids alone cannot be compared. */
  readonly sequence: number
}

export const placeOf = (id: EventId): Place => ({ id, sequence: sequenceOf(id) })

export const sequenceOf = (id: EventId): number =>
  Number.parseInt(id.slice(id.indexOf('-') + 1), 36)

export const later = (a: Place, b: Place): Place => (a.sequence >= b.sequence ? a : b)

/** An event id with its halves changed over, so that records on the shelf lie in order of the log. */
export const shelfName = (id: EventId): string => {
  const dash = id.indexOf('-')
  return `${id.slice(dash + 1)}~${id.slice(0, dash)}`
}
