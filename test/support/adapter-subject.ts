import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type {
  CommandStatus,
  Core,
  DeviceRecord,
  EndedCommand,
  Engine,
  KeptEvent,
  Stamp,
  SubmitRequest,
} from '../../src/contract/index.ts'
import { Hub } from '../../src/hub/hub.ts'
import { makeCredential } from '../../src/secrets/secrets.ts'
import type { EngineStore, EngineSubject } from './engine-subject.ts'
import { ManualClock } from './manual-clock.ts'

/** An adapter that sits the exam, with a real client of its protocol for the device's end. */
export interface AdapterSubject {
  readonly name: string
  /** What lies beneath: every protocol sits its exam on a real store. */
  readonly engine: EngineSubject
  /** What its protocol has; a story of what it has not is not asked of it. */
  readonly can: Ways
  start(core: Core, clock: ManualClock): Promise<Door>
}

/** What a protocol may have besides connecting, receiving and reporting; each with its methods. */
export interface Ways {
  /** A device speaks though it receives nothing: `post`. */
  readonly posts?: true
  /** It says of what it posts how it numbered it, in any order: `post` with a stamp. */
  readonly stamps?: true
  /** It replies by id, whatever session the command came by: `reply`. */
  readonly repliesById?: true
  /** It says when it comes back: `sleep`. */
  readonly sleeps?: true
  /** It may receive by a way that acknowledges nothing: `connect({ acknowledges: false })`. */
  readonly receivesUnacknowledged?: true
  /** It acknowledges one command and not those before it: `hold`, `acknowledge`. */
  readonly acknowledgesOne?: true
}

export type Said = 'kept' | 'stale' | 'unknown' | 'refused'

/** A started adapter, as devices find it. */
export interface Door {
  device(identity: Identity): ExamDevice
  /** The process is gone: no goodbye, no waiting. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export interface Identity {
  readonly app?: string
  readonly device: string
  readonly secret: string
}

export interface ExamCommand {
  readonly id: string
  readonly channel: string
  readonly name: string
  readonly payload: Uint8Array
  readonly now: boolean
  readonly replyExpected: boolean
}

export type ExamReply = {
  readonly status: 'done' | 'failed' | 'rejected'
  readonly reason?: string
  readonly payload?: unknown
}

/** A device's end: connects when told, hands what comes to `act`, keeps its own position. */
export interface ExamDevice {
  /** Resolves with how it went. A device that was connected before keeps what it knew. */
  connect(how?: { readonly acknowledges: boolean }): Promise<'attached' | 'refused'>
  /** Everything handed to its application, in order, over all connections. */
  readonly received: ExamCommand[]
  /**
   * Its application: what it answers, if anything, once it has acted. Acknowledged when it resolves.
   * By default it acts at once and says nothing.
   */
  act: (command: ExamCommand) => Promise<ExamReply | undefined>
  /** Resolves with true once the server has acknowledged it. */
  event(name: string, payload: unknown): Promise<boolean>
  /** Moves the device to another server, e.g. the one that came back on another port. */
  move(door: Door): void
  /** True until the server or the network ended it. */
  readonly attached: boolean
  /** Cut, without goodbye; both ends notice. */
  drop(): Promise<void>
  /** Say goodbye and go. */
  leave(): Promise<void>
  /** From now on nothing passes in either direction, and nobody is told; `drop` ends it. */
  mute(): void
  /** Stop reading what comes, and read again. */
  stall(): void
  unstall(): void

  // What only some protocols have, see `Ways`. A device that is not connected can do the first two.

  /** Reports without receiving; resolves with the server's answer. */
  post?(name: string, payload: unknown, stamp?: Stamp): Promise<Said>
  /** Replies by id; resolves with the server's answer. */
  reply?(id: string, reply: ExamReply, stamp?: Stamp): Promise<Said>
  /** Goes, and says that it comes back in this time. */
  sleep?(forMs: number): Promise<void>
  /** From now on nothing is acknowledged but by `acknowledge`; what comes is received all the same. */
  hold?(): void
  acknowledge?(id: string): void
}

export const secretOf = (device: string): string => `${device}-secret-of-more-than-128-bits`

/** One server under examination, its store, its time, and what may befall it. */
export class AdapterRig {
  readonly clock = new ManualClock()
  readonly #subject: AdapterSubject
  readonly #store: EngineStore
  readonly #doors: Door[] = []
  #engine!: Engine
  #hub!: Hub
  #door!: Door

  private constructor(subject: AdapterSubject, store: EngineStore) {
    this.#subject = subject
    this.#store = store
  }

  static async make(t: TestContext, subject: AdapterSubject): Promise<AdapterRig> {
    const rig = new AdapterRig(subject, await subject.engine.store())
    await rig.#start()
    t.after(() => rig.#remove())
    return rig
  }

  get hub(): Hub {
    return this.#hub
  }

  get door(): Door {
    return this.#door
  }

  get engine(): Engine {
    return this.#engine
  }

  /** A registered device. */
  async device(device = 'locker', app = 'default'): Promise<ExamDevice> {
    await this.register(device, app)
    return this.#door.device({ app, device, secret: secretOf(device) })
  }

  async register(
    device = 'locker',
    app = 'default',
    more: Partial<DeviceRecord> = {},
  ): Promise<DeviceRecord> {
    const nowMs = this.clock.nowMs()
    const record: DeviceRecord = {
      app,
      device,
      disabled: false,
      tags: [],
      attributes: {},
      channels: {},
      credentials: [await makeCredential(secretOf(device), app, device)],
      createdAtMs: nowMs,
      changedAtMs: nowMs,
      ...more,
    }
    await this.#engine.names.putDevice(record)
    return record
  }

  /** Accept one command; its id. */
  async submit(request: Partial<SubmitRequest> = {}): Promise<string> {
    const submitted = await this.#hub.submit({
      app: 'default',
      to: { device: 'locker' },
      channel: 'main',
      name: 'open',
      payload: Buffer.from('{"door":7}'),
      contentType: 'application/json',
      delivery: 'queue',
      expect: 'ack',
      askedBy: 'first',
      ...request,
    })
    assert.equal(submitted.kind, 'accepted')
    return submitted.kind === 'accepted' ? submitted.status.command.id : ''
  }

  status(id: string): Promise<CommandStatus | undefined> {
    return this.#hub.status('default', id)
  }

  /** The end of a command, once it has come. */
  async ended(id: string): Promise<EndedCommand> {
    let status: CommandStatus | undefined
    await this.until(`${id} has ended`, async () => {
      status = await this.status(id)
      return status?.kind === 'ended'
    })
    if (status?.kind !== 'ended') throw new Error('unreachable')
    return status.command
  }

  async events(kind?: KeptEvent['kind']): Promise<KeptEvent[]> {
    await this.#engine.flushed()
    const page = await this.#engine.events.read('default', { limit: 10_000 })
    const items = page.kind === 'page' ? page.items : []
    return items.filter((event) => kind === undefined || event.kind === kind)
  }

  /** Waits for something to become true; virtual time creeps on meanwhile, so short timers fire. */
  async until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
    for (let i = 0; i < 4_000; i++) {
      if (await isTrue()) return
      await turns()
      this.clock.advance(5)
    }
    assert.fail(`never came true: ${what}`)
  }

  /** Let what is on its way arrive. */
  async calm(): Promise<void> {
    for (let i = 0; i < 40; i++) {
      await turns()
      this.clock.advance(5)
    }
    await this.#engine.flushed()
  }

  async pass(ms: number): Promise<void> {
    const stepMs = Math.max(5, ms / 50)
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left))
      await turns()
    }
    await this.calm()
  }

  /** The process dies and another starts on what it left. */
  async crash(): Promise<void> {
    await this.#door.kill()
    await this.#store.crash(this.#engine)
    await this.#start()
  }

  async #start(): Promise<void> {
    this.#engine = await this.#store.open(this.clock)
    this.#hub = new Hub({ engine: this.#engine, clock: this.clock })
    await this.#hub.start()
    this.#door = await this.#subject.start(this.#hub, this.clock)
    this.#doors.push(this.#door)
  }

  async #remove(): Promise<void> {
    await this.#door.kill()
    await this.#hub.stop()
    await this.#engine.close()
    await this.#store.remove()
  }
}

/** A few turns of the event loop, with time for sockets and disks. */
const turns = () => new Promise((resolve) => setTimeout(resolve, 1))
