import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PikeBackend } from '../../src/backend/index.ts'
import { deviceName, deviceSecret } from '../bench/device.ts'
import { cores, cpuBetween, cpuOf } from '../bench/machine.ts'
import { Worker } from '../bench/worker.ts'
import { startGateway } from '../support/gateway-process.ts'
import type { answers } from './worker.ts'

export interface StormOptions {
  readonly devices: number
  readonly fault: 'kill' | 'polite'
  readonly seed: number
  /** Commands a second, to all devices in turn, before, while and after. */
  readonly rate: number
  readonly workers: number
  readonly addresses: number
  /** Longest wait for all to be back. */
  readonly patienceS: number
  readonly say: (line: string) => void
}

export interface StormResult {
  readonly options: StormOptions
  /** From the fault to the ready line of the next process. */
  readonly downMs: number
  readonly stopMs: number
  /** From the fault until 99 % were back. */
  readonly backMs: number
  readonly back: number
  /** Of those 99 %, by second from the first. */
  readonly perSecond: readonly number[]
  readonly peakOverMean: number
  /** Of the next process, from ready until all were back, for each; and of it its main thread. */
  readonly cpuUs: number
  readonly mainUs: number
  /** Of the next process until then: its longest commit, and the longest its thread was busy with one thing. */
  readonly commitMaxMs: number
  readonly busyMaxMs: number
  readonly accepted: number
  readonly lost: number
  readonly repeats: number
  /** From accepted to received, of those accepted since the fault, or not received by then. */
  readonly waitMaxMs: number
  /** The same without the time until the next process was ready: what the devices' coming back adds. */
  readonly waitOnceReadyMaxMs: number
}

/** Within a process there is room for so many sockets, beside what else it has open. */
const perWorkerMax = 5_000

export async function runStorm(options: StormOptions): Promise<StormResult> {
  const { devices, fault, seed, addresses, say } = options
  const dataDir = mkdtempSync(join(tmpdir(), 'pike-storm-'))
  const [api, pike] = [await freePort(), await freePort()]
  const start = () =>
    startGateway({
      ...{ dataDir, ports: { api, pike }, startMaxMs: 120_000 },
      env: { PIKE_DEVICE_HOST: '0.0.0.0', PIKE_LOG_LEVEL: 'error' },
    })
  let gateway = await start()
  const workers = Array.from(
    { length: Math.max(options.workers, Math.ceil(devices / perWorkerMax)) },
    () => new Worker<typeof answers>('../storm/worker.ts', cores.load),
  )
  const backend = new PikeBackend({
    ...{ url: gateway.url, key: gateway.apiKey, retry: { forMs: 120_000 } },
  })
  const sender = new Sender(backend, devices, options.rate)
  try {
    await register(backend, devices)
    say(`${devices} devices registered`)
    const share = Math.ceil(devices / workers.length)
    await Promise.all(
      workers.map((worker, i) => {
        const from = i * share
        const count = Math.max(0, Math.min(share, devices - from))
        return worker.ask('begin', { port: pike, from, count, addresses, seed: seed + i })
      }),
    )
    const counts = async () => {
      const all = await Promise.all(workers.map((worker) => worker.ask('count')))
      const sum = (of: 'running' | 'back' | 'received'): number =>
        all.reduce((total, one) => total + one[of], 0)
      return { running: sum('running'), back: sum('back'), received: sum('received') }
    }
    const until = async (what: string, is: (c: Awaited<ReturnType<typeof counts>>) => boolean) => {
      const endMs = performance.now() + options.patienceS * 1000
      for (;;) {
        const now = await counts()
        if (is(now)) return true
        if (performance.now() > endMs) {
          say(`not in ${options.patienceS} s: ${what}; ${JSON.stringify(now)}`)
          return false
        }
        await sleep(200)
      }
    }
    if (!(await until('all are connected', ({ running }) => running === devices)))
      throw new Error('they did not all connect: enough descriptors (ulimit -n)?')
    say('all are connected')
    sender.start()
    await sleep(2_000)
    await Promise.all(workers.map((worker) => worker.ask('fault')))
    const faultMs = Date.now()
    say(fault === 'kill' ? 'SIGKILL' : 'SIGTERM')
    await gateway.kill(fault === 'kill' ? 'SIGKILL' : 'SIGTERM')
    const stopMs = Date.now() - faultMs
    gateway = await start()
    const downMs = Date.now() - faultMs
    say(`ready again after ${downMs} ms`)
    const ready = cpuOf(gateway.pid)
    await until('all are back', ({ back }) => back === devices)
    const used = cpuBetween(ready, cpuOf(gateway.pid))
    const stalls = await stallsOf(gateway)
    await sender.stop()
    const accepted = sender.accepted.size
    await until('every command has arrived', ({ received }) => received >= accepted)
    const results = await Promise.all(workers.map((worker) => worker.ask('result')))
    const backs = results.flatMap((one) => one.backMs).sort((a, b) => a - b)
    return {
      ...{ options, downMs, stopMs, accepted },
      cpuUs: used.totalUs / devices,
      mainUs: used.mainUs / devices,
      ...stalls,
      ...judgeReturn(backs, devices, faultMs),
      ...judgeCommands(
        sender.accepted,
        new Map(results.flatMap((one) => one.received)),
        faultMs,
        faultMs + downMs,
      ),
      repeats: results.reduce((total, { repeats }) => total + repeats, 0),
    }
  } finally {
    await sender.stop()
    await Promise.all(workers.map((worker) => worker.stop()))
    await gateway.kill().catch(() => {})
    rmSync(dataDir, { recursive: true, force: true })
  }
}

async function stallsOf({ url, apiKey }: { readonly url: string; readonly apiKey: string }) {
  const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } })
  const text = await answer.text()
  const ms = (name: string): number =>
    Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]) * 1000
  return {
    commitMaxMs: ms('pike_engine_commit_longest_seconds'),
    busyMaxMs: ms('nodejs_eventloop_lag_max_seconds'),
  }
}

/** When who is back, and how even that was. */
export function judgeReturn(backs: readonly number[], devices: number, faultMs: number) {
  const wanted = Math.ceil(devices * 0.99)
  const counted = backs.slice(0, wanted)
  const firstMs = counted[0] ?? faultMs
  const perSecond: number[] = []
  for (const atMs of counted) {
    const second = Math.floor((atMs - firstMs) / 1000)
    while (perSecond.length <= second) perSecond.push(0)
    perSecond[second]!++
  }
  const lastMs = counted.at(-1) ?? faultMs
  // The last second is not a whole one: the mean is by the time it took.
  const mean = counted.length / Math.max(1, (lastMs - firstMs) / 1000)
  return {
    back: backs.length,
    backMs: counted.length < wanted ? Number.POSITIVE_INFINITY : lastMs - faultMs,
    perSecond,
    peakOverMean: counted.length === 0 ? 0 : Math.max(...perSecond) / mean,
  }
}

/** What became of what was accepted. */
export function judgeCommands(
  accepted: ReadonlyMap<number, number>,
  received: ReadonlyMap<number, number>,
  faultMs: number,
  readyMs: number,
) {
  let [lost, waitMaxMs, waitOnceReadyMaxMs] = [0, 0, 0]
  for (const [n, acceptedMs] of accepted) {
    const receivedMs = received.get(n)
    if (receivedMs === undefined) lost++
    else if (receivedMs >= faultMs) {
      waitMaxMs = Math.max(waitMaxMs, receivedMs - acceptedMs)
      const sinceMs = Math.max(acceptedMs, readyMs)
      waitOnceReadyMaxMs = Math.max(waitOnceReadyMaxMs, receivedMs - sinceMs)
    }
  }
  return { lost, waitMaxMs, waitOnceReadyMaxMs }
}

/** A command at a time to each device in turn; each is asked for until there is an answer. */
class Sender {
  readonly #pike: PikeBackend
  readonly #devices: number
  readonly #rate: number
  readonly accepted = new Map<number, number>()
  readonly #asking = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #next = 0

  constructor(pike: PikeBackend, devices: number, rate: number) {
    this.#pike = pike
    this.#devices = devices
    this.#rate = rate
  }

  start(): void {
    this.#timer = setInterval(() => {
      // Those asked for in vain are repeated all the while.
      if (this.#asking.size < this.#rate) this.#send(this.#next++)
    }, 1000 / this.#rate)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#asking)
  }

  #send(n: number): void {
    // A prime's steps, so that neighbours in time are no neighbours in name.
    const device = deviceName((n * 7_919) % this.#devices)
    const asked = this.#pike
      .send(device, { name: 'open', payload: n })
      .then(() => void this.accepted.set(n, Date.now()))
      .catch(() => {}) // never accepted: nobody waits for it
      .finally(() => this.#asking.delete(asked))
    this.#asking.add(asked)
  }
}

async function register(pike: PikeBackend, devices: number): Promise<void> {
  const lines = Array.from({ length: devices }, (_, i) => ({
    device: deviceName(i),
    secret: deviceSecret(i),
  }))
  for await (const answer of pike.devices.import(lines))
    if ('problem' in answer && answer.problem !== undefined)
      throw new Error(JSON.stringify(answer.problem))
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
