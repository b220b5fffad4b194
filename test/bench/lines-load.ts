import { type BenchDevice, connectDevices, deviceName, deviceSecret } from './device.ts'
import { makeDevice } from './devices.ts'
import { type Quantiles, Samples } from './figures.ts'
import { numberIn } from './http-connection.ts'
import { CommandLines, LinesConnection } from './lines-connection.ts'
import { type Cpu, type CpuUse, cpuBetween, cpuOf, sharedUs } from './machine.ts'
import type { DeviceKind } from './options.ts'

export interface LinesAsked {
  readonly port: number
  readonly key: string
  /** Devices 0 to this, in turn. */
  readonly devices: number
  readonly connections: number
  /** The window opens after this; `lines` is how many are sent instead of a window. */
  readonly seconds: number
  readonly warmupSeconds: number
  readonly lines?: number
  /** Written and not received by their devices, at most; left out: as fast as they are answered. */
  readonly undeliveredMax?: number
  readonly serverPid: number
}

export interface LinesRun {
  /** Accepted in the window; with connected devices: accepted and received. */
  readonly perSecond: number
  readonly done: number
  /** Of the whole run. */
  readonly accepted: number
  readonly refused: Readonly<Record<string, number>>
  readonly lost: number
  readonly repeated: number
  readonly reordered: number
  /** ms from when a line was written to its answer. */
  readonly answerMs: Quantiles
  readonly server: CpuUse
  readonly load: CpuUse
  /** The window, or all of it where there is none, ms. */
  readonly elapsedMs: number
  /** The same, µs of the clock that every process of a machine shares. */
  readonly window: readonly [fromUs: number, toUs: number]
}

const payloadBytes = 100
const commandsMax = 4_000_000
const drainMaxMs = 120_000
/** Written and not answered on one connection: more than the server reads ahead, so that it never waits for us. */
const outstandingMax = 2_048
const answered = 1
const received = 2

/** Lines of one run, from the call to the device. */
export class LinesLoad {
  readonly #asked: LinesAsked
  readonly #absent: boolean
  readonly #ends = new Uint8Array(commandsMax)
  readonly #atMs = new Float64Array(commandsMax)
  readonly #newest: Int32Array
  readonly #lines = new CommandLines(payloadBytes)
  readonly #answerMs = new Samples()
  readonly #refused = new Map<number, number>()
  /** Numbers each connection has written and not had answered, in order; read from `head` on. */
  readonly #all: LinesConnection[] = []
  readonly #queues = new Map<LinesConnection, { numbers: number[]; head: number; turn: number }>()
  #made = 0
  #running = true
  #fromMs = Number.POSITIVE_INFINITY
  #toMs = Number.POSITIVE_INFINITY
  #done = 0
  #accepted = 0
  #received = 0
  #repeated = 0
  #reordered = 0

  /** @param devices connected ones; none: they are absent, and a line is done when it is answered. */
  constructor(asked: LinesAsked, devices: readonly BenchDevice[]) {
    this.#asked = asked
    this.#absent = devices.length === 0
    this.#newest = new Int32Array(asked.devices).fill(-1)
    for (const device of devices) {
      device.onCommand = (at, payload) => this.#onCommand(at.index, numberIn(payload))
    }
  }

  async run(): Promise<LinesRun> {
    const { port, key, connections, serverPid, seconds, warmupSeconds, lines } = this.#asked
    const all = this.#all
    let server: Cpu = cpuOf(serverPid)
    let load: Cpu = cpuOf(process.pid)
    const startMs = performance.now()
    for (let index = 0; index < connections; index++) {
      const connection = new LinesConnection(
        (from, status) => this.#onAnswer(from, status),
        (from) => this.#fill(from),
      )
      this.#queues.set(connection, { numbers: [], head: 0, turn: index })
      await connection.open(port, key, '/v1/commands')
      all.push(connection)
    }
    for (const connection of all) this.#fill(connection)
    if (lines === undefined) {
      await sleep(warmupSeconds * 1000)
      server = cpuOf(serverPid)
      load = cpuOf(process.pid)
      this.#fromMs = performance.now()
      this.#toMs = this.#fromMs + seconds * 1000
      await sleep(seconds * 1000)
    } else {
      this.#fromMs = startMs
      while (this.#running || all.some((one) => one.outstanding > 0)) await sleep(2)
    }
    const elapsedMs = performance.now() - this.#fromMs
    this.#toMs = performance.now()
    const serverUse = cpuBetween(server, cpuOf(serverPid))
    const loadUse = cpuBetween(load, cpuOf(process.pid))
    const done = this.#done
    this.#running = false
    await Promise.all(all.map((connection) => connection.end()))
    const untilMs = performance.now() + drainMaxMs
    while (!this.#absent && this.#received < this.#accepted && performance.now() < untilMs) {
      await sleep(5)
    }
    let lost = 0
    for (let n = 0; n < this.#made; n++) if (!this.#absent && this.#ends[n] === answered) lost++
    return {
      perSecond: (done * 1000) / elapsedMs,
      done,
      accepted: this.#accepted,
      refused: Object.fromEntries(this.#refused),
      lost,
      repeated: this.#repeated,
      reordered: this.#reordered,
      answerMs: this.#answerMs.summary(),
      server: serverUse,
      load: loadUse,
      elapsedMs,
      window: windowOf(this.#fromMs, elapsedMs),
    }
  }

  /** As many more lines as there is room for, in one chunk. */
  #fill(connection: LinesConnection): void {
    if (!this.#running) return
    const max = Math.min(this.#asked.lines ?? commandsMax, commandsMax)
    const { undeliveredMax = Number.POSITIVE_INFINITY } = this.#asked
    const room = Math.min(
      outstandingMax - connection.outstanding,
      undeliveredMax - (this.#made - this.#received),
    )
    const count = Math.min(room, max - this.#made)
    if (this.#made + count >= max) this.#running = false
    // Few at a time would be many small writes.
    if (count < Math.min(outstandingMax, undeliveredMax) / 4 && this.#running) return
    if (count <= 0) return
    const queue = this.#queues.get(connection)!
    const nowMs = performance.now()
    const { connections, devices } = this.#asked
    const lines = this.#lines.make(count, () => {
      // A device belongs to one connection, so that the order of its commands is known.
      const device = queue.turn
      queue.turn += connections
      if (queue.turn >= devices) queue.turn %= connections
      const number = this.#made++
      this.#atMs[number] = nowMs
      queue.numbers.push(number)
      return { device, number }
    })
    connection.write(lines, count)
  }

  #onAnswer(connection: LinesConnection, status: number): void {
    const queue = this.#queues.get(connection)!
    const number = queue.numbers[queue.head++]!
    if (queue.head === queue.numbers.length || queue.head >= 65_536) {
      queue.numbers.splice(0, queue.head)
      queue.head = 0
    }
    if (status !== 202) {
      this.#refused.set(status, (this.#refused.get(status) ?? 0) + 1)
      return
    }
    this.#accepted++
    const nowMs = performance.now()
    if (nowMs >= this.#fromMs && nowMs <= this.#toMs)
      this.#answerMs.add(nowMs - this.#atMs[number]!)
    this.#end(number, answered, nowMs)
  }

  #onCommand(device: number, number: number): void {
    if ((this.#ends[number]! & received) !== 0) {
      this.#repeated++
      return
    }
    if (number < this.#newest[device]!) this.#reordered++
    else this.#newest[device] = number
    this.#received++
    this.#end(number, received, performance.now())
    const { undeliveredMax } = this.#asked
    if (undeliveredMax === undefined || this.#received % (undeliveredMax >> 4) !== 0) return
    for (const connection of this.#all) this.#fill(connection)
  }

  #end(number: number, end: number, nowMs: number): void {
    const ends = this.#ends[number]! | end
    this.#ends[number] = ends
    if (nowMs < this.#fromMs || nowMs > this.#toMs) return
    if (ends === (answered | received) || (this.#absent && end === answered)) this.#done++
  }
}

export interface DrainAsked {
  readonly port: number
  /** Left out: Pike. */
  readonly kind?: DeviceKind
  readonly devices: number
  /** Commands that wait for them. */
  readonly wanted: number
  readonly serverPid: number
}

export interface DrainRun {
  readonly perSecond: number
  readonly received: number
  readonly repeated: number
  readonly reordered: number
  readonly server: CpuUse
  readonly load: CpuUse
  readonly elapsedMs: number
  readonly window: readonly [fromUs: number, toUs: number]
}

/** Connects devices for which commands wait, and counts from the first connect to the last receipt. */
export async function drain(asked: DrainAsked, into: BenchDevice[]): Promise<DrainRun> {
  const seen = new Uint8Array(commandsMax)
  const newest = new Int32Array(asked.devices).fill(-1)
  let count = 0
  let repeated = 0
  let reordered = 0
  const server = cpuOf(asked.serverPid)
  const load = cpuOf(process.pid)
  const fromMs = performance.now()
  into.push(
    ...(await connectDevices(
      makeDevice[asked.kind ?? 'pike'],
      asked.port,
      0,
      asked.devices,
      (device) => {
        device.onCommand = ({ index }, payload) => {
          const number = numberIn(payload)
          if (seen[number] === 1) {
            repeated++
            return
          }
          seen[number] = 1
          if (number < newest[index]!) reordered++
          else newest[index] = number
          count++
        }
      },
    )),
  )
  const untilMs = performance.now() + drainMaxMs
  while (count < asked.wanted && performance.now() < untilMs) await sleep(1)
  const elapsedMs = performance.now() - fromMs
  return {
    perSecond: (count * 1000) / elapsedMs,
    received: count,
    repeated,
    reordered,
    server: cpuBetween(server, cpuOf(asked.serverPid)),
    load: cpuBetween(load, cpuOf(process.pid)),
    elapsedMs,
    window: windowOf(fromMs, elapsedMs),
  }
}

/** Devices 0 to count in one call. @returns how many a second. */
export async function registerMany(port: number, key: string, count: number): Promise<number> {
  const fromMs = performance.now()
  let next = 0
  const connection = new LinesConnection(
    (_, status) => {
      if (status !== 200 && status !== 201) throw new Error(`registering: status ${status}`)
    },
    () => fill(),
  )
  const fill = (): void => {
    const room = Math.min(outstandingMax - connection.outstanding, count - next)
    if (room <= 0 || (room < outstandingMax / 4 && next + room < count)) return
    let text = ''
    for (let i = 0; i < room; i++, next++) {
      text += `{"device":"${deviceName(next)}","secret":"${deviceSecret(next)}"}\n`
    }
    connection.write(Buffer.from(text), room)
  }
  await connection.open(port, key, '/v1/devices')
  fill()
  while (next < count || connection.outstanding > 0) await sleep(2)
  await connection.end()
  return (count * 1000) / (performance.now() - fromMs)
}

/** On the clock of the machine, for a stretch that ends now. */
function windowOf(fromMs: number, elapsedMs: number): readonly [number, number] {
  const fromUs = sharedUs() - (performance.now() - fromMs) * 1000
  return [fromUs, fromUs + elapsedMs * 1000]
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
