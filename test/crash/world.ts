import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Conditions } from '../../cli/weather/conditions.ts'
import { makeSecret } from '../../src/secrets/secrets.ts'
import { Random } from '../support/random.ts'
import { Asking, type Names, smallChannel } from './asking.ts'
import { BroadcastLoad } from './broadcasts.ts'
import { Caller } from './caller.ts'
import { storeIsSound } from './check.ts'
import { CrashDevice } from './device.ts'
import { Follower } from './follow.ts'
import { makeHooks } from './hooks.ts'
import { Api } from './http.ts'
import type { Journal } from './journal.ts'
import { newJournal } from './journal.ts'
import { LinesLoad } from './lines.ts'
import { Load } from './load.ts'
import { lookAtCommands } from './look.ts'
import { steadyTag } from './named-devices.ts'
import { NamesLoad } from './names.ts'
import { Network } from './network.ts'
import type { Parts } from './parts.ts'
import { mixed, rawDevices, type Speech } from './protocols.ts'
import type { WorldDevice } from './raw-device.ts'
import { Receiver } from './receiver.ts'
import { type Sabotage, Server } from './server.ts'
import { settle } from './settle.ts'
import { StallWatch } from './stalls.ts'
import { Volume } from './volume.ts'

export interface WorldOptions {
  readonly seed: number
  /** With a client of ours. */
  readonly devices: number
  /** What they speak; everything when absent. */
  readonly speech?: Speech | undefined
  /** Devices that remember nothing, of each protocol for which there are such; 2 when absent. */
  readonly raw?: number | undefined
  /** Devices report and reboot so many times less often than usual. */
  readonly seldom?: number | undefined
  /** Single commands a second, in sum. Calls of many lines bring half of that on top. */
  readonly rate: number
  readonly parts: Parts
  /** A file system of its own of this size, for disk and power; undefined: a plain folder. */
  readonly volumeMb: number | undefined
  readonly sabotage?: readonly Sabotage[] | undefined
  /** How long a device's connection lives before the network takes it. */
  readonly lifeMs?: readonly [min: number, max: number] | undefined
  /** Between devices and gateway; then the network takes no connections of its own. */
  readonly weather?: Conditions | undefined
  /** How long to wait at the end for what does not come any nearer. */
  readonly patienceMs?: number | undefined
  /** Bounds of the gateway other than its own. */
  readonly limits?: Readonly<Record<string, number>> | undefined
  /** For its process, beside what every run sets. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

const usualLifeMs = [150, 4_000] as const
/** So that what failed is tried again before the run is over. */
const usualLimits = {
  webhookTimeoutMs: 1_500,
  webhookRetryMinMs: 100,
  webhookRetryMaxMs: 1_500,
  // A long run makes more than a gateway remembers, and all are looked at in the end.
  broadcastsMaxKept: 100_000,
} as const

/** A gateway and everything around it that talks to it. */
export class World {
  readonly journal: Journal = newJournal()
  readonly api: Api
  readonly load: Load
  readonly network: Network
  readonly random: Random
  readonly volume: Volume | undefined
  readonly follower: Follower
  readonly #lines: LinesLoad | undefined
  readonly #broadcasts: BroadcastLoad | undefined
  readonly #namesLoad: NamesLoad
  readonly #receiver: Receiver
  readonly #caller: Caller
  readonly #stalls: StallWatch
  readonly #names: Names
  readonly #devices: WorldDevice[] = []
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
  #listening = false
  #stopped = false

  private constructor(options: WorldOptions, volume: Volume | undefined, ownFolder?: string) {
    this.#options = options
    this.volume = volume
    this.#ownFolder = ownFolder
    this.#dataDir = volume === undefined ? ownFolder! : join(volume.path, 'data')
    this.random = new Random(options.seed)
    this.api = new Api(this.#apiKey)
    const { journal, api } = this
    this.#stalls = new StallWatch(journal.stalls)
    const era = (): number => (this.#deaf ? Number.NaN : this.#era)
    this.network = new Network({
      journal,
      random: this.random.fork(),
      lifeMs: options.weather === undefined ? (options.lifeMs ?? usualLifeMs) : undefined,
      weather: options.weather,
      seed: options.seed,
    })
    this.follower = new Follower({ journal, api, era })
    this.#devices.push(...makeDevices(options, journal, this.random))
    const devices = this.#devices.map(({ name }) => name)
    const { parts, rate } = options
    const names: Names = {
      devices,
      aliases: [],
      ghosts: [],
      keys: new Set(),
      keyTexts: new Map(),
      callbackBase: undefined,
    }
    this.#names = names
    let n = 0
    const number = (): number => ++n
    const forked = (): { journal: Journal; api: Api; era: () => number; random: Random } => ({
      journal,
      api,
      era,
      random: this.random.fork(),
    })
    const asking = new Asking({ journal, random: this.random.fork(), parts, names, number })
    this.load = new Load({ ...forked(), asking, names, parts, rate })
    const caller = new Caller(api, era)
    this.#caller = caller
    this.#receiver = new Receiver(journal, this.random.fork())
    this.#namesLoad = new NamesLoad({ ...forked(), caller, parts, names, rate })
    this.#lines = parts.has('lines')
      ? new LinesLoad({
          ...forked(),
          asking,
          rate: rate / 2,
          accepted: (askedAtMs) => this.load.accepted(askedAtMs),
        })
      : undefined
    this.#broadcasts = parts.has('broadcasts')
      ? new BroadcastLoad({ ...forked(), caller, parts, names, number })
      : undefined
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
    const { sabotage = [], limits, env } = this.#options
    const bounds = { ...usualLimits, ...limits }
    const server = Server.spawn(this.#dataDir, this.#apiKey, sabotage, bounds, env)
    this.#server = server
    void server.exited.then(({ code, signal }) => {
      if (server === this.#expectedEnd || this.#stopped) return
      this.#oddity('died', `the gateway ended by itself (${code ?? signal}):\n${server.said}`)
    })
    await server.ready()
    this.network.target(server)
    this.api.at(server.api)
  }

  /** From here on the process may end; whatever it still says is heard. */
  expectEnd(): void {
    this.#expectedEnd = this.#server
  }

  /** The process is gone: nobody is at its address. */
  gone(): void {
    this.network.target(undefined)
    this.api.at(undefined)
  }

  /** Cut the world off: from this moment on nobody hears anything the gateway says. */
  gag(on: boolean): void {
    this.#deaf = on
    if (!on) this.#era++
    this.network.gag(on)
    this.#receiver.gag(on)
  }

  /** Devices, log reader and load begin. Calling it again after a crash in the middle goes on. */
  async begin(): Promise<void> {
    const { parts } = this.#options
    if (!this.#listening) {
      this.#listening = true
      await this.network.listen()
      await this.#receiver.open()
      this.#names.callbackBase = this.#receiver.base
    }
    // Before anything else, so that nothing happens unheard.
    const [first] = this.#names.devices
    await makeHooks(this.#caller, this.journal, this.#receiver, parts, first!)
    for (const device of this.#devices) await this.#register(device)
    for (const device of this.#devices) device.start((listener) => this.network.port(listener))
    this.follower.start()
    this.load.start()
    this.#lines?.start()
    this.#broadcasts?.start()
    this.#namesLoad.start()
    this.#receiver.start()
  }

  async #register(device: WorldDevice): Promise<void> {
    if (this.#registered.has(device.name)) {
      const { status } = await this.api.call('GET', `/v1/devices/${device.name}`)
      if (status === 200) return
      this.#oddity('device-lost', `${device.name} was registered and is answered ${status}`)
    }
    const eraThen = this.#era
    const askedAtMs = Date.now()
    const { name, ...small } = smallChannel
    const { status, text } = await this.api.call('PUT', `/v1/devices/${device.name}`, {
      body: { secret: device.secret, tags: [steadyTag], channels: { [name]: small } },
    })
    if (status >= 300) throw new Error(`registering a device was answered ${status}: ${text}`)
    if (eraThen !== this.#era || this.#deaf) return
    this.#registered.add(device.name)
    const at = { askedAtMs, answeredAtMs: Date.now(), verdict: 'kept' } as const
    this.journal.writes.push(
      { register: `device/${device.name}`, value: 'there', ...at },
      { register: `tag/${steadyTag}/${device.name}`, value: 'on', ...at },
    )
  }

  /** What became of accepted commands that have no published end yet. */
  look(): Promise<void> {
    return lookAtCommands(this.api, this.journal, false)
  }

  /** No more faults, no more load: wait until nothing is due any more, then look at everything. */
  async quiesce(progress: (text: string) => void): Promise<void> {
    const { api, journal, follower } = this
    this.network.lifeMs(undefined)
    this.network.clearUp()
    for (const device of this.#devices) device.calm()
    // First what stands in the way of the rest: a quota.
    await this.#namesLoad.stop()
    await Promise.all([this.load.stop(), this.#lines?.stop(), this.#broadcasts?.stop()])
    await this.#receiver.calm()
    await settle({
      journal,
      api,
      follower,
      progress,
      devices: this.#devices,
      broadcasts: this.#broadcasts,
      names: this.#namesLoad,
      patienceMs: this.#options.patienceMs,
    })
  }

  /** The process ends, one way or the other, and what it leaves behind is looked through. */
  async checkStore(): Promise<'sound' | 'not tried'> {
    this.expectEnd()
    if (this.random.chance(0.5)) await this.server.kill()
    else {
      this.server.signal('SIGTERM')
      await this.server.exited
    }
    this.gone()
    const why = await storeIsSound(this.#dataDir)
    if (why === 'not tried') return why
    if (why !== undefined) this.#oddity('check', `pike check: ${why}`)
    return 'sound'
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
    this.#stalls.stop()
    for (const device of this.#devices) await device.stop()
    await this.network.close()
    if (this.#server?.alive === true) await this.#server.kill()
    this.gone()
    this.load.abandon()
    this.#lines?.abandon()
    this.#broadcasts?.abandon()
    await Promise.all([this.load.stop(), this.#lines?.stop(), this.#broadcasts?.stop()])
    await this.#namesLoad.stop()
    await this.follower.stop()
    await this.#receiver.close()
    if (this.volume !== undefined) {
      if (keep) {
        this.#kept = await mkdtemp(join(tmpdir(), 'pike-crash-kept-'))
        await cp(this.#dataDir, this.#kept, { recursive: true })
      }
      await this.volume.remove()
    } else if (!keep) await rm(this.#ownFolder!, { recursive: true, force: true })
  }
}

function makeDevices(options: WorldOptions, journal: Journal, random: Random): WorldDevice[] {
  const { speech = mixed, devices, raw = 2, seldom = 1 } = options
  const made: WorldDevice[] = []
  if (speech.clients.length > 0) {
    for (let at = 1; at <= devices; at++) {
      const who = { name: `crash-${at}`, secret: makeSecret(), random: random.fork() }
      made.push(new CrashDevice({ ...who, journal, seldom, speaks: speech.clients }))
    }
  }
  for (const family of speech.raw) {
    // Where nobody else speaks it they are all there is.
    const count = speech.clients.length > 0 ? raw : devices
    for (let at = 1; at <= count; at++) {
      const name = `raw-${family}-${at}`
      const who = { name, secret: makeSecret(), random: random.fork() }
      made.push(rawDevices[family]({ ...who, journal, seldom }))
    }
  }
  return made
}
