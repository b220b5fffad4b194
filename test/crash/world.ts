import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeSecret } from '../../src/secrets/secrets.ts'
import { CrashDevice } from './device.ts'
import { Follower } from './follow.ts'
import { Api, fieldOf, textOf } from './http.ts'
import type { CountsSeen, Journal } from './journal.ts'
import { newJournal } from './journal.ts'
import { Load, sleep } from './load.ts'
import { Random } from './random.ts'
import { type Sabotage, Server } from './server.ts'
import { Tap } from './tap.ts'
import { Volume } from './volume.ts'

export interface WorldOptions {
  readonly seed: number
  readonly devices: number
  /** Commands a second, in sum. */
  readonly rate: number
  /** A file system of its own of this size, for disk and power; undefined: a plain folder. */
  readonly volumeMb: number | undefined
  readonly sabotage?: Sabotage
  /** How long a device's connection lives before the network takes it. */
  readonly lifeMs?: readonly [min: number, max: number]
}

const usualLifeMs = [150, 4_000] as const
/** Nothing that is due may take longer than this once all is calm: 3 s of ttl, 10 s of doubt, 3 s
 * for a reply; a channel two clients fought for is held for 60 s on top. */
const quiesceMaxMs = 100_000

/** A gateway and everything around it that talks to it. */
export class World {
  readonly journal: Journal = newJournal()
  readonly api: Api
  readonly load: Load
  readonly tap: Tap
  readonly random: Random
  readonly volume: Volume | undefined
  readonly follower: Follower
  readonly #devices: CrashDevice[] = []
  readonly #options: WorldOptions
  readonly #dataDir: string
  readonly #ownFolder: string | undefined
  readonly #apiKey = makeSecret()
  readonly #registered = new Set<string>()
  #server: Server | undefined
  #era = 0
  #deaf = false
  #expectedEnd: Server | undefined
  #kept: string | undefined
  #tapPort = 0
  #stopped = false

  private constructor(options: WorldOptions, volume: Volume | undefined, ownFolder?: string) {
    this.#options = options
    this.volume = volume
    this.#ownFolder = ownFolder
    this.#dataDir = volume === undefined ? ownFolder! : join(volume.path, 'data')
    this.random = new Random(options.seed)
    this.api = new Api(this.#apiKey)
    const { journal, api } = this
    const era = (): number => (this.#deaf ? Number.NaN : this.#era)
    this.tap = new Tap({
      journal,
      random: this.random.fork(),
      lifeMs: options.lifeMs ?? usualLifeMs,
    })
    this.follower = new Follower({ journal, api, era })
    const names = Array.from({ length: options.devices }, (_, at) => `crash-${at + 1}`)
    for (const name of names) {
      this.#devices.push(new CrashDevice(name, makeSecret(), journal, this.random.fork()))
    }
    this.load = new Load({
      journal,
      api,
      random: this.random.fork(),
      devices: names,
      rate: options.rate,
      era,
    })
  }

  static async create(options: WorldOptions): Promise<World> {
    if (options.volumeMb === undefined) {
      return new World(options, undefined, await mkdtemp(join(tmpdir(), 'pike-crash-')))
    }
    return new World(options, await Volume.create(options.volumeMb))
  }

  get server(): Server {
    if (this.#server === undefined) throw new Error('the gateway was never started')
    return this.#server
  }

  /** Where the data is after an end that kept it. */
  get kept(): string {
    return this.#kept ?? this.#dataDir
  }

  /** Start the process; it is where everybody finds it once ready. */
  async startServer(): Promise<void> {
    const server = Server.spawn(this.#dataDir, this.#apiKey, this.#options.sabotage)
    this.#server = server
    void server.exited.then(({ code, signal }) => {
      if (server === this.#expectedEnd || this.#stopped) return
      this.#oddity('died', `the gateway ended by itself (${code ?? signal}):\n${server.said}`)
    })
    await server.ready()
    this.tap.target(server.pike)
    this.api.at(server.api)
  }

  /** From here on the process may end; whatever it still says is heard. */
  expectEnd(): void {
    this.#expectedEnd = this.#server
  }

  /** The process is gone: nobody is at its address. */
  gone(): void {
    this.tap.target(undefined)
    this.api.at(undefined)
  }

  /** Cut the world off: from this moment on nobody hears anything the gateway says. */
  gag(on: boolean): void {
    this.#deaf = on
    if (!on) this.#era++
    this.tap.gag(on)
  }

  /** Devices, log reader and load begin. Calling it again after a crash in the middle goes on. */
  async begin(): Promise<void> {
    if (this.#tapPort === 0) this.#tapPort = await this.tap.listen()
    for (const device of this.#devices) await this.#register(device)
    for (const device of this.#devices) device.start(this.#tapPort)
    this.follower.start()
    this.load.start()
  }

  async #register(device: CrashDevice): Promise<void> {
    if (this.#registered.has(device.name)) {
      const { status } = await this.api.call('GET', `/v1/devices/${device.name}`)
      if (status === 200) return
      this.#oddity('device-lost', `${device.name} was registered and is answered ${status}`)
    }
    const eraThen = this.#era
    const { status, text } = await this.api.call('PUT', `/v1/devices/${device.name}`, {
      body: { secret: device.secret },
    })
    if (status >= 300) throw new Error(`registering a device was answered ${status}: ${text}`)
    if (eraThen === this.#era && !this.#deaf) this.#registered.add(device.name)
  }

  /** What became of accepted commands that have no published end yet. */
  async look(all: boolean): Promise<void> {
    const { journal } = this
    const ended = new Set<string>()
    if (!all) for (const entry of journal.log) if (entry.command) ended.add(entry.command)
    const ids = new Set<string>()
    for (const ask of journal.asks) {
      for (const { accepted } of ask.attempts) {
        if (accepted !== undefined && !ended.has(accepted.id)) ids.add(accepted.id)
      }
    }
    const queue = [...ids]
    const one = async (): Promise<void> => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        await this.#status(id, all ? 5 : 1)
      }
    }
    await Promise.all(Array.from({ length: 8 }, one))
  }

  async #status(id: string, patience: number): Promise<void> {
    for (; patience > 0; patience--) {
      try {
        const { status, body } = await this.api.call('GET', `/v1/commands/${id}`)
        if (status !== 200 && status !== 404) throw new Error(`answered ${status}`)
        this.journal.statuses.set(id, {
          kind: status === 404 ? 'missing' : fieldOf(body, 'ended') === true ? 'ended' : 'open',
          status: textOf(body, 'status') ?? '',
          name: textOf(body, 'name'),
          atMs: Date.now(),
        })
        return
      } catch {
        if (patience > 1) await sleep(300)
      }
    }
  }

  /** No more faults, no more load: wait until nothing is due any more, then look at everything. */
  async quiesce(progress: (text: string) => void): Promise<void> {
    const { journal } = this
    this.tap.lifeMs(undefined)
    for (const device of this.#devices) device.calm()
    await this.load.stop()
    const untilMs = Date.now() + quiesceMaxMs
    for (;;) {
      const ended = new Set<string>()
      for (const entry of journal.log) {
        if (entry.type === 'command.ended' && entry.command) ended.add(entry.command)
      }
      let open = 0
      for (const ask of journal.asks) {
        for (const { accepted } of ask.attempts) if (accepted && !ended.has(accepted.id)) open++
      }
      const counts = await this.counts()
      const waiting = this.#devices.reduce((sum, device) => sum + device.waiting, 0)
      if (open === 0 && waiting === 0 && (counts === undefined || counts.open === 0)) break
      progress(`quiescing: ${open} open here, ${counts?.open} there, ${waiting} in outboxes`)
      if (Date.now() > untilMs) break
      await sleep(250)
    }
    // The reader's page in flight brings what was published last.
    await sleep(1_500)
    await this.follower.stop()
    journal.counts = await this.counts()
    journal.reread = await this.follower.reread()
    await this.look(true)
    const missing = this.#devices.filter((device) => device.waiting > 0)
    for (const device of missing) {
      this.#oddity(
        'outbox-stuck',
        `${device.name} is ${device.state} with ${device.waiting} uplinks unacknowledged`,
      )
    }
  }

  /** The gateway's own counting; undefined where it does not say. */
  async counts(): Promise<CountsSeen | undefined> {
    try {
      const { status, text } = await this.api.call('GET', '/metrics')
      if (status !== 200) return undefined
      const sum = (name: string): number | undefined => {
        let total: number | undefined
        for (const line of text.split('\n')) {
          if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue
          total = (total ?? 0) + Number(line.slice(line.lastIndexOf(' ')))
        }
        return total
      }
      const accepted = sum('pike_commands_accepted_total')
      const open = sum('pike_commands_open')
      if (accepted === undefined || open === undefined) return undefined
      return { accepted, open, ended: sum('pike_commands_ended_total') ?? 0 }
    } catch {
      return undefined
    }
  }

  #oddity(rule: string, text: string): void {
    this.journal.oddities.push({ rule, text })
  }

  oddity(rule: string, text: string): void {
    this.#oddity(rule, text)
  }

  /** Ends everything. `keep`: the data stays, where {@link kept} says. */
  async end(keep: boolean): Promise<void> {
    this.#stopped = true
    for (const device of this.#devices) await device.stop()
    await this.tap.close()
    if (this.#server?.alive === true) await this.#server.kill()
    this.gone()
    this.load.abandon()
    await this.load.stop()
    await this.follower.stop()
    if (this.volume !== undefined) {
      if (keep) {
        this.#kept = await mkdtemp(join(tmpdir(), 'pike-crash-kept-'))
        await cp(this.#dataDir, this.#kept, { recursive: true })
      }
      await this.volume.remove()
    } else if (!keep) await rm(this.#ownFolder!, { recursive: true, force: true })
  }
}
