import { TimeQueue } from '../support/time-queue.ts'
import { Chance } from './chance.ts'
import type { Ending, Kind, Policy, Range } from './policies.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** After these it is looked how far a device has come. */
export const beatsToSettle = 15

export interface Weather {
  readonly devices: number
  readonly days: number
  readonly seed: number
  readonly range: Range
}

/** What became of one device's first network, and of it altogether. */
export interface Outcome {
  /** The longest that works, ms. */
  readonly bestMs: number
  /** At the fifteenth beat; undefined: it never got so far in its first network. */
  readonly afterMs: number | undefined
  /** Connections that the NAT forgot until then. */
  readonly earlyDrops: number
  /** Beats until what it beats at is within a fifth of the best, and stays so; undefined: never. */
  readonly settledAfter: number | undefined
  /** In the second half of the run. */
  readonly late: {
    readonly days: number
    readonly drops: number
    readonly wakeUps: number
    /** How long it could not be reached since the NAT had forgotten it. */
    readonly deafMs: number
    readonly meanMs: number
  }
}

/** One carrier or one quarter of town: how long the NATs in it remember a silent connection. */
interface Network {
  /** All alike, as behind a carrier's; undefined: each home its own. */
  readonly natMs: number | undefined
}

/**
 * Devices behind NATs in virtual time.
 *
 *     NATs           forget after 60 s to 30 min, evenly on a scale of ratios; three in five networks
 *                    have one for all (a carrier's), in the others each device has its own (homes)
 *     devices        come to life within the first day; some talk every two minutes, some once a day
 *     back ends      send a command to each every few hours
 *     misfortune     power cuts, moves between two networks, outages of a minute, server restarts
 *
 * The same seed makes the same world for every policy.
 */
export function simulate(kind: Kind, weather: Weather): Outcome[] {
  const chance = new Chance(weather.seed)
  const networks: Network[] = Array.from(
    { length: Math.ceil(Math.max(20, weather.devices / 50)) },
    () => ({
      natMs: chance.next() < 0.6 ? chance.scaled(60 * second, 30 * minute) : undefined,
    }),
  )
  const restarts: number[] = []
  for (let atMs = chance.wait(2 * day); atMs < weather.days * day; atMs += chance.wait(2 * day)) {
    restarts.push(atMs)
  }
  const devices = Array.from(
    { length: weather.devices },
    (_, i) => new Device(kind, weather, networks, restarts, i),
  )
  const queue = new TimeQueue<Device>()
  for (const device of devices) queue.add(device.nextAtMs, device)
  for (;;) {
    const device = queue.take()?.what
    if (device === undefined || device.nextAtMs >= weather.days * day) break
    device.step()
    queue.add(device.nextAtMs, device)
  }
  return devices.map((device) => device.outcome())
}

/** What happens next to a device that is connected. */
type Happening = 'beat' | 'data' | 'down' | 'reboot' | 'move' | 'restart'

class Device {
  nextAtMs: number
  readonly #policy: Policy
  readonly #range: Range
  readonly #halfMs: number
  readonly #endMs: number
  readonly #restarts: readonly number[]
  readonly #chance: Chance
  readonly #beats: Chance
  readonly #dataEveryMs: number
  readonly #natMs: readonly [number, number]
  readonly #ids: readonly [number, number]
  #here: 0 | 1 = 0
  #connected = false
  #intervalMs = 0
  #spokeAtMs = 0
  #activeAtMs = 0
  #dataAtMs: number
  #downAtMs: number
  #rebootAtMs: number
  #moveAtMs: number
  #restart = 0
  /** Since when the NAT has forgotten it, though it does not know. */
  #deafFromMs: number | undefined
  // What is counted.
  #beatCount = 0
  #isFirst = true
  #afterMs: number | undefined
  #earlyDrops = 0
  readonly #within: boolean[] = []
  #lateDrops = 0
  #lateWakeUps = 0
  #lateDeafMs = 0
  #lateIntervalMs = 0
  #lateBeats = 0

  constructor(
    kind: Kind,
    { seed, range, days }: Weather,
    networks: readonly Network[],
    restarts: readonly number[],
    index: number,
  ) {
    const chance = new Chance(seed * 7_919 + index * 104_729 + 1)
    this.#chance = chance
    this.#beats = new Chance(seed * 31 + index * 15_485_863 + 7)
    this.#range = range
    this.#halfMs = (days * day) / 2
    this.#endMs = days * day
    this.#restarts = restarts
    const pick = (): number => Math.floor(chance.next() * networks.length)
    this.#ids = [pick(), pick()]
    const nat = (id: number): number => {
      const own = chance.scaled(60 * second, 30 * minute)
      return networks[id]!.natMs ?? own
    }
    const first = nat(this.#ids[0])
    this.#natMs = [first, this.#ids[0] === this.#ids[1] ? first : nat(this.#ids[1])]
    this.#dataEveryMs = chance.scaled(2 * minute, day)
    this.nextAtMs = chance.between(0, day)
    this.#dataAtMs = this.nextAtMs + chance.wait(this.#dataEveryMs)
    this.#downAtMs = this.nextAtMs + chance.wait(4 * hour)
    this.#rebootAtMs = this.nextAtMs + chance.wait(4 * day)
    this.#moveAtMs = this.nextAtMs + chance.wait(4 * day)
    while ((restarts[this.#restart] ?? this.#endMs) < this.nextAtMs) this.#restart++
    this.#policy = kind.make(range)
  }

  get #bestMs(): number {
    // A beat that comes just as the NAT forgets is too late.
    const { minMs, maxMs } = this.#range
    return Math.min(maxMs, Math.max(minMs, this.#natMs[this.#here] - second))
  }

  step(): void {
    if (!this.#connected) this.#connect()
    else {
      const [what, atMs] = this.#next()
      this.#happen(what, atMs)
    }
    if (this.#connected) this.nextAtMs = this.#next()[1]
  }

  outcome(): Outcome {
    const last = this.#within.lastIndexOf(false)
    const settledAfter = last === this.#within.length - 1 ? undefined : last + 2
    const days = (this.#endMs - this.#halfMs) / day
    this.#here = 0
    return {
      bestMs: this.#bestMs,
      afterMs: this.#afterMs,
      earlyDrops: this.#earlyDrops,
      settledAfter,
      late: {
        days,
        drops: this.#lateDrops,
        wakeUps: this.#lateWakeUps,
        deafMs: this.#lateDeafMs,
        meanMs: this.#lateBeats === 0 ? 0 : this.#lateIntervalMs / this.#lateBeats,
      },
    }
  }

  #connect(): void {
    const nowMs = this.nextAtMs
    this.#heardAgain(nowMs)
    this.#connected = true
    this.#intervalMs = this.#policy.attach(nowMs, this.#ids[this.#here])
    this.#spokeAtMs = nowMs
    this.#activeAtMs = nowMs
    this.#awake(nowMs)
  }

  #next(): [Happening, number] {
    let what: Happening = 'beat'
    let atMs = this.#spokeAtMs + this.#intervalMs
    const sooner = (other: Happening, otherMs: number): void => {
      if (otherMs < atMs) [what, atMs] = [other, otherMs]
    }
    sooner('data', Math.max(this.#spokeAtMs, this.#dataAtMs))
    sooner('down', Math.max(this.#spokeAtMs, this.#downAtMs))
    sooner('reboot', Math.max(this.#spokeAtMs, this.#rebootAtMs))
    sooner('move', Math.max(this.#spokeAtMs, this.#moveAtMs))
    sooner('restart', Math.max(this.#spokeAtMs, this.#restarts[this.#restart] ?? this.#endMs))
    return [what, atMs]
  }

  #happen(what: Happening, atMs: number): void {
    const chance = this.#chance
    switch (what) {
      case 'beat':
      case 'data':
        if (what === 'data') this.#dataAtMs = atMs + chance.wait(this.#dataEveryMs)
        this.#say(what, atMs)
        return
      case 'down':
        this.#downAtMs = atMs + chance.wait(4 * hour)
        if (this.#forgotten(atMs)) {
          this.#deafFromMs ??= this.#activeAtMs + this.#natMs[this.#here]
          // Its acknowledgement is missed; the device knows of nothing.
          return
        }
        this.#alive(atMs)
        this.#policy.data(atMs)
        return
      case 'reboot':
        this.#rebootAtMs = atMs + chance.wait(4 * day)
        // Some shut down as they should, most just lose their power.
        this.#end(atMs, 'reboot', chance.next() < 0.3, chance.between(20, 90) * second)
        return
      case 'move':
        this.#moveAtMs = atMs + chance.wait(4 * day)
        this.#isFirst = false
        this.#here = this.#here === 0 ? 1 : 0
        this.#end(atMs, 'moved', false, chance.between(2, 10) * second)
        return
      case 'restart':
        this.#restart++
        this.#end(atMs, 'server', true, chance.between(0, 30) * second)
        return
    }
  }

  #say(what: 'beat' | 'data', atMs: number): void {
    const forgotten = this.#forgotten(atMs)
    const outage = this.#beats.next() < 0.001
    if (what === 'beat') this.#beatCount++
    if (forgotten) {
      this.#deafFromMs ??= this.#activeAtMs + this.#natMs[this.#here]
      if (this.#isFirst && this.#beatCount <= beatsToSettle) this.#earlyDrops++
      if (atMs > this.#halfMs) this.#lateDrops++
    }
    this.#awake(atMs)
    if (forgotten || outage) {
      const answerMs = what === 'beat' ? 10 * second : 20 * second
      const outMs = outage && !forgotten ? this.#beats.between(0, 2) * minute : 0
      const backMs = Math.max(answerMs, outMs) + this.#beats.between(0.1, 1.5) * second
      this.#end(atMs, what === 'beat' ? 'beat-unanswered' : 'unanswered', false, backMs)
    } else {
      this.#alive(atMs)
      if (what === 'beat') this.#intervalMs = this.#policy.beat(atMs)
      else this.#policy.data(atMs)
    }
    if (what === 'beat') this.#look(atMs)
  }

  #look(atMs: number): void {
    if (atMs > this.#halfMs) {
      this.#lateIntervalMs += this.#intervalMs
      this.#lateBeats++
    }
    if (!this.#isFirst || this.#within.length >= 200) return
    const off = Math.abs(this.#intervalMs - this.#bestMs) / this.#bestMs
    this.#within.push(off <= 0.2)
    if (this.#beatCount === beatsToSettle) this.#afterMs = this.#intervalMs
  }

  #forgotten(atMs: number): boolean {
    // NATs look through their tables now and then, not all the time.
    const natMs = this.#natMs[this.#here] * this.#beats.between(1, 1.02)
    return this.#deafFromMs !== undefined || atMs - this.#activeAtMs > natMs
  }

  #alive(atMs: number): void {
    this.#spokeAtMs = atMs
    this.#activeAtMs = atMs
  }

  #heardAgain(nowMs: number): void {
    if (this.#deafFromMs === undefined) return
    if (nowMs > this.#halfMs) this.#lateDeafMs += nowMs - this.#deafFromMs
    this.#deafFromMs = undefined
  }

  #awake(atMs: number): void {
    if (atMs > this.#halfMs) this.#lateWakeUps++
  }

  #end(atMs: number, how: Ending, told: boolean, backInMs: number): void {
    this.#policy.ended(atMs, how, told)
    this.#connected = false
    this.nextAtMs = atMs + backInMs
  }
}
