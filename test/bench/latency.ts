import {
  bareSide,
  makeFolder,
  type OurSide,
  ourSide,
  progress,
  type Side,
  warmUp,
} from './bench.ts'
import { checkOutcomes } from './commands.ts'
import type { CommandsRun } from './commands-load.ts'
import { averageBytes, commitsBetween, commitsOf, recordsOf, storeAlone } from './cost.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import type { Options } from './options.ts'
import type { StoreRun } from './store.ts'
import { verdict } from './verdict.ts'

const warmupSeconds = 2
/** So many that a call seldom waits for a connection; what it waits counts. */
const connections = 256
const overCommitMaxMs = 10
const keyBytes = 22

/**
 * At half of the saturated rate, calls made at fixed times whatever the answers do, every time
 * measured from when the call was due. Beside it: what a synced commit takes when nothing else is done.
 */
export async function latencyPart(options: Options, saturated: number | undefined): Promise<void> {
  const ours = await ourSide(options, { backEnds: connections })
  const before: CommandsRun[] = []
  if (options.rate === undefined && saturated === undefined)
    before.push(await saturate(ours, options))
  const rate = options.rate ?? (saturated ?? before[0]!.perSecond) / 2
  const bare = await bareSide(options, { backEnds: connections, synced: false })
  const synced = await bareSide(options, { backEnds: connections, synced: true })
  const sides: readonly Side[] = [ours, bare, synced]
  before.push((await warmUp(sides)).get(ours)!)
  const runs = new Map<Side, CommandsRun[]>(sides.map((side) => [side, []]))
  const alone: StoreRun[] = []
  const ourCommits: number[] = []
  for (let round = 0; round < options.rounds; round++) {
    let perCommand = 4
    for (const side of sides) {
      progress(`round ${round + 1} of ${options.rounds}: ${side.name}`)
      const commits = await commitsOf(ours.gateway)
      const run = await side.load.ask('commands', {
        seconds: options.seconds,
        warmupSeconds,
        rate,
        serverPid: side.pid,
      })
      runs.get(side)!.push(run)
      if (side !== ours) continue
      const made = commitsBetween(commits, await commitsOf(ours.gateway))
      ourCommits.push((made.commits * rate) / run.accepted)
      perCommand = made.operations / run.accepted
    }
    progress(`round ${round + 1} of ${options.rounds}: LevelDB alone`)
    const folder = makeFolder(options)
    const asked = {
      folder,
      seconds: options.seconds,
      warmupSeconds: 1,
      valueBytes: Math.round(averageBytes(await recordsOf(ours))) - keyBytes,
      group: undefined,
      rate: rate * perCommand,
    }
    alone.push(await storeAlone(folder, (worker) => worker.ask('run', asked)))
  }
  progress('')
  const outcomes = await checkOutcomes(ours.gateway, [...before, ...runs.get(ours)!])
  for (const side of sides) await side.stop()

  const ms = (value: number): string => fixed(value, 2)
  const times = (of: readonly CommandsRun[], field: (run: CommandsRun) => number): string =>
    spread(of.map(field), ms)
  printTable(
    `latency at ${whole(rate)} commands/s, due at fixed times, ${options.devices} devices, ${connections} connections, ms`,
    [
      '',
      'device p50',
      'device p99',
      'answer p50',
      'answer p99',
      'commit p50',
      'commit p99',
      'done/s',
      'commits/s',
      'CPU µs/command',
      'lost/repeated',
    ],
    [
      ...sides.map((side) => {
        const of = runs.get(side)!
        return [
          side.name,
          times(of, (run) => run.receiptMs.p50),
          times(of, (run) => run.receiptMs.p99),
          times(of, (run) => run.answerMs.p50),
          times(of, (run) => run.answerMs.p99),
          '',
          '',
          whole(medianOf(of, (run) => run.perSecond)),
          side === ours ? whole(median(ourCommits)) : '',
          fixed(
            medianOf(of, (run) => run.server.totalUs / run.done),
            1,
          ),
          `${of.reduce((sum, run) => sum + run.lost, 0)}/${of.reduce((sum, run) => sum + run.repeated, 0)}`,
        ]
      }),
      [
        `LevelDB alone, ${whole(medianOf(alone, (run) => run.perSecond))} records/s`,
        '',
        '',
        '',
        '',
        spread(
          alone.map((run) => run.commitMs.p50),
          ms,
        ),
        spread(
          alone.map((run) => run.commitMs.p99),
          ms,
        ),
        '',
        whole(medianOf(alone, (run) => run.commitsPerSecond)),
        '',
        '',
      ],
    ],
  )
  console.log(`\n${outcomes.text}`)
  const over = (field: (run: CommandsRun) => number): number =>
    median(runs.get(ours)!.map((run, i) => field(run) - alone[i]!.commitMs.p99))
  const what = (end: string): string => `ms over the commit’s own p99, ${end} p99`
  verdict(
    what('device receipt'),
    over((run) => run.receiptMs.p99),
    overCommitMaxMs,
    undefined,
    2,
    'less',
  )
  verdict(
    what('HTTP answer'),
    over((run) => run.answerMs.p99),
    overCommitMaxMs,
    undefined,
    2,
    'less',
  )
}

function saturate(ours: OurSide, { seconds }: Options): Promise<CommandsRun> {
  progress('looking for the saturated rate')
  return ours.load.ask('commands', {
    seconds,
    warmupSeconds: 4,
    rate: undefined,
    serverPid: ours.pid,
  })
}
