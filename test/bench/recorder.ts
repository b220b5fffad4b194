import { progress } from './bench.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import { connections } from './lines.ts'
import type { CpuUse } from './machine.ts'
import type { Options } from './options.ts'
import { type GatewaySide, gatewaySide } from './sides.ts'
import { verdict } from './verdict.ts'

const warmupSeconds = 1
/** However few were asked for: the difference is smaller than one round tells. */
const leastRounds = 6
const costMax = 0.05
const undeliveredEach = 4
const outstanding = 4

/** What one side did in one turn. */
interface Run {
  readonly done: number
  readonly perSecond: number
  readonly server: CpuUse
}

interface Load {
  readonly title: string
  readonly unit: string
  readonly kind: 'pike' | 'mqtt'
  run(side: GatewaySide, options: Options): Promise<Run>
}

/**
 * The gateway with its flight recorder beside one without, loaded at the same moments on the same
 * core, so that what else the machine does meets both: what the recorder costs of CPU for each
 * command, for each event.
 */
export async function recorderPart(options: Options): Promise<void> {
  for (const load of loads) {
    if (options.protocols.includes(load.kind)) await compare(options, load)
  }
}

async function compare(options: Options, load: Load): Promise<void> {
  const without = await gatewaySide(options, load.kind, {
    name: 'without',
    env: { PIKE_LIMITS: 'recorderMaxBytes=0' },
  })
  const recording = await gatewaySide(options, load.kind, { name: 'with the recorder' })
  const sides = [without, recording]
  const runs = new Map<GatewaySide, Run[]>(sides.map((side) => [side, []]))
  for (const side of sides) {
    progress(`warming up: ${side.name}`)
    await load.run(side, options)
  }
  const rounds = Math.max(leastRounds, options.rounds)
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    const both = await Promise.all(sides.map((side) => load.run(side, options)))
    for (const [i, side] of sides.entries()) runs.get(side)!.push(both[i]!)
  }
  progress('')
  const entries = (await recording.gateway.metrics()).get('pike_recorder_entries_total')
  if ((await without.gateway.metrics()).get('pike_recorder_entries_total') !== 0)
    throw new Error('the side without it records')
  for (const side of sides) {
    const lost = await side.load.ask('lostDevices')
    if (lost > 0) throw new Error(`${side.name}: devices cut off: ${lost}`)
    await side.stop()
  }
  const ofSide = (side: GatewaySide): readonly Run[] => runs.get(side)!
  const dearer = ofSide(recording).map((run, i) => usOf(run) / usOf(ofSide(without)[i]!) - 1)
  printTable(
    `recorder: ${load.title}, in ${rounds} rounds`,
    ['', `${load.unit}s/s [range]`, `CPU µs/${load.unit} [range]`, 'main thread', 'dearer by, %'],
    sides.map((side) => [
      side.name,
      spread(
        ofSide(side).map((run) => run.perSecond),
        whole,
      ),
      spread(ofSide(side).map(usOf), (us) => fixed(us, 1)),
      fixed(
        medianOf(ofSide(side), ({ server, done }) => server.mainUs / done),
        1,
      ),
      side === recording ? spread(dearer, (part) => fixed(part * 100, 1)) : '',
    ]),
  )
  console.log(`\nentries written: ${whole(entries ?? Number.NaN)}`)
  const of = (side: GatewaySide): number => medianOf(ofSide(side), usOf)
  verdict(
    `% more CPU for each ${load.unit} with the recorder, of the medians (of the pairs ${fixed(median(dearer) * 100, 1)})`,
    (of(recording) / of(without) - 1) * 100,
    costMax * 100,
    undefined,
    1,
    'less',
  )
}

const usOf = ({ server, done }: Run): number => server.totalUs / done

const loads: readonly Load[] = [
  {
    title: 'NDJSON → lockers over Pike → ACK, 100 B',
    unit: 'command',
    kind: 'pike',
    run: ({ load, api, gateway }, { seconds, devices }) =>
      load.ask('lines', {
        ...{ port: api!.port, key: api!.key, devices, connections },
        ...{ seconds, warmupSeconds, serverPid: gateway.pid },
        undeliveredMax: devices * undeliveredEach,
      }),
  },
  {
    title: `events over MQTT 3.1.1, QoS 1, ${outstanding} in flight, 54 B`,
    unit: 'event',
    kind: 'mqtt',
    run: ({ load, gateway }, { seconds }) =>
      load.ask('events', { seconds, warmupSeconds, outstanding, serverPid: gateway.pid }),
  },
]
