import { progress } from './bench.ts'
import { commitsBetween, commitsOf } from './cost.ts'
import { checkLog } from './event-log.ts'
import type { EventsRun } from './events-load.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import type { Options } from './options.ts'
import type { ProtocolSide } from './sides.ts'

const warmupSeconds = 2

/** What one side did, round by round. */
export interface EventsRow {
  readonly side: ProtocolSide
  readonly outstanding: number
  readonly runs: readonly EventsRun[]
  readonly perSecond: number
}

/**
 * Devices that report as fast as they are acknowledged, sides in turn. What the gateway acknowledged
 * must be in its log; what a broker acknowledged, with its subscriber.
 */
export async function eventsRows(
  options: Options,
  sides: readonly ProtocolSide[],
  outstandings: readonly number[],
  title: string,
): Promise<readonly EventsRow[]> {
  const { seconds, rounds } = options
  const kept = new Map(sides.map((side) => [side, { sent: 0, acknowledged: 0, sentAgain: 0 }]))
  const made = sides.flatMap((side) =>
    outstandings.map((outstanding) => ({
      ...{ side, outstanding, runs: [] as EventsRun[], groups: [] as number[] },
    })),
  )
  for (let round = 0; round < rounds; round++) {
    for (const { side, outstanding, runs, groups } of made) {
      progress(`round ${round + 1} of ${rounds}: ${side.name}, ${outstanding}`)
      const { gateway, load, pid } = side
      const before = gateway && (await commitsOf(gateway))
      const asked = { seconds, warmupSeconds, outstanding, serverPid: pid }
      const run = await load.ask('events', asked)
      if (before !== undefined) {
        const { commits } = commitsBetween(before, await commitsOf(gateway!))
        groups.push(run.sent / commits)
      }
      const counts = kept.get(side)!
      counts.sent += run.sent
      counts.acknowledged += run.acknowledged
      counts.sentAgain += await load.ask('sentAgain')
      runs.push(run)
    }
  }
  progress('checking what was kept')
  const texts: string[] = []
  for (const side of sides) texts.push(await checkKept(side, kept.get(side)!))
  progress('')
  printTable(
    title,
    [
      'server',
      'in flight',
      'events/s [range]',
      'CPU µs/event',
      'main thread',
      'server CPU %',
      'load CPU %',
      'events a commit',
      'ACK p50 ms',
      'p99 ms',
    ],
    made.map(({ side, outstanding, runs, groups }) => [
      side.name,
      String(outstanding),
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
      side.gateway === undefined ? '' : whole(median(groups)),
      fixed(
        medianOf(runs, (run) => run.ackMs.p50),
        1,
      ),
      fixed(
        medianOf(runs, (run) => run.ackMs.p99),
        1,
      ),
    ]),
  )
  console.log(`\n${texts.join('\n')}`)
  return made.map(({ side, outstanding, runs }) => ({
    ...{ side, outstanding, runs, perSecond: medianOf(runs, (run) => run.perSecond) },
  }))
}

const passedOnMaxMs = 10_000

async function checkKept(
  { name, gateway, load }: ProtocolSide,
  counts: { readonly sent: number; readonly acknowledged: number; readonly sentAgain: number },
): Promise<string> {
  const { sent, acknowledged, sentAgain } = counts
  const cutOff = await load.ask('lostDevices')
  const again = sentAgain === 0 ? '' : `, ${sentAgain} requests sent again`
  const text = `${name}: sent ${sent}, acknowledged ${acknowledged}${again}, devices cut off ${cutOff}`
  let good = acknowledged === sent && cutOff === 0
  if (gateway !== undefined) {
    const log = await checkLog(gateway, sent)
    good &&= log.good
    if (!good) process.exitCode = 1
    return `${text}; the log, read back whole: ${log.text}${good ? '' : ': NOT ALL THERE'}`
  }
  const untilMs = performance.now() + passedOnMaxMs
  let heard = await load.ask('heard')
  while (heard > 0 && heard < sent && performance.now() < untilMs) heard = await load.ask('heard')
  return `${text}${heard === 0 ? '' : `, passed on ${heard}`}`
}

/** The median rate of one row. */
export const rateOf = (
  rows: readonly EventsRow[],
  side: ProtocolSide,
  outstanding: number,
): number =>
  rows.find((row) => row.side === side && row.outstanding === outstanding)?.perSecond ?? Number.NaN
