import { makeFolder, progress, removeFolder } from './bench.ts'
import { fixed, median, printTable, spread } from './figures.ts'
import { type BenchGateway, startGateway } from './gateway.ts'
import { settledRss } from './idle.ts'
import type { LoadAnswers } from './load.ts'
import { cores } from './machine.ts'
import type { Options } from './options.ts'
import { verdict } from './verdict.ts'
import { Worker } from './worker.ts'

const registered = 100_000
const waiting = 1_000_000
const waitingDevices = 10_000

const targets = {
  startMs: 3_000,
  memoryMb: 100,
  readyMs: 1_500,
  firstDeliveryMs: 500,
}

interface Start {
  readonly readyMs: number
  readonly rssMb: number
  /** From a device's connect, HELLO included, to its first command. */
  readonly firstMs: number
}

/** What it takes to start, killed before: on nothing, on many devices, on a million commands (R10). */
export async function startPart(options: Options): Promise<void> {
  progress('starting on nothing')
  const empty = await starts(options, async () => {}, undefined)
  const devices = await starts(
    options,
    async (gateway, load) => {
      progress(`registering ${registered} devices`)
      const perSecond = await load.ask('registerMany', {
        ...{ port: gateway.ports.api, key: gateway.key, count: registered },
      })
      console.error(`registered ${Math.round(perSecond)} devices a second`)
    },
    undefined,
  )
  const commands = await starts(
    options,
    async (gateway, load) => {
      const { ports, key, pid } = gateway
      await load.ask('registerMany', { port: ports.api, key, count: waitingDevices })
      progress(`keeping ${waiting} commands`)
      const run = await load.ask('lines', {
        ...{ port: ports.api, key, devices: waitingDevices, connections: 4, lines: waiting },
        ...{ seconds: 0, warmupSeconds: 0, serverPid: pid },
      })
      if (run.accepted !== waiting) throw new Error(`${run.accepted} of ${waiting} were accepted`)
      console.error(`kept ${Math.round(run.perSecond)} commands a second`)
    },
    waitingDevices,
  )
  progress('')
  const ms = (value: number): string => fixed(value, 0)
  const row = (name: string, runs: readonly Start[]): string[] => [
    name,
    spread(
      runs.map((run) => run.readyMs),
      ms,
    ),
    spread(
      runs.map((run) => run.rssMb),
      ms,
    ),
    spread(
      runs.map((run) => run.firstMs),
      ms,
    ),
    spread(
      runs.map((run) => run.readyMs + run.firstMs),
      ms,
    ),
  ]
  printTable(
    'start after SIGKILL: from the start of the process to its ready line, and to the first command of a device that connects then',
    ['', 'ready ms', 'RSS MB, settled', 'HELLO to first command ms', 'start to first command ms'],
    [
      row('nothing', empty),
      row(`${registered} devices`, devices),
      row(`${waitingDevices} devices, ${waiting} commands waiting`, commands),
    ],
  )
  console.log()
  const of = (runs: readonly Start[], field: keyof Start): number =>
    median(runs.map((run) => run[field]))
  const over = of(devices, 'rssMb') - of(empty, 'rssMb')
  verdict(
    `ms to start with ${registered} devices`,
    of(devices, 'readyMs'),
    targets.startMs,
    undefined,
    0,
    'less',
  )
  verdict('MB over an empty one', over, targets.memoryMb, undefined, 0, 'less')
  verdict(
    `ms to be ready with ${waiting} commands waiting`,
    of(commands, 'readyMs'),
    targets.readyMs,
    undefined,
    0,
    'less',
  )
  verdict(
    'ms from HELLO to the first command',
    of(commands, 'firstMs'),
    targets.firstDeliveryMs,
    undefined,
    0,
    'less',
  )
}

/** Prepare a store, then kill and start on it, once a round. */
async function starts(
  options: Options,
  prepare: (gateway: BenchGateway, load: Worker<LoadAnswers>) => Promise<void>,
  waitingFor: number | undefined,
): Promise<Start[]> {
  const folder = makeFolder(options)
  const load = new Worker<LoadAnswers>('load.ts', cores.load)
  let gateway = await startGateway(folder)
  await prepare(gateway, load)
  const runs: Start[] = []
  for (let round = 0; round < options.rounds; round++) {
    await gateway.kill()
    gateway = await startGateway(folder)
    const { readyMs, ports, pid } = gateway
    const firstMs =
      waitingFor === undefined
        ? Number.NaN
        : await load.ask('firstDelivery', { port: ports.pike, index: waitingFor - 1 - round })
    await load.ask('closeDevices')
    runs.push({ readyMs, firstMs, rssMb: (await settledRss(pid)) / 1_048_576 })
  }
  await load.stop()
  await gateway.kill()
  removeFolder(folder)
  return runs
}
