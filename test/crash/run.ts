import type { Conditions } from '../../cli/weather/conditions.ts'
import type { Figures as WeatherFigures } from '../../cli/weather/relay.ts'
import { Random } from '../support/random.ts'
import { inject } from './inject.ts'
import type { Fault, FaultKind, Journal } from './journal.ts'
import type { Finding } from './judge/facts.ts'
import { type Figures, judge, type Verdict } from './judge/judge.ts'
import { sleep } from './load.ts'
import { allParts, type Parts } from './parts.ts'
import type { Speech } from './protocols.ts'
import type { Sabotage } from './server.ts'
import { World } from './world.ts'

export interface RunOptions {
  /** Drawn from, one a round. */
  readonly faults: readonly FaultKind[]
  readonly rounds: number
  readonly seed: number
  readonly devices: number
  /** See {@link WorldOptions}. */
  readonly speech?: Speech
  readonly raw?: number
  readonly seldom?: number
  readonly rate: number
  /** Undisturbed time before each fault. */
  readonly roundMs: readonly [min: number, max: number]
  readonly pauseMs: readonly [min: number, max: number]
  readonly volumeMb: number
  readonly sabotage?: readonly Sabotage[]
  readonly lifeMs?: readonly [min: number, max: number]
  /**
   * No more faults once all of these rules have found something; empty: once any has. What stands
   * behind a rule and a space must be in what was found.
   */
  readonly enough?: readonly string[]
  /** But not before so many rounds. */
  readonly roundsMin?: number
  /** Then do not wait for what would still come. */
  readonly hasty?: boolean
  /** What the load is made of; all of it when absent. */
  readonly parts?: Parts
  /** See {@link WorldOptions}. */
  readonly patienceMs?: number
  readonly weather?: Conditions
  readonly limits?: Readonly<Record<string, number>>
  /** See {@link WorldOptions}. */
  readonly env?: Readonly<Record<string, string>>
  /** What is done in each round instead of letting time pass. */
  readonly beside?: (world: World, round: number) => Promise<void>
  readonly keep?: boolean
  readonly progress: (text: string) => void
}

export interface RunResult {
  readonly faults: readonly Fault[]
  readonly findings: readonly Finding[]
  readonly figures: Figures
  readonly rounds: number
  readonly cuts: number
  readonly undecodable: number
  /** What bad weather did, where there was some. */
  readonly weather: WeatherFigures | undefined
  /** Where the data is, if it was kept. */
  readonly kept: string | undefined
  /** Whether `pike check` looked the store through at the end. */
  readonly checked: boolean
  readonly journal: Journal
}

/** Two processes on one machine, two cores shared with others: what a clock reading may be off. */
export const toleranceMs = 500

const needsVolume = (faults: readonly FaultKind[]): boolean =>
  faults.includes('disk') || faults.includes('power')

/** The same store, the same devices, one fault after another; then calm; then the judgement. */
export async function runFaults(options: RunOptions): Promise<RunResult> {
  const { faults, rounds, progress } = options
  const world = await World.create({
    seed: options.seed,
    devices: options.devices,
    speech: options.speech,
    raw: options.raw,
    seldom: options.seldom,
    rate: options.rate,
    volumeMb: needsVolume(faults) ? options.volumeMb : undefined,
    parts: options.parts ?? allParts,
    sabotage: options.sabotage,
    lifeMs: options.lifeMs,
    patienceMs: options.patienceMs,
    weather: options.weather,
    limits: options.limits,
    env: options.env,
  })
  const random = world.random.fork()
  let verdict: Verdict = judge(world.journal, { final: false, toleranceMs })
  let round = 0
  let checked = false
  const keep = options.keep ?? false
  // With few rounds each kind still has its turn: they go round in an order the seed shuffles.
  const order: FaultKind[] = []
  try {
    await world.startServer()
    await world.begin()
    while (round < rounds) {
      round++
      const undisturbedMs = random.int(options.roundMs[0], options.roundMs[1])
      await (options.beside?.(world, round) ?? sleep(undisturbedMs))
      if (order.length === 0) order.push(...shuffled(faults, random))
      const kind = order.pop()!
      const fault = await inject(world, kind, random, { round, pauseMs: options.pauseMs })
      if (kind !== 'pause') await world.look()
      verdict = judge(world.journal, { final: false, toleranceMs })
      progress(line(round, rounds, fault, verdict))
      if (round >= (options.roundsMin ?? 1) && isEnough(options, verdict)) break
    }
    if (options.hasty !== true || !isEnough(options, verdict)) {
      await world.quiesce(progress)
      checked = (await world.checkStore()) === 'sound'
      verdict = judge(world.journal, { final: true, toleranceMs })
    }
  } catch (error) {
    world.oddity('broke-off', `round ${round}: ${(error as Error).stack ?? String(error)}`)
    verdict = judge(world.journal, { final: false, toleranceMs })
  } finally {
    await world.end(keep)
  }
  return resultOf(world, verdict, round, keep, checked)
}

/**
 * Power cuts in the first three seconds of a brand-new store, each with a world of its own: the
 * moment at which everything is still being made.
 */
export async function runYoung(options: RunOptions, times: number): Promise<RunResult[]> {
  const results: RunResult[] = []
  const random = new Random(options.seed ^ 0x59_6f_75_6e)
  for (let round = 1; round <= times; round++) {
    const world = await World.create({
      seed: options.seed * 1_000 + round,
      devices: Math.min(options.devices, 4),
      speech: options.speech,
      raw: Math.min(options.raw ?? 1, 1),
      rate: options.rate,
      volumeMb: options.volumeMb,
      parts: options.parts ?? allParts,
      sabotage: options.sabotage,
      limits: options.limits,
    })
    let verdict = judge(world.journal, { final: false, toleranceMs })
    let checked = false
    try {
      const cutAtMs = Date.now() + random.int(100, 3_000)
      const first = world
        .startServer()
        .then(() => world.begin())
        .catch(() => {})
      await sleep(cutAtMs - Date.now())
      const fault = await inject(world, 'power', random, {
        round,
        pauseMs: options.pauseMs,
        young: true,
      })
      await first
      const sinceMs = Date.now()
      await world.begin()
      while (world.load.acceptedSince(sinceMs) === undefined && Date.now() < sinceMs + 30_000) {
        await sleep(10)
      }
      fault.readyMs = Date.now() - fault.atMs
      await sleep(random.int(300, 1_000))
      await world.quiesce(options.progress)
      checked = (await world.checkStore()) === 'sound'
      verdict = judge(world.journal, { final: true, toleranceMs })
      options.progress(line(round, times, fault, verdict))
    } catch (error) {
      world.oddity('broke-off', `young ${round}: ${(error as Error).stack ?? String(error)}`)
      verdict = judge(world.journal, { final: false, toleranceMs })
    } finally {
      await world.end(options.keep ?? false)
    }
    results.push(resultOf(world, verdict, 1, options.keep ?? false, checked))
  }
  return results
}

function isEnough({ enough }: RunOptions, { findings }: Verdict): boolean {
  if (enough === undefined || findings.length === 0) return false
  return enough.every((wanted) => wasFound(findings, wanted))
}

/** @param wanted a rule, or a rule, a space and what its finding must say. */
export function wasFound(findings: readonly Finding[], wanted: string): boolean {
  const [rule, text = ''] = wanted.split(' ')
  return findings.some((finding) => finding.rule === rule && finding.text.includes(text))
}

function resultOf(
  world: World,
  verdict: Verdict,
  rounds: number,
  keep: boolean,
  checked: boolean,
): RunResult {
  const extra: Finding[] = []
  if (world.network.undecodable > 0) {
    extra.push({
      rule: 'undecodable',
      text: `${world.network.undecodable} streams could not be read`,
    })
  }
  return {
    faults: world.journal.faults,
    findings: [...verdict.findings, ...extra],
    figures: verdict.figures,
    rounds,
    cuts: world.network.cuts,
    undecodable: world.network.undecodable,
    weather: world.network.weather,
    kept: keep ? world.kept : undefined,
    checked,
    journal: world.journal,
  }
}

function line(round: number, of: number, fault: Fault, { findings, figures }: Verdict): string {
  const parts = [
    `${round}/${of}`,
    fault.young ? 'young power' : fault.kind,
    fault.note ?? '',
    fault.readyMs === undefined ? '' : `back after ${fault.readyMs} ms`,
    `accepted ${figures.accepted}`,
    `handed over ${figures.handedOver}`,
    `reports ${figures.reportsAcknowledged}`,
    findings.length === 0 ? 'nothing found' : `FOUND ${findings.length}: ${findings[0]!.rule}`,
  ]
  return parts.filter((part) => part !== '').join(' · ')
}

function shuffled<T>(from: readonly T[], random: Random): T[] {
  const all = [...from]
  for (let at = all.length - 1; at > 0; at--) {
    const other = random.int(0, at)
    ;[all[at], all[other]] = [all[other]!, all[at]!]
  }
  return all
}
