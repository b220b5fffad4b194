import { parseArgs } from 'node:util'
import { fixed, printTable, whole } from '../bench/figures.ts'
import { collectableEnv, describeMachine } from '../bench/machine.ts'
import { verdict } from '../bench/verdict.ts'
import { mixed } from '../crash/protocols.ts'
import { runFaults } from '../crash/run.ts'
import { findingLines, table } from '../crash/table.ts'
import { runCommand, Wrong } from '../support/command-line.ts'
import { type Held, settled, slopePerHour } from './growth.ts'
import { HalfLoad, type Slice } from './half-load.ts'
import { heldBy } from './held.ts'

const usage = `The gateway at half of what it can do, with everything on, for half an hour: what it holds must not grow.

  npm run soak -- [options]

  --minutes N    how long (30)
  --rate N       commands a second beside (half of what is measured at the beginning)
  --devices N    that get them (1000)
  --seed N       repeats the same draws of what else happens (1)

Beside the steady commands runs the whole load of npm run crash, without its faults: devices of every
protocol that come and go, schedules, broadcasts, webhooks, and its judge at the end. Once a minute the
garbage is collected and what is held is looked at; the first third of the looks does not count.
Exit code 1 where the heap grows by more than 5 MB an hour, descriptors grow, or anything was found.`

const megabyte = 1_000_000
const heapGrowthMax = 5
const descriptorGrowthMax = 10
/** Of fewer a slope says nothing. */
const looksMin = 9

function readOptions():
  | { minutes: number; rate?: number; devices: number; seed: number }
  | undefined {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '30' },
      rate: { type: 'string' },
      devices: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const number = (name: string, text: string): number => {
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new Wrong(`--${name}: "${text}" is no number above 0`)
    return Number(text)
  }
  return {
    minutes: number('minutes', values.minutes),
    ...(values.rate !== undefined && { rate: number('rate', values.rate) }),
    devices: number('devices', values.devices),
    seed: number('seed', values.seed),
  }
}

async function main(): Promise<number> {
  const options = readOptions()
  if (options === undefined) {
    console.log(usage)
    return 0
  }
  console.log(describeMachine())
  const { minutes, rate, devices, seed } = options
  const half = new HalfLoad({ devices, rate })
  const held: Held[] = []
  const slices: Slice[] = []
  const result = await runFaults({
    ...{ faults: ['none'], rounds: minutes, seed, devices: 12, rate: 60, speech: mixed },
    ...{ roundMs: [0, 0], pauseMs: [0, 0], volumeMb: 0, env: collectableEnv },
    progress: (text) => process.stderr.write(`${text}\n`),
    async beside(world, minute) {
      if (minute === 1) await half.begin(world)
      slices.push(await half.run(world, 50))
      held.push(await heldBy(world.server.pid, world.api))
      if (minute === minutes) await half.stop()
      process.stderr.write(`${lineOf(minute, held.at(-1)!, slices.at(-1)!)}\n`)
    },
  })
  await half.stop()
  printTable(
    `soak: ${whole(half.rate)} commands/s to ${devices} devices, everything else beside`,
    ['minute', 'accepted', 'device p99 ms', 'heap MB', 'RSS MB', 'descriptors', 'store files'],
    held.map((now, at) => [
      String(at + 1),
      whole(slices[at]!.accepted),
      fixed(slices[at]!.p99Ms, 1),
      fixed(now.heapBytes / megabyte, 1),
      whole(now.rssBytes / megabyte),
      String(now.descriptors),
      String(now.storeFiles),
    ]),
  )
  const sum = (of: (slice: Slice) => number): number =>
    slices.reduce((all, slice) => all + of(slice), 0)
  const amiss = sum((slice) => slice.lost + slice.repeated + slice.reordered + slice.refused)
  console.log(
    `\n- commands accepted ${whole(sum((slice) => slice.accepted))}; lost, repeated, reordered or refused, with events: ${amiss}`,
  )
  if (held.length < looksMin)
    console.log(`- too short to tell growth: --minutes ${looksMin} at least`)
  else {
    const growth = (of: (held: Held) => number): number =>
      slopePerHour(settled(held).map((now) => ({ atMs: now.atMs, value: of(now) })))
    verdict(
      'MB an hour the heap grows',
      growth((now) => now.heapBytes) / megabyte,
      heapGrowthMax,
      undefined,
      1,
      'less',
    )
    verdict(
      'descriptors an hour more',
      growth((now) => now.descriptors),
      descriptorGrowthMax,
      undefined,
      1,
      'less',
    )
    console.log(
      `- resident memory, with what LevelDB maps and caches: ${fixed(growth((now) => now.rssBytes) / megabyte, 0)} MB an hour`,
    )
  }
  console.log(`\n${table([result])}`)
  if (result.findings.length > 0) console.log(findingLines(result.findings))
  return result.findings.length > 0 || amiss > 0 ? 1 : Number(process.exitCode ?? 0)
}

const lineOf = (minute: number, held: Held, slice: Slice): string =>
  `minute ${minute}: ${whole(slice.accepted)} accepted, p99 ${fixed(slice.p99Ms, 1)} ms, heap ${fixed(held.heapBytes / megabyte, 1)} MB, ${held.descriptors} descriptors`

await runCommand(main, usage)
