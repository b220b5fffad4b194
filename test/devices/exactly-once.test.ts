import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { PikeClient } from '../../devices/client.ts'
import {
  applyChange,
  copyDevice,
  type DeviceStorage,
  type StorageChange,
  type StoredDevice,
} from '../../devices/storage.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turn, turns, until } from '../support/turns.ts'
import { ModelServer } from './model-server.ts'

/** Settles some turns later; a crash loses what is not settled, or keeps it: nobody knows. */
class CrashingStorage implements DeviceStorage {
  #device: StoredDevice = new Map()
  #pending: {
    changes: readonly StorageChange[]
    settled: ((error?: Error) => void) | undefined
  }[] = []
  #life = 0
  readonly #turns: number

  constructor(turns: number) {
    this.#turns = turns
  }

  load(): StoredDevice {
    return copyDevice(this.#device)
  }

  commit(changes: readonly StorageChange[], settled?: (error?: Error) => void): void {
    const life = this.#life
    this.#pending.push({ changes, settled })
    if (settled === undefined) return
    void turns(this.#turns).then(() => {
      if (life !== this.#life) return
      const commits = this.#pending
      this.#pending = []
      for (const commit of commits)
        for (const change of commit.changes) applyChange(this.#device, change)
      for (const commit of commits) commit.settled?.()
    })
  }

  close(): void {}

  /** The power goes. The first `kept` of the unsettled commits reached the disk all the same. */
  crash(kept: number): void {
    this.#life++
    for (const { changes } of this.#pending.splice(0).slice(0, kept))
      for (const change of changes) applyChange(this.#device, change)
  }
}

type Step =
  | { readonly do: 'send'; readonly channel: string }
  | {
      readonly do: 'submit'
      readonly channel: string
      readonly reply: boolean
      readonly ttlMs: number
    }
  | { readonly do: 'turns'; readonly count: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'cut'; readonly afterBytes: number }
  | { readonly do: 'crash'; readonly kept: number }
  | { readonly do: 'renumber'; readonly channel: string; readonly cut: boolean }
  | { readonly do: 'restart' | 'stop' }

const channel = fc.constantFrom('main', 'main', 'urgent')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), channel }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      channel,
      reply: fc.boolean(),
      ttlMs: fc.oneof(
        { weight: 3, arbitrary: fc.constant(1e12) },
        { weight: 1, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.nat(3_000) },
      ),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('turns' as const),
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(3_000) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cut' as const), afterBytes: fc.nat(400) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), kept: fc.nat(4) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('renumber' as const), channel, cut: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('restart' as const, 'stop' as const) }),
  },
)

/** In turns of the event loop. */
interface Slowness {
  readonly window: number
  readonly storage: number
  readonly application: number
}

const slowness: fc.Arbitrary<Slowness> = fc.record({
  window: fc.integer({ min: 1, max: 16 }),
  storage: fc.integer({ min: 1, max: 8 }),
  application: fc.integer({ min: 1, max: 8 }),
})

/** What a device's application did, over all lives of the device. */
interface World {
  readonly server: ModelServer
  readonly storage: CrashingStorage
  readonly clock: ManualClock
  readonly acted: Map<string, number[]>
  /** Late, so refused without asking the application. */
  readonly refused: Map<string, Set<number>>
  readonly acknowledged: string[]
  client: PikeClient
  sends: number
  crashes: number
  readonly slowness: Slowness
}

function live(world: World): PikeClient {
  const { server, clock, storage } = world
  const client = new PikeClient({
    host: 'nowhere',
    port: 1,
    device: 'SZ-0042',
    secret: server.secret,
    connect: server.connect,
    clock,
    storage,
    random: () => 0.3,
  })
  const life = world.crashes
  client.on('receive', async (command, respond) => {
    if (life !== world.crashes) return
    const acted = world.acted.get(command.channel) ?? []
    world.acted.set(command.channel, acted)
    acted.push(command.offset)
    if (command.offset % 2 === 0) await turns(world.slowness.application)
    if (command.replyExpected) void respond({ status: 'done', payload: command.offset })
  })
  client.on('late', ({ channel, offset }) => {
    if (life !== world.crashes) return
    const refused = world.refused.get(channel) ?? new Set()
    world.refused.set(channel, refused.add(offset))
  })
  client.start()
  return client
}

async function play(steps: readonly Step[], slowness: Slowness): Promise<World> {
  const { window } = slowness
  const server = new ModelServer()
  server.settings = { window, uplinkWindow: window }
  const clock = new ManualClock()
  server.nowMs = () => clock.nowMs()
  const world = {
    server,
    storage: new CrashingStorage(slowness.storage),
    clock,
    acted: new Map(),
    refused: new Map(),
    acknowledged: [],
    sends: 0,
    crashes: 0,
    slowness,
  } as unknown as World
  world.client = live(world)
  const passOn = (): void => {
    const { state } = world.client
    if (state.kind === 'waiting') clock.set(Math.max(clock.nowMs(), state.untilMs))
    if (state.kind === 'stopped') world.client.start()
    clock.advance(10)
  }
  for (const one of steps) {
    switch (one.do) {
      case 'send': {
        const text = `"${one.channel} ${++world.sends}"`
        void world.client.send('e', JSON.parse(text), { channel: one.channel }).then(({ kind }) => {
          if (kind === 'kept') world.acknowledged.push(text)
        })
        break
      }
      case 'submit':
        server.submit(one.channel, {
          replyExpected: one.reply,
          expiresAtMs: clock.nowMs() + one.ttlMs,
        })
        break
      case 'turns':
        await turns(one.count)
        break
      case 'wait':
        clock.advance(one.ms)
        await turn()
        break
      case 'cut': {
        const wire = server.live?.wire
        if (wire !== undefined) wire.leftBytes = one.afterBytes
        if (one.afterBytes === 0) wire?.cut()
        break
      }
      case 'crash': {
        world.crashes++
        world.storage.crash(one.kept)
        const dead = world.client
        server.live?.wire.cut()
        dead.removeAllListeners()
        void dead.stop()
        world.client = live(world)
        break
      }
      case 'restart':
        world.client.restart()
        break
      case 'renumber':
        // As after a kill of the gateway; what waits came in several epochs, and one session gets it.
        server.renumber(one.channel)
        if (one.cut) server.live?.wire.cut()
        break
      case 'stop':
        await world.client.stop()
        world.client.start()
    }
  }
  if (server.live !== undefined) server.live.wire.leftBytes = Number.POSITIVE_INFINITY
  await until(
    () =>
      world.client.state.kind === 'running' &&
      world.client.outboxSize === 0 &&
      [...server.channels.values()].every(
        ({ cursor, top, commands, acknowledged }) =>
          cursor >= top ||
          commands.every(({ offset }) => offset <= cursor || acknowledged.has(offset)),
      ),
    'everything is through',
    passOn,
  )
  await world.client.stop()
  return world
}

function judge({ server, acted, refused, acknowledged, crashes }: World): void {
  for (const [name, { kept, commands, outcomes }] of server.channels) {
    const events = kept.filter(({ kind }) => kind === 'event').map(({ text }) => text)
    // Up: what was acknowledged is there, once, in order. What a crash took was never promised.
    const numbers = events.map((text) => Number(/\d+/.exec(text)))
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
      'events overtook each other',
    )
    assert.equal(new Set(numbers).size, numbers.length, 'an event was kept twice')
    for (const text of acknowledged)
      if (text.startsWith(`"${name} `)) assert.ok(events.includes(text), `${text} was lost`)
    // Down: every command acted on or refused, in order; once, but for the one in hand at each crash.
    const done = acted.get(name) ?? []
    const late = refused.get(name) ?? new Set()
    const both = new Set(done.filter((offset) => late.has(offset)))
    assert.deepEqual(
      [...new Set([...done, ...late])].sort((a, b) => a - b),
      commands.map(({ offset }) => offset),
    )
    const repeats = done.length - new Set(done).size + both.size
    assert.ok(repeats <= crashes, 'acted on twice without a crash')
    for (let i = 1; i < done.length; i++)
      assert.ok(done[i]! >= done[i - 1]!, 'commands overtook each other')
    // Each reply at least once stored is kept once.
    const replies = kept.filter(({ kind }) => kind === 'reply').map(({ offset }) => offset!)
    assert.equal(new Set(replies).size, replies.length, 'a reply was kept twice')
    const expected = commands.filter(
      ({ offset, replyExpected }) => replyExpected || (late.has(offset) && !both.has(offset)),
    )
    assert.deepEqual(
      replies.filter((offset) => !both.has(offset)),
      expected.map(({ offset }) => offset).filter((offset) => !both.has(offset)),
      'replies missing or out of order',
    )
    // Nobody reads `delivered` of what was refused (rule 2).
    for (const offset of late)
      if (!both.has(offset))
        assert.equal(outcomes.get(offset), 'rejected', `${offset} was refused as late`)
  }
}

test('any drops, anywhere in the stream: exactly once both ways, in order', async () => {
  const calm = step.filter((one) => one.do !== 'crash')
  await fc.assert(
    fc.asyncProperty(
      fc.array(calm, { minLength: 5, maxLength: 60 }),
      slowness,
      async (steps, slow) => {
        const world = await play(steps, slow)
        judge(world)
        // No crash: everything ever sent is there.
        const all = [...world.server.channels.values()].flatMap(({ kept }) => kept)
        assert.equal(all.filter(({ kind }) => kind === 'event').length, world.sends)
      },
    ),
    { numRuns: 150, includeErrorInReport: true },
  )
})

test('power cuts of the device too: what was acknowledged is kept, what was stored is not repeated', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      slowness,
      async (steps, slow) => judge(await play(steps, slow)),
    ),
    { numRuns: 150, includeErrorInReport: true },
  )
})
