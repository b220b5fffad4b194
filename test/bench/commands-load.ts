import type { BenchDevice } from './device.ts'
import { type Quantiles, Samples } from './figures.ts'
import { CommandRequest, HttpConnection, numberIn } from './http-connection.ts'
import { type Cpu, type CpuUse, cpuBetween, cpuOf, type Pids, sharedUs } from './machine.ts'

export interface CommandsAsked {
  readonly seconds: number
  /** The window opens after this, and after so many commands: code is slow until it has run often. */
  readonly warmupSeconds: number
  readonly warmupCommands?: number
  /** Calls a second at fixed times whatever the answers do; undefined: as fast as answers come. */
  readonly rate: number | undefined
  /** Whose CPU is read. */
  readonly serverPid: Pids
}

export interface CommandsRun {
  /** Answered 202 and acknowledged by the device, both within the window. */
  readonly perSecond: number
  readonly done: number
  /** Of the whole run, warm-up and drain included. */
  readonly accepted: number
  /** Other answers, by status; 0: the connection broke. */
  readonly refused: Readonly<Record<string, number>>
  readonly lost: number
  readonly repeated: number
  readonly reordered: number
  /** ms from when a call was made, or should have been by the schedule. */
  readonly answerMs: Quantiles
  readonly receiptMs: Quantiles
  readonly server: CpuUse
  readonly load: CpuUse
  /** The window, µs of the clock that every process of a machine shares. */
  readonly window: readonly [fromUs: number, toUs: number]
}

const payloadBytes = 100
/** Commands of one run. At the bound no more are sent. */
const commandsMax = 4_000_000
const warmupMaxMs = 30_000
const drainMaxMs = 30_000
const answered = 1
const received = 2

/** Commands from back ends to devices, and the eye on both ends of each. */
export class CommandsLoad {
  readonly #connections: readonly HttpConnection[]
  readonly #requests: readonly CommandRequest[]
  readonly #devices: readonly BenchDevice[]
  readonly #ends = new Uint8Array(commandsMax)
  readonly #device = new Uint32Array(commandsMax)
  /** When a command was sent, or due. */
  readonly #atMs = new Float64Array(commandsMax)
  #port = 0
  readonly #busy: Uint8Array
  readonly #newest: Int32Array
  #turn = 0
  /** Commands made, and of those sent. */
  #made = 0
  #sent = 0
  #idle: HttpConnection[] = []
  #running = false
  #paced = false
  #fromMs = Number.POSITIVE_INFINITY
  #toMs = Number.POSITIVE_INFINITY
  #done = 0
  #accepted = 0
  #received = 0
  #outstanding = 0
  #repeated = 0
  #reordered = 0
  #refused = new Map<number, number>()
  #answerMs = new Samples()
  #receiptMs = new Samples()

  constructor(key: string, connections: number, devices: readonly BenchDevice[]) {
    const onAnswer = (connection: HttpConnection, status: number): void =>
      this.#onAnswer(connection, status)
    this.#connections = Array.from({ length: connections }, () => new HttpConnection(onAnswer))
    this.#requests = this.#connections.map(() => new CommandRequest(key, payloadBytes))
    this.#devices = devices
    this.#busy = new Uint8Array(devices.length)
    this.#newest = new Int32Array(devices.length)
    for (const device of devices) device.onCommand = (at, payload) => this.#onCommand(at, payload)
    for (const [index, connection] of this.#connections.entries())
      this.#slots.set(connection, index)
  }

  readonly #slots = new Map<HttpConnection, number>()

  /** Also those that the server closed since, for want of calls. */
  async connect(port: number): Promise<void> {
    this.#port = port
    const closed = this.#connections.filter((connection) => !connection.isOpen)
    await Promise.all(closed.map((connection) => connection.connect(port)))
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }

  async run({
    seconds,
    warmupSeconds,
    warmupCommands = 0,
    rate,
    serverPid,
  }: CommandsAsked): Promise<CommandsRun> {
    this.#reset()
    await this.connect(this.#port)
    this.#running = true
    this.#paced = rate !== undefined
    this.#idle = [...this.#connections]
    if (rate !== undefined) this.#pace(1000 / rate)
    else for (const connection of this.#idle.splice(0)) this.#sendNext(connection)

    const warmUntilMs = performance.now() + warmupMaxMs
    await sleep(warmupSeconds * 1000)
    while (this.#accepted < warmupCommands && performance.now() < warmUntilMs) await sleep(20)
    const server: Cpu = cpuOf(serverPid)
    const load: Cpu = cpuOf(process.pid)
    const fromUs = sharedUs()
    this.#fromMs = performance.now()
    this.#toMs = this.#fromMs + seconds * 1000
    await sleep(seconds * 1000)
    const elapsedMs = performance.now() - this.#fromMs
    this.#toMs = performance.now()
    const serverUse = cpuBetween(server, cpuOf(serverPid))
    const loadUse = cpuBetween(load, cpuOf(process.pid))
    const done = this.#done
    this.#running = false

    const untilMs = performance.now() + drainMaxMs
    const open = (): boolean => this.#outstanding > 0 || this.#received < this.#accepted
    while (open() && performance.now() < untilMs) await sleep(5)
    let lost = 0
    for (let n = 0; n < this.#made; n++) if (this.#ends[n] === answered) lost++
    return {
      perSecond: (done * 1000) / elapsedMs,
      done,
      accepted: this.#accepted,
      refused: Object.fromEntries(this.#refused),
      lost,
      repeated: this.#repeated,
      reordered: this.#reordered,
      answerMs: this.#answerMs.summary(),
      receiptMs: this.#receiptMs.summary(),
      server: serverUse,
      load: loadUse,
      window: [fromUs, fromUs + elapsedMs * 1000],
    }
  }

  #reset(): void {
    this.#ends.fill(0)
    this.#busy.fill(0)
    this.#newest.fill(-1)
    this.#made = 0
    this.#sent = 0
    this.#fromMs = Number.POSITIVE_INFINITY
    this.#toMs = Number.POSITIVE_INFINITY
    this.#done = 0
    this.#accepted = 0
    this.#received = 0
    this.#outstanding = 0
    this.#repeated = 0
    this.#reordered = 0
    this.#refused = new Map()
    this.#answerMs = new Samples()
    this.#receiptMs = new Samples()
  }

  /** Timers are a millisecond coarse, so the schedule is looked at in every turn of the loop. */
  #pace(everyMs: number): void {
    let dueMs = performance.now()
    const look = (): void => {
      if (!this.#running) {
        // What is not sent by now would be answered in the next run.
        this.#made = this.#sent
        return
      }
      const nowMs = performance.now()
      for (; dueMs <= nowMs && this.#made < commandsMax; dueMs += everyMs) {
        this.#atMs[this.#made++] = dueMs
      }
      // In turn, so that none falls idle for so long that the server gives it up.
      while (this.#sent < this.#made && this.#idle.length > 0) this.#sendNext(this.#idle.shift()!)
      setImmediate(look)
    }
    look()
  }

  #sendNext(connection: HttpConnection): void {
    if (this.#paced ? this.#sent >= this.#made : !this.#running || this.#made >= commandsMax) {
      this.#idle.push(connection)
      return
    }
    // One call a device at a time: then the order in which they are accepted is known.
    let device = this.#turn
    do device = device + 1 === this.#devices.length ? 0 : device + 1
    while (this.#busy[device] === 1 && device !== this.#turn)
    this.#turn = device
    this.#busy[device] = 1
    const number = this.#sent++
    if (!this.#paced) {
      this.#made = this.#sent
      this.#atMs[number] = performance.now()
    }
    this.#device[number] = device
    this.#outstanding++
    connection.tag = number
    connection.send(this.#requests[this.#slots.get(connection)!]!.set(device, number))
  }

  #onAnswer(connection: HttpConnection, status: number): void {
    const number = connection.tag
    if (number < 0) {
      // Given up by the server between two calls.
      if (status === 0) this.#idle = this.#idle.filter((one) => one !== connection)
      return
    }
    connection.tag = -1
    this.#outstanding--
    this.#busy[this.#device[number]!] = 0
    if (status === 202) {
      this.#accepted++
      this.#end(number, answered, this.#answerMs)
    } else this.#refused.set(status, (this.#refused.get(status) ?? 0) + 1)
    if (status !== 0) this.#sendNext(connection)
  }

  #onCommand(device: BenchDevice, payload: Uint8Array): void {
    const number = numberIn(payload)
    if ((this.#ends[number]! & received) !== 0) {
      this.#repeated++
      return
    }
    if (number < this.#newest[device.index]!) this.#reordered++
    else this.#newest[device.index] = number
    this.#received++
    this.#end(number, received, this.#receiptMs)
  }

  #end(number: number, end: number, samples: Samples): void {
    const nowMs = performance.now()
    const ends = this.#ends[number]! | end
    this.#ends[number] = ends
    if (nowMs < this.#fromMs || nowMs > this.#toMs) return
    if (ends === (answered | received)) this.#done++
    samples.add(nowMs - this.#atMs[number]!)
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
