import { mars } from './mars.ts'
import { fixed, type Kind, ours } from './policies.ts'
import { type Outcome, simulate, type Weather } from './simulation.ts'

/** What a run came to, over all devices. */
export interface Row {
  readonly name: string
  /** Devices that had fifteen beats in their first network. */
  readonly judged: number
  /** How far from the best what they beat at was then, as a share of it. */
  readonly offMedian: number
  readonly offP90: number
  /** The share of them that was within a fifth. */
  readonly near: number
  /** Connections the NAT forgot until then, per device. */
  readonly drops: number
  /** Beats until within a fifth for good; the median. Infinite: over half never were. */
  readonly beats: number
  /** In the second half of the run, per device and day. */
  readonly dropsPerDay: number
  readonly wakeUpsPerDay: number
  readonly deafMinutesPerDay: number
}

/** All there is to compare, made anew: what a fleet learns is of one run. */
export const kinds: readonly (() => Kind)[] = [
  () => fixed(240_000),
  () => mars(false),
  () => mars(true),
  () => ours(false),
  () => ours(true),
]

export function run(kind: Kind, weather: Weather): Row {
  const outcomes = simulate(kind, weather)
  const judged = outcomes.filter(({ afterMs }) => afterMs !== undefined)
  const off = judged.map(({ afterMs, bestMs }) => Math.abs(afterMs! - bestMs) / bestMs)
  const beats = outcomes.map(({ settledAfter }) => settledAfter ?? Number.POSITIVE_INFINITY)
  const perDay = (of: (late: Outcome['late']) => number): number =>
    mean(outcomes.map(({ late }) => of(late) / late.days))
  return {
    name: kind.name,
    judged: judged.length,
    offMedian: quantile(off, 0.5),
    offP90: quantile(off, 0.9),
    near: mean(off.map((one) => (one <= 0.2 ? 1 : 0))),
    drops: mean(judged.map(({ earlyDrops }) => earlyDrops)),
    beats: quantile(beats, 0.5),
    dropsPerDay: perDay(({ drops }) => drops),
    wakeUpsPerDay: perDay(({ wakeUps }) => wakeUps),
    deafMinutesPerDay: perDay(({ deafMs }) => deafMs / 60_000),
  }
}

const head = [
  '| | off the best after 15 beats: median | nine in ten | within 20 % | drops until then | beats until within 20 % | later, a day: drops | wake-ups | minutes unreachable |',
  '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
]

/** As Markdown. */
export const table = (rows: readonly Row[]): string => [...head, ...rows.map(line)].join('\n')

function line(row: Row): string {
  const percent = (share: number): string => `${Math.round(share * 100)} %`
  const cells = [
    ...[row.name, percent(row.offMedian), percent(row.offP90), percent(row.near)],
    ...[row.drops.toFixed(2), Number.isFinite(row.beats) ? `${row.beats}` : 'never'],
    ...[row.dropsPerDay.toFixed(2), row.wakeUpsPerDay.toFixed(0), row.deafMinutesPerDay.toFixed(1)],
  ]
  return `| ${cells.join(' | ')} |`
}

const mean = (all: readonly number[]): number =>
  all.length === 0 ? Number.NaN : all.reduce((sum, one) => sum + one, 0) / all.length

function quantile(all: readonly number[], share: number): number {
  const sorted = all.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}
