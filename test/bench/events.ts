import { makeFolder, ourSide, progress } from './bench.ts'
import { commitsBetween, commitsOf, recordsOf, storeAlone } from './cost.ts'
import { checkLog } from './event-log.ts'
import type { EventsRun } from './events-load.ts'
import { fixed, medianOf, printTable, spread, whole } from './figures.ts'
import type { Options } from './options.ts'
import type { StoreRun } from './store.ts'
import { verdict } from './verdict.ts'

const warmupSeconds = 2
const targetPerSecond = 22_000

/** Pike events, durable before their ACK; beside it LevelDB alone with batches of the same size. */
export async function eventsPart(options: Options): Promise<void> {
  const { seconds, rounds, outstanding } = options
  const ours = await ourSide(options, { backEnds: 0 })
  const asked = { seconds, warmupSeconds, outstanding, serverPid: ours.pid }
  // What a record weighs is read from the store itself, so there must be some.
  const first = await ours.load.ask('events', { ...asked, seconds: 0.5, warmupSeconds: 0.1 })
  const valueBytes = Math.round((await recordsOf(ours)).e?.bytes ?? 200) - keyBytes

  const runs: EventsRun[] = []
  const alone: StoreRun[] = []
  const groups: number[] = []
  const operations: number[] = []
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    const before = await commitsOf(ours.gateway)
    const run = await ours.load.ask('events', asked)
    const { commits, operations: made } = commitsBetween(before, await commitsOf(ours.gateway))
    runs.push(run)
    groups.push(run.sent / commits)
    operations.push(made / run.sent)
    const group = Math.max(1, Math.round(run.sent / commits))
    const folder = makeFolder(options)
    const storeAsked = { folder, seconds, warmupSeconds: 1, valueBytes, group, rate: undefined }
    alone.push(await storeAlone(folder, (worker) => worker.ask('run', storeAsked)))
  }
  progress('')
  const sent = runs.reduce((sum, run) => sum + run.sent, 0)
  const kept = await checkLog(ours.gateway, first.sent + sent)
  const lostDevices = await ours.load.ask('lostDevices')
  await ours.stop()

  printTable(
    `events: Pike, ${options.devices} devices, up to ${outstanding} outstanding each, 54 B, durable before the ACK`,
    [
      '',
      'events/s [range]',
      'ours / this',
      'CPU µs/event',
      'main thread',
      'events a commit',
      'commit ms',
      'ACK p50 ms',
      'p99 ms',
      'load CPU %',
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
        whole(medianOf(groups, (group) => group)),
        '',
        fixed(
          medianOf(runs, (run) => run.ackMs.p50),
          1,
        ),
        fixed(
          medianOf(runs, (run) => run.ackMs.p99),
          1,
        ),
        fixed(
          medianOf(runs, (run) => run.load.percent),
          0,
        ),
      ],
      [
        'LevelDB alone',
        spread(
          alone.map((run) => run.perSecond),
          whole,
        ),
        spread(
          runs.map((run, i) => run.perSecond / alone[i]!.perSecond),
          (value) => fixed(value, 2),
        ),
        fixed(
          medianOf(alone, (run) => run.cpu.totalUs / run.perSecond / seconds),
          1,
        ),
        fixed(
          medianOf(alone, (run) => run.cpu.mainUs / run.perSecond / seconds),
          1,
        ),
        whole(medianOf(alone, (run) => run.recordsPerCommit)),
        fixed(
          medianOf(alone, (run) => run.commitMs.p50),
          2,
        ),
        '',
        '',
        '',
      ],
    ],
  )
  const acknowledged = runs.reduce((sum, run) => sum + run.acknowledged, 0)
  console.log(
    `\nsent ${sent}, acknowledged ${acknowledged}, devices cut off ${lostDevices}; the log, read back whole: ${kept.text}\nstore: ${fixed(
      medianOf(operations, (value) => value),
      2,
    )} operations an event, ${valueBytes + keyBytes} B a record`,
  )
  if (acknowledged !== sent || !kept.good) process.exitCode = 1
  verdict(
    'events a second',
    medianOf(runs, (run) => run.perSecond),
    targetPerSecond,
    undefined,
    0,
  )
}

/** Of the keys that the process beside it makes. */
const keyBytes = 'e:default:000000000000'.length
