import type { BareAnswers } from './bare.ts'
import { makeFolder, progress, removeFolder } from './bench.ts'
import { fixed, median, printTable, spread, whole } from './figures.ts'
import { type BenchGateway, startGateway } from './gateway.ts'
import type { LoadAnswers } from './load.ts'
import { cores, descriptorsMax, rssOf } from './machine.ts'
import type { Options } from './options.ts'
import { verdict } from './verdict.ts'
import { Worker } from './worker.ts'

const targetKb = 9
const aimKb = 7
/** Descriptors a server needs beside those of its devices. */
const spareDescriptors = 200
/** Connected before memory is read for the first time, so that code and pools are not counted. */
const firstDevices = 200
const readEveryMs = 500
const settledAfter = 6
const settleMaxMs = 60_000

interface Idle {
  readonly kbPerDevice: number
  /** By /metrics, where there is one: what JavaScript holds; the rest is the runtime's. */
  readonly heapKbPerDevice: number
  readonly connectsPerSecond: number
}

/** Memory of a device that is connected, authenticated and silent; beside it a bare socket's. */
export async function idlePart(options: Options): Promise<void> {
  const devices = Math.min(options.idleDevices, descriptorsMax() - spareDescriptors - firstDevices)
  const ours: Idle[] = []
  const bare: Idle[] = []
  for (let round = 0; round < options.rounds; round++) {
    progress(`round ${round + 1} of ${options.rounds}: Pike IoT`)
    ours.push(await ourIdle(options, devices))
    progress(`round ${round + 1} of ${options.rounds}: bare`)
    bare.push(await bareIdle(devices))
  }
  progress('')
  const row = (name: string, runs: readonly Idle[]): string[] => [
    name,
    spread(
      runs.map((run) => run.kbPerDevice),
      (value) => fixed(value, 2),
    ),
    fixed(median(runs.map((run) => run.heapKbPerDevice)), 2),
    spread(
      runs.map((run) => run.connectsPerSecond),
      whole,
    ),
  ]
  printTable(
    `idle: ${devices} connected devices, channel main, RSS once it has settled`,
    ['', 'KiB a device', 'of it JS heap', 'connects/s'],
    [row('Pike IoT, authenticated', ours), row('bare sockets', bare)],
  )
  console.log()
  const kb = median(ours.map((run) => run.kbPerDevice))
  verdict('KiB an idle device', kb, targetKb, aimKb, 2, 'less')
}

async function ourIdle(options: Options, devices: number): Promise<Idle> {
  const folder = makeFolder(options)
  const load = new Worker<LoadAnswers>('load.ts', cores.load)
  const first = await startGateway(folder)
  const count = devices + firstDevices
  await load.ask('register', { port: first.ports.api, key: first.key, count })
  // What registering left in memory is no device's: a fresh process.
  await first.stop()
  const gateway = await startGateway(folder)
  const idle = await measure(load, gateway.pid, gateway.ports.pike, devices, () => heapOf(gateway))
  await load.stop()
  await gateway.stop()
  removeFolder(folder)
  return idle
}

async function bareIdle(devices: number): Promise<Idle> {
  const load = new Worker<LoadAnswers>('load.ts', cores.load)
  const server = new Worker<BareAnswers>('bare.ts', cores.server)
  const { pike } = await server.ask('start', { key: 'none', folder: undefined })
  const idle = await measure(load, server.pid, pike, devices, async () => Number.NaN)
  await load.stop()
  await server.stop()
  return idle
}

async function measure(
  load: Worker<LoadAnswers>,
  pid: number,
  port: number,
  devices: number,
  heap: () => Promise<number>,
): Promise<Idle> {
  await load.ask('connectDevices', { port, count: firstDevices })
  const rssBefore = await settledRss(pid)
  const heapBefore = await heap()
  const tookMs = await load.ask('connectDevices', { port, count: devices, from: firstDevices })
  const rss = await settledRss(pid)
  const heapAfter = await heap()
  const lost = await load.ask('lostDevices')
  if (lost > 0) throw new Error(`${lost} devices were cut off`)
  return {
    kbPerDevice: (rss - rssBefore) / 1024 / devices,
    heapKbPerDevice: (heapAfter - heapBefore) / 1024 / devices,
    connectsPerSecond: (devices * 1000) / tookMs,
  }
}

const heapOf = async (gateway: BenchGateway): Promise<number> =>
  (await gateway.metrics()).get('nodejs_heap_size_used_bytes') ?? Number.NaN

/** Garbage is collected some seconds after a process has fallen silent. */
export async function settledRss(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  const untilMs = performance.now() + settleMaxMs
  for (let calm = 0; calm < settledAfter * 4 && performance.now() < untilMs; calm++) {
    await new Promise((resolve) => setTimeout(resolve, readEveryMs))
    const rss = rssOf(pid)
    if (rss < least * 0.995) calm = 0
    least = Math.min(least, rss)
  }
  return rssOf(pid)
}
