/**
 * A parcel locker: doors with sensors. Pure; time comes in as an argument, effects go out.
 *
 *               open: unlock             the sensor sees it move
 *     closed ───────────────▶ unlocking ─────────────────────────▶ open ──▶ reply done, door-opened
 *       ▲                         │ jammed: nothing moves in time    │
 *       │                         ▼                                  │ pushed shut
 *       ├──────────────────────── reply failed (jammed)              ▼
 *       └──────────────────────────────────────────────────────── door-closed
 *
 * Refused before anything moves (rejected): out of service, unknown door, a payload that names none,
 * an unknown command, a deadline that has passed. A command met again, by its id, moves nothing
 * and gets the same answer.
 */
export interface DoorSettings {
  /** It unlocks, and does not move. */
  readonly jammed?: boolean
  readonly outOfService?: boolean
}

export interface LockerOptions {
  /** How many, numbered from 1. */
  readonly doors: number
  /** By number. */
  readonly settings?: Readonly<Record<number, DoorSettings>>
  /** From unlocking until the sensor sees the door move. 0: at once. */
  readonly moveMs?: number
  /** From unlocking until a door that did not move counts as jammed. */
  readonly jamMs?: number
  /** Somebody pushes it shut this long after it opened; absent: only `close` does. */
  readonly closeAfterMs?: number
}

/** Commands whose answers are remembered. An older one met again would open its door again. */
export const rememberedMax = 1_024
export const doorsMax = 10_000

export interface LockerCommand {
  readonly id: string
  readonly name: string
  /** As JSON; undefined when it was none. */
  readonly payload: unknown
  readonly expiresAtMs: number
}

export type LockerReply =
  | {
      readonly status: 'done'
      readonly payload: {
        readonly door: number
        readonly openedAt: string
        /** Nothing had to move. */
        readonly wasOpen?: true
      }
    }
  | { readonly status: 'failed'; readonly reason: 'jammed'; readonly payload: { door: number } }
  | { readonly status: 'rejected'; readonly reason: Refusal }

export type Refusal = 'late' | 'unknown-command' | 'bad-payload' | 'unknown-door' | 'out-of-service'

export type LockerEffect =
  | { readonly kind: 'reply'; readonly id: string; readonly reply: LockerReply }
  | {
      readonly kind: 'event'
      readonly name: 'door-opened'
      readonly payload: { readonly door: number; readonly at: string; readonly command: string }
    }
  | {
      readonly kind: 'event'
      readonly name: 'door-closed'
      readonly payload: { readonly door: number; readonly at: string; readonly openMs: number }
    }

export type DoorState = 'closed' | 'unlocking' | 'open'

interface Door {
  readonly number: number
  state: DoorState
  settings: DoorSettings
  /** When it moves, counts as jammed, or is pushed shut; Infinity: nothing will happen. */
  dueMs: number
  /** Decided when it unlocks. */
  stuck: boolean
  openedAtMs: number
  /** Commands that wait for this door to move; the first one set it moving. */
  waiting: string[]
}

const never = Number.POSITIVE_INFINITY

export class Locker {
  readonly #doors: Door[]
  readonly #moveMs: number
  readonly #jamMs: number
  readonly #closeAfterMs: number
  /** By command id; undefined while its door is moving. Oldest first. */
  readonly #answers = new Map<string, LockerReply | undefined>()
  #effects: LockerEffect[] = []

  /** @throws RangeError for a number of doors no locker has. */
  constructor(options: LockerOptions) {
    const { doors, settings = {}, moveMs = 120, jamMs = 1_500, closeAfterMs = never } = options
    if (!Number.isInteger(doors) || doors < 1 || doors > doorsMax)
      throw new RangeError(`a locker has 1 to ${doorsMax} doors`)
    this.#moveMs = moveMs
    this.#jamMs = jamMs
    this.#closeAfterMs = closeAfterMs
    this.#doors = Array.from({ length: doors }, (_, index) => ({
      number: index + 1,
      state: 'closed',
      settings: settings[index + 1] ?? {},
      dueMs: never,
      stuck: false,
      openedAtMs: 0,
      waiting: [],
    }))
  }

  /** undefined: there is no such door. */
  door(number: number): DoorState | undefined {
    return this.#doors[number - 1]?.state
  }

  /** Somebody repairs a door, or breaks it. What it is doing now it finishes as it began. */
  set(number: number, settings: DoorSettings): void {
    const door = this.#doors[number - 1]
    if (door !== undefined) door.settings = settings
  }

  /** When `tick` must come if nothing else happens. */
  get dueMs(): number {
    let dueMs = never
    for (const door of this.#doors) if (door.dueMs < dueMs) dueMs = door.dueMs
    return dueMs
  }

  command(command: LockerCommand, nowMs: number): readonly LockerEffect[] {
    this.#advance(nowMs)
    this.#take(command, nowMs)
    this.#advance(nowMs)
    return this.#collect()
  }

  /** Somebody pushes a door shut. An unlocking or closed one does not mind. */
  close(number: number, nowMs: number): readonly LockerEffect[] {
    this.#advance(nowMs)
    const door = this.#doors[number - 1]
    if (door?.state === 'open') this.#shut(door, nowMs)
    return this.#collect()
  }

  tick(nowMs: number): readonly LockerEffect[] {
    this.#advance(nowMs)
    return this.#collect()
  }

  #take({ id, name, payload, expiresAtMs }: LockerCommand, nowMs: number) {
    if (this.#answers.has(id)) {
      const answer = this.#answers.get(id)
      // Still moving: it is answered once, when the door has moved.
      if (answer !== undefined) this.#effects.push({ kind: 'reply', id, reply: answer })
      return
    }
    const door = this.#find(name, payload, expiresAtMs, nowMs)
    if (typeof door === 'string') return this.#answer(id, { status: 'rejected', reason: door })
    if (door.state === 'open') {
      const openedAt = new Date(door.openedAtMs).toISOString()
      const answer = { door: door.number, openedAt, wasOpen: true } as const
      this.#answer(id, { status: 'done', payload: answer })
      return
    }
    this.#remember(id, undefined)
    door.waiting.push(id)
    if (door.state === 'unlocking') return
    door.state = 'unlocking'
    door.stuck = door.settings.jammed === true
    door.dueMs = nowMs + (door.stuck ? this.#jamMs : this.#moveMs)
  }

  /** The door to open, or why none will be. */
  #find(name: string, payload: unknown, expiresAtMs: number, nowMs: number): Door | Refusal {
    if (nowMs >= expiresAtMs) return 'late' // rule 2
    if (name !== 'open') return 'unknown-command'
    if (typeof payload !== 'object' || payload === null || !('door' in payload))
      return 'bad-payload'
    const { door: number } = payload
    if (typeof number !== 'number' || !Number.isInteger(number)) return 'bad-payload'
    const door = this.#doors[number - 1]
    if (door === undefined) return 'unknown-door'
    return door.settings.outOfService === true ? 'out-of-service' : door
  }

  /** Let everything happen that was due, in the order of its time. */
  #advance(nowMs: number): void {
    for (;;) {
      let next: Door | undefined
      for (const door of this.#doors)
        if (door.dueMs <= nowMs && (next === undefined || door.dueMs < next.dueMs)) next = door
      if (next === undefined) return
      if (next.state === 'open') this.#shut(next, next.dueMs)
      else if (next.stuck) this.#jam(next)
      else this.#open(next, next.dueMs)
    }
  }

  #open(door: Door, atMs: number): void {
    const { number, waiting } = door
    const openedAt = new Date(atMs).toISOString()
    door.state = 'open'
    door.openedAtMs = atMs
    door.dueMs = atMs + this.#closeAfterMs
    door.waiting = []
    const payload = { door: number, at: openedAt, command: waiting[0] ?? '' }
    this.#effects.push({ kind: 'event', name: 'door-opened', payload })
    for (const id of waiting)
      this.#answer(id, { status: 'done', payload: { door: number, openedAt } })
  }

  #jam(door: Door): void {
    const { number, waiting } = door
    door.state = 'closed'
    door.dueMs = never
    door.waiting = []
    // It acted and failed: the lock did move (rule 7).
    for (const id of waiting)
      this.#answer(id, { status: 'failed', reason: 'jammed', payload: { door: number } })
  }

  #shut(door: Door, atMs: number): void {
    door.state = 'closed'
    door.dueMs = never
    const at = new Date(atMs).toISOString()
    const payload = { door: door.number, at, openMs: Math.round(atMs - door.openedAtMs) }
    this.#effects.push({ kind: 'event', name: 'door-closed', payload })
  }

  #answer(id: string, reply: LockerReply): void {
    this.#remember(id, reply)
    this.#effects.push({ kind: 'reply', id, reply })
  }

  #remember(id: string, reply: LockerReply | undefined): void {
    if (!this.#answers.has(id) && this.#answers.size >= rememberedMax) this.#forget()
    this.#answers.set(id, reply)
  }

  /** The oldest that is answered; one whose door is moving must not be taken for new. */
  #forget(): void {
    for (const [id, reply] of this.#answers)
      if (reply !== undefined) {
        this.#answers.delete(id)
        return
      }
  }

  #collect(): readonly LockerEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }
}
