import type { BareAnswers } from './bare.ts'
import { makeFolder, newLoad, progress, removeFolder } from './bench.ts'
import { fixed, median, printTable, spread, whole } from './figures.ts'
import type { BenchGateway } from './gateway.ts'
import { collectableArgs, collectGarbage, cores, descriptorsMax, rssOf } from './machine.ts'
import type { DeviceKind, Options } from './options.ts'
import { bareAedes, mosquitto, type StartPeer } from './peers.ts'
import { protocols, startFor } from './sides.ts'
import { verdict } from './verdict.ts'
import { Worker } from './worker.ts'

/** KiB a device, and what we would like. */
const targets: Partial<Record<DeviceKind, readonly [target: number, aim?: number]>> = {
  pike: [9, 7],
  mqtt: [18],
  mqtt5: [12],
  coap: [8],
}
/** Descriptors a server needs beside those of its devices. */
const spareDescriptors = 200
/** Connected before memory is read for the first time, so that code and pools are not counted. */
const firstDevices = 200
const readEveryMs = 500
const settledAfter = 6
const settleMaxMs = 60_000

interface Idle {
  readonly kbPerDevice: number
  /** Of the second half alone: caches, write buffers and the recorder's ring have mostly filled by then. */
  readonly laterKbPerDevice: number
  /** By /metrics, where there is one: what JavaScript holds; the rest is the runtime's. */
  readonly heapKbPerDevice: number
  readonly connectsPerSecond: number
}

interface Row {
  readonly name: string
  readonly kind: DeviceKind | undefined
  readonly measure: () => Promise<Idle | undefined>
  readonly runs: Idle[]
}

/** Memory of a device that is connected, authenticated, ready for commands and silent; beside it others'. */
export async function idlePart(options: Options): Promise<void> {
  const devices = Math.min(options.idleDevices, descriptorsMax() - spareDescriptors - firstDevices)
  const row = (name: string, measure: () => Promise<Idle | undefined>, kind?: DeviceKind): Row => ({
    name,
    kind,
    measure,
    runs: [],
  })
  const rows = [
    ...options.protocols.map((kind) =>
      row(protocols[kind].title, () => ourIdle(options, kind, devices), kind),
    ),
    ...options.protocols
      .filter((kind) => kind === 'coap')
      .map((kind) =>
        row(`${protocols[kind].title}, one channel`, () => ourIdle(options, kind, devices, 'main')),
      ),
    ...(options.alone
      ? []
      : [
          row('bare sockets', () => bareIdle(devices)),
          row('bare aedes, MQTT 3.1.1', () => peerIdle(bareAedes, devices)),
          row('mosquitto, MQTT 3.1.1', () => peerIdle(mosquitto, devices, false)),
        ]),
  ]
  for (let round = 0; round < options.rounds; round++) {
    for (const { name, measure, runs } of rows) {
      progress(`round ${round + 1} of ${options.rounds}: ${name}`)
      const run = await measure()
      if (run !== undefined) runs.push(run)
    }
  }
  progress('')
  const two = (value: number): string => fixed(value, 2)
  const measured = rows.filter(({ runs }) => runs.length > 0)
  printTable(
    `idle: ${devices} connected devices, ready for commands, RSS once garbage is collected`,
    ['', 'KiB a device', 'of it JS heap', 'the second half', 'connects/s'],
    measured.map(({ name, runs }) => [
      name,
      spread(
        runs.map((run) => run.kbPerDevice),
        two,
      ),
      two(median(runs.map((run) => run.heapKbPerDevice))),
      two(median(runs.map((run) => run.laterKbPerDevice))),
      spread(
        runs.map((run) => run.connectsPerSecond),
        whole,
      ),
    ]),
  )
  console.log()
  for (const { name, kind, runs } of measured) {
    const [target, aim] = (kind && targets[kind]) ?? []
    if (target === undefined) continue
    const kb = median(runs.map((run) => run.kbPerDevice))
    verdict(`KiB an idle device, ${name}`, kb, target, aim, 2, 'less')
  }
}

async function ourIdle(
  options: Options,
  kind: DeviceKind,
  devices: number,
  channel?: string,
): Promise<Idle> {
  const folder = makeFolder(options)
  const load = newLoad()
  const first = await startFor(folder, kind)
  const count = devices + firstDevices
  await load.ask('registerMany', { port: first.ports.api, key: first.key, count })
  // What registering left in memory is no device's: a fresh process.
  await first.stop()
  const gateway = await startFor(folder, kind, collectableArgs)
  const port = gateway.ports[protocols[kind].listener]
  const connect = (from: number, more: number): Promise<number> =>
    load.ask('connectDevices', { port, count: more, from, kind, ...(channel && { channel }) })
  const idle = await measure(gateway.pid, devices, connect, () => heapOf(gateway))
  const lost = await load.ask('lostDevices')
  if (lost > 0) throw new Error(`${lost} devices were cut off`)
  await load.stop()
  await gateway.stop()
  removeFolder(folder)
  return idle
}

async function bareIdle(devices: number): Promise<Idle> {
  const load = newLoad()
  const server = new Worker<BareAnswers>('bare.ts', cores.server, collectableArgs)
  const { pike } = await server.ask('start', { key: 'none', folder: undefined })
  const connect = (from: number, count: number): Promise<number> =>
    load.ask('connectDevices', { port: pike, count, from })
  const idle = await measure(server.pid, devices, connect, noHeap)
  await load.stop()
  await server.stop()
  return idle
}

async function peerIdle(
  startPeer: StartPeer,
  devices: number,
  isNode = true,
): Promise<Idle | undefined> {
  const peer = await startPeer()
  if (peer === undefined) return undefined
  const load = newLoad()
  const connect = (from: number, count: number): Promise<number> =>
    load.ask('connectDevices', { port: peer.port, count, from, kind: 'mqtt', bare: true })
  const idle = await measure(peer.pid, devices, connect, noHeap, isNode)
  await load.stop()
  await peer.stop()
  return idle
}

async function measure(
  pid: number,
  devices: number,
  connect: (from: number, count: number) => Promise<number>,
  heap: () => Promise<number>,
  isNode = true,
): Promise<Idle> {
  const settled = async (): Promise<number> => {
    // Of itself a process that has fallen silent does this after a minute or later.
    if (isNode) await collectGarbage(pid)
    return settledRss(pid)
  }
  await connect(0, firstDevices)
  const rssBefore = await settled()
  const heapBefore = await heap()
  const half = devices >> 1
  let tookMs = await connect(firstDevices, half)
  const rssHalf = await settled()
  tookMs += await connect(firstDevices + half, devices - half)
  const rss = await settled()
  const heapAfter = await heap()
  return {
    kbPerDevice: (rss - rssBefore) / 1024 / devices,
    laterKbPerDevice: (rss - rssHalf) / 1024 / (devices - half),
    heapKbPerDevice: (heapAfter - heapBefore) / 1024 / devices,
    connectsPerSecond: (devices * 1000) / tookMs,
  }
}

const noHeap = async (): Promise<number> => Number.NaN

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
