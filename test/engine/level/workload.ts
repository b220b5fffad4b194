import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Change, Command, EndStatus, Settlement, Step } from '../../../src/contract/index.ts'
import type { LevelEngine } from '../../../src/engine/level/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import { append, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { randomBy } from '../../support/random.ts'

const apps = ['shop', 'sho', 'default'] as const
const ids = ['ab', 'abc', 'ab-', 'locker-1', 'locker-2'] as const
const channels = ['main', 'urgent', 'main-2'] as const
const tags = ['all', 'site', 'site-1'] as const
const unsent: readonly EndStatus[] = ['expired', 'canceled', 'superseded', 'dropped']
const sent: readonly EndStatus[] = ['delivered', 'done', 'failed', 'unanswered', 'in-doubt']

/** As it is at one moment: LevelDB may remove a table while the others are copied. */
async function copy(from: string, to: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await cp(from, to, { recursive: true, filter: (file) => basename(file) !== 'LOCK' })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === 5) throw error
      await rm(to, { recursive: true, force: true })
    }
  }
}

/** What a power cut would leave is not asked here, so nothing waits for the disk. */
const open = (folder: string, clock: ManualClock) => openLevelEngine({ folder, clock, sync: false })

/**
 * Uses a real engine in every way there is, at random, restarts and crashes among them, and leaves a
 * store as a gateway would.
 */
export class Workload {
  readonly clock = new ManualClock()
  readonly #random: (below: number) => number
  readonly #home: string
  #engine: LevelEngine
  #lives = 0

  private constructor(home: string, engine: LevelEngine, clock: ManualClock, seed: number) {
    this.#home = home
    this.#engine = engine
    this.clock = clock
    this.#random = randomBy(seed)
  }

  static async begin(seed: number): Promise<Workload> {
    const home = await mkdtemp(join(tmpdir(), 'pike-level-'))
    const clock = new ManualClock()
    const engine = await open(join(home, '0'), clock)
    const workload = new Workload(home, engine, clock, seed)
    await workload.#prepare()
    return workload
  }

  get engine(): LevelEngine {
    return this.#engine
  }

  /** The data folder. */
  get folder(): string {
    return join(this.#home, String(this.#lives))
  }

  async run(steps: number): Promise<void> {
    const pending: Promise<unknown>[] = []
    for (let step = 0; step < steps; step++) {
      pending.push(this.#step())
      // Some of what is done shares a batch with what comes next.
      if (this.#random(3) === 0) await Promise.all(pending.splice(0))
      this.clock.advance(this.#random(2_000))
      if (this.#random(60) === 0) {
        await Promise.all(pending.splice(0))
        await (this.#random(2) === 0 ? this.restart() : this.crash())
      }
    }
    await Promise.all(pending)
    await this.#engine.flushed()
  }

  async restart(): Promise<void> {
    await this.#engine.close()
    this.#engine = await open(this.folder, this.clock)
  }

  /** The process is gone: what is there is what its files hold. */
  async crash(): Promise<void> {
    const left = this.folder
    this.#lives += 1
    await copy(left, this.folder)
    await this.#engine.close()
    this.#engine = await open(this.folder, this.clock)
  }

  async remove(): Promise<void> {
    await this.#engine.close()
    await rm(this.#home, { recursive: true, force: true })
  }

  async #prepare(): Promise<void> {
    for (const app of apps) {
      await this.#engine.names.putApp({ app, createdAtMs: 1 })
      await this.#device(app, 'locker-1')
    }
  }

  async #step(): Promise<unknown> {
    const steps = [
      ...Array.from({ length: 6 }, () => () => this.#append()),
      ...Array.from({ length: 5 }, () => () => this.#settle()),
      () => this.#schedule(),
      () => this.#schedule(),
      () => this.#place(),
      () => this.#events(),
      () => this.#device(this.#one(apps), this.#one(ids)),
      () => this.#removeDevice(),
      () => this.#alias(),
      () => this.#broadcast(),
      () => this.#placeMembers(),
      () => this.#stopBroadcast(),
      () => this.#others(),
      () => this.#purge(),
    ]
    return this.#one(steps)()
  }

  #one<T>(of: readonly T[]): T {
    return of[this.#random(of.length)]!
  }

  #channel(): string {
    return `${this.#one(apps)}/${this.#one(ids)}/${this.#one(channels)}`
  }

  #parts(): Partial<Command> {
    const nowMs = this.clock.nowMs()
    return {
      payload: Buffer.alloc(this.#random(300), this.#random(256)),
      delivery: this.#random(4) === 0 ? 'now' : 'queue',
      expect: this.#random(2) === 0 ? 'reply' : 'ack',
      contentType: this.#random(5) === 0 ? 'text/plain' : 'application/json',
      acceptedAtMs: nowMs,
      expiresAtMs: nowMs + 1_000 * this.#random(500),
      ...(this.#random(4) === 0 && { collapse: this.#one(['a', 'b']) }),
      ...(this.#random(8) === 0 && { callback: 'https://example.org/hook' }),
    }
  }

  #append(): Promise<unknown> {
    const ended = { status: 'undeliverable', reason: 'no-link' } as const
    return append(this, this.#channel(), this.#parts(), {
      maxCommands: 6,
      overflow: this.#one(['reject', 'drop-oldest']),
      intendUpTo: this.#random(3) === 0 ? Number.MAX_SAFE_INTEGER : 0,
      ...(this.#random(5) === 0 && { ended }),
      ...(this.#random(3) === 0 && {
        idempotency: { key: `key ${this.#random(40)}`, hash: this.#one(['h', 'i']) },
      }),
    })
  }

  async #settle(): Promise<unknown> {
    const channel = this.#channel()
    const { mailbox } = this.#engine
    const { open, top } = await mailbox.open(channel)
    const atMs = this.clock.nowMs()
    const changes: Change[] = open.slice(0, this.#random(4)).map(({ offset }) => {
      const status = this.#one([...unsent, ...sent])
      return this.#random(3) === 0
        ? { kind: 'delivered', offset, atMs }
        : {
            kind: 'ended',
            offset,
            status,
            atMs,
            ...(status === 'done' && { reply: this.#reply() }),
          }
    })
    if (this.#random(3) === 0) mailbox.sent(channel, this.#random(top + 1), atMs)
    const step: Step = { status: 'done', late: true, atMs }
    const settled = settle(this, channel, {
      changes,
      ...(this.#random(2) === 0 && { uplinks: `stamps ${atMs}` }),
      ...(this.#random(3) === 0 && { intendUpTo: top + this.#random(4) }),
      ...(top > 0 && this.#random(4) === 0 && { attempts: { offset: top, sessions: 2 } }),
      ...(top > 0 && this.#random(3) === 0 && { late: [{ offset: 1 + this.#random(top), step }] }),
      ...(this.#random(3) === 0 && { events: [this.#event(channel)] }),
    } as Partial<Settlement>)
    if (this.#random(2) === 0) mailbox.release(channel)
    return settled
  }

  #reply() {
    return { status: 'done', payload: Buffer.from('{}'), contentType: 'application/json' } as const
  }

  #event(channel: string) {
    const [app, device, name] = channel.split('/') as [string, string, string]
    return {
      ...{ kind: 'event', app, device, channel: name, atMs: this.clock.nowMs(), name: 'beat' },
      ...{ payload: Buffer.alloc(this.#random(200)), contentType: 'text/plain' },
      ...(this.#random(2) === 0 && { stamp: { epoch: 7, sequence: this.clock.nowMs() } }),
    } as const
  }

  #schedule(): Promise<unknown> {
    const { mailbox } = this.#engine
    const nowMs = this.clock.nowMs()
    const channel = this.#channel()
    const command = { ...this.#command(), notBeforeMs: nowMs + this.#random(60_000) }
    return mailbox.schedule(channel, command, { maxCommands: 20, maxTotal: 1_000 })
  }

  #command(): Command {
    const base = { name: 'later', replyTimeoutMs: 60_000, askedBy: 'shop' }
    return { ...base, ...this.#parts() } as Command
  }

  async #place(): Promise<unknown> {
    const ripe = await this.#engine.mailbox.ripe(this.clock.nowMs() + 30_000, 3)
    const ended = { status: 'canceled', reason: 'asked' } as const
    return Promise.all(
      ripe.map((command) =>
        append(this, command.channel, command, {
          ...(this.#random(3) === 0 && { ended }),
        }),
      ),
    )
  }

  #events(): Promise<unknown> {
    const about = { app: this.#one(apps), device: this.#one(ids), atMs: this.clock.nowMs() }
    return new Promise((resolve) =>
      this.#engine.events.append(
        [
          { kind: 'presence', ...about, state: 'online', protocol: 'pike' },
          { kind: 'session.conflict', ...about, holdMs: 60_000 },
        ],
        resolve,
      ),
    )
  }

  #device(app: string, device: string): Promise<unknown> {
    return this.#engine.names.putDevice({
      ...{ app, device, disabled: this.#random(5) === 0, attributes: { doors: 7 } },
      tags: tags.filter(() => this.#random(2) === 0),
      ...{ channels: {}, credentials: [], createdAtMs: 1, changedAtMs: this.clock.nowMs() },
    })
  }

  #removeDevice(): Promise<unknown> {
    return this.#engine.names.removeDevice(this.#one(apps), this.#one(ids.slice(0, 3)))
  }

  #alias(): Promise<unknown> {
    const app = this.#one(apps)
    const alias = `order-${this.#random(9)}`
    const { names } = this.#engine
    if (this.#random(3) === 0) return names.removeAlias(app, alias)
    const nowMs = this.clock.nowMs()
    return names.putAlias({
      ...{ app, alias, device: this.#one(ids), history: [], createdAtMs: 1, changedAtMs: nowMs },
      ...(this.#random(2) === 0 && { expiresAtMs: nowMs + this.#random(60_000) }),
    })
  }

  #broadcast(): Promise<unknown> {
    const app = this.#one(apps)
    const { acceptedAtMs, ...command } = this.#command()
    const made = {
      ...{
        app,
        id: `cast-${this.clock.nowMs()}-${this.#random(1e6)}`,
        tag: 'all',
        askedBy: 'shop',
      },
      ...{ createdAtMs: acceptedAtMs, command: { ...command, channel: 'main' } },
    }
    const members = this.#engine.names.snapshot(app, 'all')
    return this.#engine.broadcasts.create(made, members, { maxDevices: 4, maxKept: 5 })
  }

  async #placeMembers(): Promise<unknown> {
    const { broadcasts } = this.#engine
    const running = broadcasts.running()
    if (running.length === 0) return undefined
    const { app, id } = this.#one(running)
    const waiting = await broadcasts.waiting(app, id, 2)
    const ended = { status: 'undeliverable', reason: 'mailbox-full' } as const
    return Promise.all(
      waiting.map((device) =>
        append(
          this,
          `${app}/${device}/main`,
          { ...this.#parts(), broadcast: id },
          { ...(this.#random(4) === 0 && { ended }) },
        ),
      ),
    )
  }

  async #stopBroadcast(): Promise<unknown> {
    const { broadcasts } = this.#engine
    if (this.#random(3) === 0) return broadcasts.purge(this.clock.nowMs() - this.#random(100_000))
    const running = broadcasts.running()
    if (running.length === 0) return undefined
    const { app, id } = this.#one(running)
    return broadcasts.stop(app, id, 'asked')
  }

  #others(): Promise<unknown> {
    const { names, shelf } = this.#engine
    const app = this.#one(apps)
    const name = this.#one(['one', 'two'])
    const times = { createdAtMs: 1, changedAtMs: 2 }
    const path = `webhooks/${app}/${name}/lanes`
    return this.#one([
      () => names.putKey({ app, name, hash: 'a'.repeat(64), scopes: ['events'], createdAtMs: 1 }),
      () => names.removeKey(app, name),
      () =>
        names.putWebhook({
          app,
          name,
          url: 'https://x.org',
          secrets: [],
          disabled: false,
          ...times,
        }),
      () => shelf.write([{ path, value: this.#random(3) === 0 ? undefined : '{}' }]),
    ])()
  }

  #purge(): Promise<unknown> {
    const { events, names } = this.#engine
    if (this.#random(3) > 0) return names.purgeAliases(this.clock.nowMs() - 30_000)
    const beforeMs = this.clock.nowMs() - this.#random(200_000)
    return events.purge(beforeMs, this.#random(2) === 0 ? { maxBytes: 20_000 } : {})
  }
}
