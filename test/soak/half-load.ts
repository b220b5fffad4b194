import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadAnswers } from '../bench/load.ts'
import { cores } from '../bench/machine.ts'
import { Worker } from '../bench/worker.ts'
import type { World } from '../crash/world.ts'

export interface HalfLoadOptions {
  readonly devices: number
  /** Calls a second; undefined: half of what the gateway can, looked for first. */
  readonly rate: number | undefined
}

export interface Slice {
  readonly accepted: number
  readonly lost: number
  readonly repeated: number
  readonly reordered: number
  readonly refused: number
  readonly p99Ms: number
}

const app = 'soak'
const connections = 64
const saturateSeconds = 8
const eventsAMinute = 20_000

/** Single commands to Pike devices of an app of their own, at a steady rate, and events of them. */
export class HalfLoad {
  readonly #worker = new Worker<LoadAnswers>('load.ts', cores.load)
  readonly #options: HalfLoadOptions
  rate = 0

  constructor(options: HalfLoadOptions) {
    this.#options = options
  }

  async begin(world: World): Promise<void> {
    const { devices } = this.#options
    const { port } = world.api.base!
    await made(world, `/v1/apps/${app}`, {})
    const scopes = ['devices', 'commands', 'events']
    const { key } = (await made(world, `/v1/apps/${app}/keys/soak`, { scopes })) as { key: string }
    await this.#worker.ask('registerMany', { port, key, count: devices })
    const pike = world.server.listeners.get('pike')!.port
    await this.#worker.ask('connectDevices', { port: pike, count: devices, app })
    await this.#worker.ask('connectBackEnds', { port, key, count: connections })
    const asked = { seconds: saturateSeconds, warmupSeconds: 4, rate: undefined }
    this.rate =
      this.#options.rate ??
      (await this.#worker.ask('commands', { ...asked, serverPid: world.server.pid })).perSecond / 2
  }

  async run(world: World, seconds: number): Promise<Slice> {
    const { pid: serverPid } = world.server
    const asked = { seconds, warmupSeconds: 0, rate: this.rate, serverPid }
    const run = await this.#worker.ask('commands', asked)
    const events = { seconds: 0, warmupSeconds: 0, outstanding: 4, events: eventsAMinute }
    const { sent, acknowledged } = await this.#worker.ask('events', { ...events, serverPid })
    // What was accepted last has its outcome written.
    await sleep(500)
    return {
      ...{ accepted: run.accepted, repeated: run.repeated, reordered: run.reordered },
      lost: run.lost + (sent - acknowledged),
      refused: Object.values(run.refused).reduce((sum, count) => sum + count, 0),
      p99Ms: run.receiptMs.p99,
    }
  }

  stop(): Promise<void> {
    return this.#worker.stop()
  }
}

async function made(world: World, path: string, body: object): Promise<unknown> {
  const answer = await world.api.call('PUT', path, { body })
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text}`)
  return answer.body
}
