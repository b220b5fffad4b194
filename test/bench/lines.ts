import { makeFolder, type OurSide, ourSide, progress, removeFolder } from './bench.ts'
import { checkOutcomes } from './commands.ts'
import { type Commits, commitsBetween, commitsOf, recordsOf, stepsOf } from './cost.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import { type BenchGateway, startGateway } from './gateway.ts'
import type { DrainRun, LinesRun } from './lines-load.ts'
import type { LoadAnswers } from './load.ts'
import { cores } from './machine.ts'
import type { MirrorAnswers } from './mirror.ts'
import type { Options } from './options.ts'
import type { StoreRun } from './store.ts'
import { verdict } from './verdict.ts'
import { Worker } from './worker.ts'

const warmupSeconds = 2
export const connections = 4

export const linesTargets = {
  perSecond: 12_000,
  aimPerSecond: 25_000,
  ofStore: 0.5,
  storedPerSecond: 20_000,
  drainedPerSecond: 15_000,
  aimAbsentPerSecond: 40_000,
}

/** NDJSON -> connected lockers -> ACK; beside it LevelDB alone writing as many records of the same size. */
export async function linesPart(options: Options): Promise<void> {
  const { seconds, rounds, devices } = options
  const ours = await ourSide(options, { backEnds: 0 })
  const { ports, key } = ours.gateway
  const asked = { port: ports.api, key, devices, connections, warmupSeconds, serverPid: ours.pid }
  progress('warming up')
  const warm = await ours.load.ask('lines', { ...asked, seconds: 1 })
  const runs: LinesRun[] = []
  const alone: StoreRun[] = []
  const made: Commits[] = []
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}: Pike IoT`)
    const before = await commitsOf(ours.gateway)
    const run = await ours.load.ask('lines', { ...asked, seconds })
    made.push(commitsBetween(before, await commitsOf(ours.gateway)))
    runs.push(run)
    progress(`round ${round + 1} of ${rounds}: LevelDB alone`)
    alone.push(await sameRecords(options, ours, made.at(-1)!, run.accepted, 'ended'))
  }
  progress('')
  const outcomes = await checkOutcomes(ours.gateway, [warm, ...runs])
  await ours.stop()

  const perCommand = made.map(({ operations }, i) => operations / runs[i]!.accepted)
  printTable(
    `lines: NDJSON (${connections} calls) → ${devices} lockers → ACK, durable, with outcomes, 100 B`,
    [
      '',
      'commands/s [range]',
      'ours / this',
      'CPU µs/command',
      'of it main thread',
      'server CPU %',
      'load CPU %',
      'commands a commit',
      'commit ms',
      'answer p50 ms',
      'p99 ms',
      'lost/repeated/reordered/refused',
    ],
    [
      [
        'Pike IoT',
        spread(
          runs.map((run) => run.perSecond),
          whole,
        ),
        '',
        fixed(
          medianOf(runs, (run) => run.server.totalUs / run.done),
          1,
        ),
        fixed(
          medianOf(runs, (run) => run.server.mainUs / run.done),
          1,
        ),
        fixed(
          medianOf(runs, (run) => run.server.percent),
          0,
        ),
        fixed(
          medianOf(runs, (run) => run.load.percent),
          0,
        ),
        whole(median(made.map(({ commits }, i) => runs[i]!.accepted / commits))),
        fixed(median(made.map((one) => (one.seconds * 1000) / one.commits)), 2),
        fixed(
          medianOf(runs, (run) => run.answerMs.p50),
          1,
        ),
        fixed(
          medianOf(runs, (run) => run.answerMs.p99),
          1,
        ),
        faultsOf(runs),
      ],
      storeRow(
        alone,
        runs.map((run) => run.perSecond),
      ),
    ],
  )
  console.log(`\n${outcomes.text}\nstore: ${fixed(median(perCommand), 1)} operations a command`)
  verdict(
    'commands a second',
    medianOf(runs, (run) => run.perSecond),
    linesTargets.perSecond,
    linesTargets.aimPerSecond,
    0,
  )
  const ofStore = runs.map((run, i) => run.perSecond / alone[i]!.perSecond)
  verdict(
    'of what LevelDB alone does writing the same records',
    median(ofStore),
    linesTargets.ofStore,
    undefined,
    2,
  )
  if (runs.some((run) => faults(run) > 0)) process.exitCode = 1
}

/** Commands kept for devices that are not there, then handed over as they all come back. */
export async function absentPart(options: Options): Promise<void> {
  const { rounds } = options
  const stored: LinesRun[] = []
  const drained: DrainRun[] = []
  const alone: StoreRun[] = []
  const perCommand: number[] = []
  let texts = ''
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}: storing and draining`)
    const all = await absentRound(options, [], async (gateway, folder, run, made) => {
      texts += `\n${(await checkOutcomes(gateway, [run])).text}`
      progress(`round ${round + 1} of ${rounds}: LevelDB alone`)
      alone.push(await sameRecords(options, { folder, gateway }, made, run.accepted, 'waiting'))
    })
    stored.push(all.stored)
    drained.push(all.drained)
    perCommand.push(all.made.operations / all.stored.accepted)
  }
  progress('')
  printTable(
    `absent: ${whole(absentLines(options))} commands of 100 B by NDJSON for ${options.devices} devices that are away; then all of them come back at once`,
    [
      '',
      'commands/s [range]',
      'ours / this',
      'CPU µs/command',
      'server CPU %',
      'load CPU %',
      'lost/repeated/reordered/refused',
    ],
    [
      [
        'stored',
        spread(
          stored.map((run) => run.perSecond),
          whole,
        ),
        '',
        fixed(
          medianOf(stored, (run) => run.server.totalUs / run.done),
          1,
        ),
        fixed(
          medianOf(stored, (run) => run.server.percent),
          0,
        ),
        fixed(
          medianOf(stored, (run) => run.load.percent),
          0,
        ),
        faultsOf(stored),
      ],
      [
        'drained',
        spread(
          drained.map((run) => run.perSecond),
          whole,
        ),
        '',
        fixed(
          medianOf(drained, (run) => run.server.totalUs / run.received),
          1,
        ),
        fixed(
          medianOf(drained, (run) => run.server.percent),
          0,
        ),
        fixed(
          medianOf(drained, (run) => run.load.percent),
          0,
        ),
        `${stored.reduce((sum, run, i) => sum + run.accepted - drained[i]!.received, 0)}/${sum(drained, (run) => run.repeated)}/${sum(drained, (run) => run.reordered)}/0`,
      ],
      [
        'LevelDB alone, storing',
        spread(
          alone.map((run) => run.perSecond),
          whole,
        ),
        spread(
          stored.map((run, i) => run.perSecond / alone[i]!.perSecond),
          (value) => fixed(value, 2),
        ),
        fixed(median(alone.map((run) => (run.cpu.percent * 10_000) / run.perSecond)), 1),
        fixed(
          medianOf(alone, (run) => run.cpu.percent),
          0,
        ),
        '',
        '',
      ],
    ],
  )
  console.log(texts)
  const { storedPerSecond, drainedPerSecond, aimAbsentPerSecond } = linesTargets
  verdict(
    'commands a second stored',
    medianOf(stored, (run) => run.perSecond),
    storedPerSecond,
    aimAbsentPerSecond,
    0,
  )
  verdict(
    'commands a second drained',
    medianOf(drained, (run) => run.perSecond),
    drainedPerSecond,
    aimAbsentPerSecond,
    0,
  )
  const lost = stored.some((run, i) => run.accepted !== drained[i]!.received)
  const wrong = drained.some((run) => run.repeated + run.reordered > 0)
  if (lost || wrong) process.exitCode = 1
}

/** A mailbox takes 1,000; that is the most there can be for so many devices. */
const absentLines = ({ devices }: Options): number => Math.min(devices * 1_000, 300_000)

/** Into a fresh gateway and out of it. `then`: what else to look at before it is gone. */
export async function absentRound(
  options: Options,
  nodeArgs: readonly string[] = [],
  then?: (gateway: BenchGateway, folder: string, stored: LinesRun, made: Commits) => Promise<void>,
): Promise<{ stored: LinesRun; drained: DrainRun; made: Commits }> {
  const { devices } = options
  const folder = makeFolder(options)
  const gateway = await startGateway(folder, nodeArgs)
  const load = new Worker<LoadAnswers>('load.ts', cores.load)
  const { ports, key } = gateway
  await load.ask('registerMany', { port: ports.api, key, count: devices })
  const before = await commitsOf(gateway)
  const stored = await load.ask('lines', {
    ...{ port: ports.api, key, devices, connections, lines: absentLines(options) },
    ...{ seconds: 0, warmupSeconds: 0, serverPid: gateway.pid },
  })
  const made = commitsBetween(before, await commitsOf(gateway))
  const drained = await load.ask('drain', {
    ...{ port: ports.pike, devices, wanted: stored.accepted, serverPid: gateway.pid },
  })
  await then?.(gateway, folder, stored, made)
  await load.stop()
  await gateway.stop()
  removeFolder(folder)
  return { stored, drained, made }
}

/** LevelDB alone, doing for each command what ours did, as many of them in a synced batch. */
async function sameRecords(
  options: Options,
  ours: Pick<OurSide, 'folder' | 'gateway'>,
  { operations, commits }: Commits,
  commands: number,
  fate: 'ended' | 'waiting',
): Promise<StoreRun> {
  const folder = makeFolder(options)
  const worker = new Worker<MirrorAnswers>('mirror.ts', cores.server)
  try {
    return await worker.ask('run', {
      folder,
      seconds: options.seconds,
      warmupSeconds: 1,
      channels: options.devices,
      commandsPerCommit: Math.max(1, Math.round(commands / commits)),
      steps: stepsOf(await recordsOf(ours), operations / commands, fate),
    })
  } finally {
    await worker.stop()
    removeFolder(folder)
  }
}

function storeRow(alone: readonly StoreRun[], rates: readonly number[]): string[] {
  const commandsPerSecond = alone.map((run) => run.perSecond)
  return [
    'LevelDB alone, the same records',
    spread(commandsPerSecond, whole),
    spread(
      commandsPerSecond.map((theirs, i) => rates[i]! / theirs),
      (value) => fixed(value, 2),
    ),
    fixed(median(alone.map((run, i) => (run.cpu.percent * 10_000) / commandsPerSecond[i]!)), 1),
    '',
    fixed(
      medianOf(alone, (run) => run.cpu.percent),
      0,
    ),
    '',
    whole(medianOf(alone, (run) => run.perSecond / run.commitsPerSecond)),
    fixed(
      medianOf(alone, (run) => run.commitMs.p50),
      2,
    ),
    '',
    '',
    '',
  ]
}

const faults = (run: LinesRun): number => run.lost + run.repeated + run.reordered
const sum = <T>(runs: readonly T[], field: (run: T) => number): number =>
  runs.reduce((all, run) => all + field(run), 0)

function faultsOf(runs: readonly LinesRun[]): string {
  const refused = sum(runs, (run) => Object.values(run.refused).reduce((all, one) => all + one, 0))
  return `${sum(runs, (run) => run.lost)}/${sum(runs, (run) => run.repeated)}/${sum(runs, (run) => run.reordered)}/${refused}`
}
