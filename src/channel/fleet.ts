/** Each interval of the ladder is at most this much longer than the one before. */
export const ladderStep = 1.25

/** The intervals there are to choose from, 5 s to 35 min, in whole seconds; one of them is a minute. */
const ladderMs: number[] = [60_000]
for (let s = 60; ladderMs.length < 14; ladderMs.unshift(s * 1_000)) s = Math.ceil(s / ladderStep)
for (let s = 60; ladderMs.length < 30; ladderMs.push(s * 1_000)) s = Math.floor(s * ladderStep)
const steps = ladderMs.length

/** The step at or below; the lowest is the least there is. */
function stepOf(ms: number): number {
  let step = 0
  while (step + 1 < steps && ladderMs[step + 1]! <= ms) step++
  return step
}

/** The next longer one, at most a quarter more; below all of them a second at least. */
export function longer(ms: number): number {
  const nextMs = ladderMs.find((one) => one > ms) ?? ms
  const quarterMs = Math.floor((ms * ladderStep) / 1_000) * 1_000
  return Math.min(nextMs, Math.max(quarterMs, ms + 1_000))
}

/** The next shorter one. */
export function shorter(ms: number): number {
  const step = stepOf(ms)
  return (ms > ladderMs[step]! ? ladderMs[step] : ladderMs[step - 1]) ?? 0
}

/** Devices that must have settled in a network before it says anything about the next one. */
const devicesMin = 20
/** Of those that were here, so many found no way on: the next one need not try at once. */
const riskMax = 0.8
/** Above, all counts are halved: what was long ago weighs less. */
const countMax = 1_000

/** Where a device has settled. `limited`: it found that longer does not work; else it may no longer. */
export interface Settled {
  readonly ms: number
  readonly limited: boolean
}

/**
 * What the devices of one network have found out: how long it remembers a silent connection.
 *
 *     step of the ladder        …  181 s  226 s  282 s  352 s …
 *     ended here: longer fails        1      0     24      0
 *     got here, and may no longer     0      0      0      6
 *                                                 ^ 24 of 30 that were here got no further
 *
 * A few devices find the limit, each by one lost connection; those that come later begin where nine
 * in ten hold, and stop where most had to. Pure.
 */
export class Fleet {
  readonly #limited: number[]
  readonly #free: number[]

  /** @param kept what `encode` gave once; anything else is a network nobody knows. */
  constructor(kept = '') {
    const [limited = '', free = ''] = kept.split(';')
    this.#limited = counts(limited)
    this.#free = counts(free)
  }

  /** Devices that have settled in it. */
  get size(): number {
    let size = 0
    for (let step = 0; step < steps; step++) size += this.#limited[step]! + this.#free[step]!
    return size
  }

  /** What nine of ten devices hold; undefined while too few are known. */
  get startMs(): number | undefined {
    const size = this.size
    if (size < devicesMin) return undefined
    let left = size / 10
    for (let step = 0; step < steps; step++) {
      left -= this.#limited[step]! + this.#free[step]!
      if (left <= 0) return ladderMs[step]
    }
    return undefined
  }

  /** Did most that came as far as this get no further? */
  endsAt(ms: number): boolean {
    const here = stepOf(ms)
    let beyond = 0
    for (let step = here + 1; step < steps; step++) {
      beyond += this.#limited[step]! + this.#free[step]!
    }
    const ended = this.#limited[here]!
    return ended + beyond >= devicesMin && ended > riskMax * (ended + beyond)
  }

  /** A device has settled; before, it stood elsewhere, or nowhere yet. */
  move(from: Settled | undefined, to: Settled): void {
    if (from !== undefined) {
      const before = from.limited ? this.#limited : this.#free
      const step = stepOf(from.ms)
      if (before[step]! > 0) before[step]!--
    }
    const now = to.limited ? this.#limited : this.#free
    now[stepOf(to.ms)]!++
    if (this.size > countMax) this.#fade()
  }

  encode(): string {
    return `${this.#limited.join(',')};${this.#free.join(',')}`
  }

  #fade(): void {
    for (let step = 0; step < steps; step++) {
      this.#limited[step] = this.#limited[step]! >> 1
      this.#free[step] = this.#free[step]! >> 1
    }
  }
}

function counts(text: string): number[] {
  const read = text.split(',').map(Number)
  return Array.from({ length: steps }, (_, step) => {
    const count = read[step] ?? 0
    return Number.isInteger(count) && count > 0 && count <= countMax ? count : 0
  })
}
