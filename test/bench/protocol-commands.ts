import { progress } from './bench.ts'
import { checkOutcomes } from './commands.ts'
import type { CommandsRun } from './commands-load.ts'
import { commitsBetween, commitsOf } from './cost.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import { connections as lineConnections } from './lines.ts'
import type { LinesRun } from './lines-load.ts'
import type { Options } from './options.ts'
import type { GatewaySide, ProtocolSide } from './sides.ts'

const warmupSeconds = 2
/** Lines wait for devices, not only for their answers: a window of one is no reason to fill mailboxes. */
const undeliveredEach = 4
const warmupCommands = 10_000

/** What single calls and lines have in common. */
type Run = CommandsRun | LinesRun

type Side = GatewaySide | ProtocolSide
const isOurs = (side: Side): side is GatewaySide => side.gateway !== undefined

interface Measured {
  readonly side: Side
  readonly runs: Run[]
  readonly groups: number[]
}

export interface Rates {
  readonly side: Side
  readonly perSecond: number
}

/**
 * Commands to connected devices and their acknowledgements, sides in turn: by single calls, or by
 * NDJSON. Every one that we accepted must have reached its device once, in order, and be counted delivered.
 * @returns the rates of ours.
 */
export async function commandRows(
  options: Options,
  sides: readonly Side[],
  by: 'single' | 'lines',
  title: string,
): Promise<readonly Rates[]> {
  const { seconds, rounds, devices, connections } = options
  const warm = new Map<Side, Run>()
  const measured: Measured[] = sides.map((side) => ({ side, runs: [], groups: [] }))
  const lines = ({ api, load, pid }: Side, forSeconds: number): Promise<Run> =>
    load.ask('lines', {
      ...{ port: api!.port, key: api!.key, devices, connections: lineConnections },
      ...{ seconds: forSeconds, warmupSeconds, serverPid: pid },
      undeliveredMax: devices * undeliveredEach,
    })
  for (const side of sides) {
    progress(`warming up: ${side.name}`)
    if (by === 'lines') {
      warm.set(side, await lines(side, 0.5))
      continue
    }
    const { port, key, pids } = side.api!
    await side.load.ask('connectBackEnds', { port, key, count: connections })
    const asked = { seconds: 0.1, warmupSeconds: 0.1, warmupCommands, rate: undefined }
    warm.set(side, await side.load.ask('commands', { ...asked, serverPid: pids }))
  }
  for (let round = 0; round < rounds; round++) {
    for (const { side, runs, groups } of measured) {
      progress(`round ${round + 1} of ${rounds}: ${side.name}`)
      const before = isOurs(side) ? await commitsOf(side.gateway) : undefined
      const asked = { seconds, warmupSeconds, rate: undefined, serverPid: side.api!.pids }
      const run =
        by === 'lines' ? await lines(side, seconds) : await side.load.ask('commands', asked)
      runs.push(run)
      if (before === undefined) continue
      const { commits } = commitsBetween(before, await commitsOf(side.gateway!))
      groups.push(run.accepted / commits)
    }
  }
  progress('')
  const texts: string[] = []
  for (const { side, runs } of measured) {
    if (!isOurs(side)) continue
    const all = [...side.counted, warm.get(side)!, ...runs]
    side.counted = all
    const { text } = await checkOutcomes(side.gateway, all)
    const lost = await side.load.ask('lostDevices')
    texts.push(`${side.name}: ${text}${lost === 0 ? '' : `; devices cut off: ${lost}`}`)
    if (lost > 0 || runs.some((run) => faults(run) > 0)) process.exitCode = 1
  }
  printTable(
    title,
    [
      'devices speak',
      'commands/s [range]',
      'CPU µs/command',
      'main thread',
      'server CPU %',
      'load CPU %',
      'commands a commit',
      'answer p50 ms',
      'p99 ms',
      'lost/repeated/reordered/refused',
    ],
    measured.map(({ side, runs, groups }) => [
      side.name,
      spread(
        runs.map((run) => run.perSecond),
        whole,
      ),
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
      groups.length === 0 ? '' : whole(median(groups)),
      fixed(
        medianOf(runs, (run) => run.answerMs.p50),
        1,
      ),
      fixed(
        medianOf(runs, (run) => run.answerMs.p99),
        1,
      ),
      faultsOf(runs),
    ]),
  )
  console.log(`\n${texts.join('\n')}\n`)
  const ours = measured.filter(({ side }) => isOurs(side))
  return ours.map(({ side, runs }) => ({
    ...{ side, perSecond: medianOf(runs, (run) => run.perSecond) },
  }))
}

/** What must never happen, whatever the rate. */
const faults = (run: Run): number => run.lost + run.repeated + run.reordered

function faultsOf(runs: readonly Run[]): string {
  const sum = (field: (run: Run) => number): number =>
    runs.reduce((all, run) => all + field(run), 0)
  const refused = sum((run) => Object.values(run.refused).reduce((all, one) => all + one, 0))
  return `${sum((run) => run.lost)}/${sum((run) => run.repeated)}/${sum((run) => run.reordered)}/${refused}`
}
