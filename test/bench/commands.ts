import { bareSide, inTurns, ourSide, type Side, warmUp } from './bench.ts'
import type { CommandsRun } from './commands-load.ts'
import { commitsBetween, commitsOf } from './cost.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import type { BenchGateway } from './gateway.ts'
import type { Options } from './options.ts'
import { verdict } from './verdict.ts'

const warmupSeconds = 2
export const targets = { ofBare: 0.25, aimOfBare: 0.45, perSecond: 8_000, aimPerSecond: 15_000 }

/** HTTP -> locker -> ACK, single calls, as fast as they are answered. @returns our commands a second. */
export async function commandsPart(options: Options): Promise<number> {
  const backEnds = options.connections
  const ours = await ourSide(options, { backEnds })
  const bare = await bareSide(options, { backEnds, synced: false })
  const synced = await bareSide(options, { backEnds, synced: true })
  const sides: readonly Side[] = [ours, bare, synced]
  const warm = await warmUp(sides)
  const before = await commitsOf(ours.gateway)
  const results = await inTurns(options.rounds, sides, (side) =>
    side.load.ask('commands', {
      seconds: options.seconds,
      warmupSeconds,
      rate: undefined,
      serverPid: side.pid,
    }),
  )
  const outcomes = await checkOutcomes(ours.gateway, [warm.get(ours)!, ...results.get(ours)!])
  const made = commitsBetween(before, await commitsOf(ours.gateway))
  for (const side of sides) await side.stop()

  const rate = (side: Side): number => medianOf(results.get(side)!, (run) => run.perSecond)
  const usPerCommand = (run: CommandsRun): number => run.server.totalUs / run.done
  const ratios = (side: Side, of: (ours: CommandsRun, theirs: CommandsRun) => number): number[] =>
    results.get(ours)!.map((run, i) => of(run, results.get(side)![i]!))
  const byRate = (side: Side): number[] =>
    ratios(side, (our, their) => our.perSecond / their.perSecond)
  const byCpu = (side: Side): number[] =>
    ratios(side, (our, their) => usPerCommand(their) / usPerCommand(our))
  const two = (value: number): string => fixed(value, 2)
  printTable(
    `commands: HTTP → locker → ACK, single calls, ${options.connections} connections, ${options.devices} devices, 100 B`,
    [
      'server',
      'commands/s [range]',
      'ours / this',
      'by CPU',
      'server CPU µs/command',
      'of it main thread',
      'server CPU %',
      'load CPU %',
      'answer p50 ms',
      'p99 ms',
      'lost/repeated/reordered/refused',
    ],
    sides.map((side) =>
      row(side, results.get(side)!, [
        side === ours ? '' : spread(byRate(side), two),
        side === ours ? '' : spread(byCpu(side), two),
      ]),
    ),
  )
  console.log(`\n${outcomes.text}`)
  const measured = outcomes.accepted - warm.get(ours)!.accepted
  const perCommand = made.operations / measured
  console.log(
    `store: ${fixed(measured / made.commits, 1)} commands a commit, ${fixed(perCommand, 1)} operations a command, ${fixed((made.seconds * 1000) / made.commits, 2)} ms a commit on average`,
  )
  const ofBare = median(byRate(bare))
  verdict('of the bare server', ofBare, targets.ofBare, targets.aimOfBare, 2)
  verdict('commands a second', rate(ours), targets.perSecond, targets.aimPerSecond, 0)
  const wrong = results.get(ours)!.some((run) => faults(run) > 0)
  if (wrong) process.exitCode = 1
  return rate(ours)
}

/** What must never happen, whatever the rate. */
const faults = (run: CommandsRun): number => run.lost + run.repeated + run.reordered

function row(side: Side, runs: readonly CommandsRun[], ratios: readonly string[]): string[] {
  const sum = (field: (run: CommandsRun) => number): number =>
    runs.reduce((all, run) => all + field(run), 0)
  const refused = sum((run) => Object.values(run.refused).reduce((all, count) => all + count, 0))
  return [
    side.name,
    spread(
      runs.map((run) => run.perSecond),
      whole,
    ),
    ...ratios,
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
    fixed(
      medianOf(runs, (run) => run.answerMs.p50),
      2,
    ),
    fixed(
      medianOf(runs, (run) => run.answerMs.p99),
      2,
    ),
    `${sum((run) => run.lost)}/${sum((run) => run.repeated)}/${sum((run) => run.reordered)}/${refused}`,
  ]
}

const settleMaxMs = 30_000

/** Every accepted command must have its outcome, `delivered`, by the gateway's own count. */
export async function checkOutcomes(
  gateway: BenchGateway,
  runs: readonly Pick<CommandsRun, 'accepted'>[],
): Promise<{ readonly text: string; readonly accepted: number }> {
  const wanted = runs.reduce((sum, run) => sum + run.accepted, 0)
  const untilMs = performance.now() + settleMaxMs
  let accepted = Number.NaN
  let open = Number.NaN
  let delivered = Number.NaN
  let unaccounted = Number.NaN
  for (;;) {
    const metrics = await gateway.metrics()
    const of = (name: string): number => metrics.get(name) ?? 0
    accepted = of('pike_commands_accepted_total{app="default"}')
    open = of('pike_commands_open{app="default"}')
    delivered = of('pike_commands_ended_total{app="default",status="delivered"}')
    unaccounted = of('pike_commands_unaccounted{app="default"}')
    if ((open === 0 && delivered === wanted) || performance.now() > untilMs) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const good = open === 0 && accepted === wanted && delivered === wanted && unaccounted === 0
  if (!good) process.exitCode = 1
  const text = `outcomes: ${wanted} answered 202; the gateway counts ${accepted} accepted, ${delivered} ended delivered, ${open} open, ${unaccounted} unaccounted for: ${good ? 'all there' : 'NOT ALL THERE'}`
  return { text, accepted }
}
