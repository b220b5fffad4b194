import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Found } from '../../src/contract/index.ts'
import { turns } from '../support/turns.ts'
import { World } from '../support/world.ts'

const second = 1_000
const devices = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
const limits = { broadcastMaxPending: 3, mailboxMaxCommands: 4 }

type Step =
  | { kind: 'broadcast'; ratePerSecond?: number; stopAfterFailures?: number; now: boolean }
  | { kind: 'schedule'; device: number; seconds: number; now: boolean }
  | { kind: 'cancel' | 'stop'; which: number }
  | { kind: 'attach' | 'remove' | 'register' | 'disable'; device: number }
  | { kind: 'pass'; ms: number }
  | { kind: 'turns'; count: number }
  | { kind: 'acknowledge' | 'crash' | 'store fails' | 'store is back' }

const device = fc.nat(devices.length - 1)
const optional = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined })
const of = <T extends fc.Arbitrary<Step>>(weight: number, arbitrary: T) => ({ weight, arbitrary })
const step: fc.Arbitrary<Step> = fc.oneof(
  of(
    3,
    fc.record({
      kind: fc.constant('broadcast' as const),
      ratePerSecond: optional(5),
      stopAfterFailures: fc.oneof(fc.constant(undefined), optional(6)),
      now: fc.boolean(),
    }),
  ),
  of(
    3,
    fc.record({
      kind: fc.constant('schedule' as const),
      device,
      seconds: fc.integer({ min: 1, max: 5 }),
      now: fc.boolean(),
    }),
  ),
  of(1, fc.record({ kind: fc.constant('cancel' as const), which: fc.nat(20) })),
  of(1, fc.record({ kind: fc.constant('stop' as const), which: fc.nat(20) })),
  of(3, fc.record({ kind: fc.constant('attach' as const), device })),
  of(1, fc.record({ kind: fc.constantFrom('remove' as const, 'disable' as const), device })),
  of(2, fc.record({ kind: fc.constant('register' as const), device })),
  of(2, fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(3_000) })),
  of(5, fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 6 }) })),
  of(2, fc.record({ kind: fc.constantFrom('acknowledge' as const, 'crash' as const) })),
  of(1, fc.record({ kind: fc.constantFrom('store fails' as const, 'store is back' as const) })),
  of(1, fc.record({ kind: fc.constant('store is back' as const) })),
)
const steps = fc.array(step, { minLength: 10, maxLength: 50, size: 'max' })

/** Drives one world through steps whose answers nobody waits for, so that crashes cut into them. */
class Story {
  world: World
  readonly scheduled: string[] = []
  readonly broadcasts: string[] = []
  #links: Awaited<ReturnType<World['tryAttach']>>[] = []

  constructor(world: World) {
    this.world = world
  }

  async take(step: Step): Promise<void> {
    const { world } = this
    const { hub, engine, clock } = world
    switch (step.kind) {
      case 'broadcast': {
        const { ratePerSecond, stopAfterFailures, now } = step
        const command = { delivery: now ? 'now' : 'queue', ttlMs: 2 * second } as const
        const made = world.broadcast({ ratePerSecond, stopAfterFailures }, command)
        made.then((it) => it.kind === 'accepted' && this.broadcasts.push(it.broadcast.id))
        return
      }
      case 'schedule': {
        const notBeforeMs = clock.nowMs() + step.seconds * second
        const to = { device: devices[step.device]! }
        const delivery = step.now ? 'now' : 'queue'
        const submitted = world.submit({ to, notBeforeMs, delivery, ttlMs: 2 * second })
        submitted.then((it) => {
          if (it.kind === 'accepted') this.scheduled.push(it.status.command.id)
        })
        return
      }
      case 'cancel':
        void hub.cancel('default', pick(this.scheduled, step.which) ?? 'a:main:1:1')
        return
      case 'stop':
        hub.stopBroadcast('default', pick(this.broadcasts, step.which) ?? 'b1').catch(() => {})
        return
      case 'attach':
        world.tryAttach({ device: devices[step.device]! }).then((one) => {
          if (one.attached.kind !== 'session') return
          one.attached.session.start()
          this.#links.push(one)
        })
        return
      case 'acknowledge':
        for (const { link } of this.#links) {
          const last = link.got.at(-1)
          if (last !== undefined) link.session!.acknowledgeUpTo(last.command.offset)
        }
        return
      case 'remove':
        hub.removeDevice('default', devices[step.device]!).catch(() => {})
        return
      case 'register':
      case 'disable': {
        const more = { tags: ['berlin'], disabled: step.kind === 'disable' }
        world.register(devices[step.device]!, 'default', {}, more).catch(() => {})
        return
      }
      case 'pass':
        return world.pass(step.ms)
      case 'turns':
        await turns(step.count)
        return
      case 'crash':
        this.#links = []
        this.world = await world.crash(limits)
        return
      case 'store fails':
        engine.fail('down')
        return
      case 'store is back':
        engine.recover()
    }
  }

  /** Everything that was begun comes to rest. */
  async end(): Promise<void> {
    await this.world.quiet()
    this.world.engine.recover()
    for (let i = 0; i < 40; i++) await this.world.pass(second)
  }
}

const pick = <T>(from: readonly T[], which: number): T | undefined => from[which % from.length]

async function allCommands(world: World): Promise<Found[]> {
  const all: Found[] = []
  for (const name of devices) {
    const { items } = await world.engine.mailbox.history(`default/${name}`, { limit: 10_000 })
    all.push(...items)
  }
  return all
}

test('rules 6, 11, 27: through crashes and failing stores each member gets exactly one command, each scheduled command exactly one place', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (walk) => {
      const world = await World.open({ limits })
      for (const name of devices) await world.register(name, 'default', {}, { tags: ['berlin'] })
      const story = new Story(world)
      for (const step of walk) await story.take(step)
      await story.end()

      const { accepted } = await story.world.counts()
      const commands = (await allCommands(story.world)).map(({ command }) => command)
      const ids = new Set(commands.map(({ id }) => id))
      assert.equal(ids.size, commands.length, 'no id twice')
      assert.equal(commands.length, accepted, 'all that was accepted is there, once')
      for (const id of story.scheduled) assert.ok(ids.has(id), `${id} was accepted`)
      assert.equal(story.world.engine.mailbox.nextRipeMs(), Number.POSITIVE_INFINITY)

      const { items } = story.world.engine.broadcasts.list('default', { limit: 1_000 })
      const known = new Set(items.map(({ id }) => id))
      for (const id of story.broadcasts) assert.ok(known.has(id), `${id} was accepted`)
      for (const { id, state, devices: size, waiting, open, ended } of items) {
        const members = await story.world.members(id)
        const own = commands.filter(({ broadcast }) => broadcast === id)
        const placed = [...members].filter(([, command]) => command !== undefined)
        assert.equal(members.size, size)
        assert.deepEqual(
          new Set(own.map((command) => command.id)),
          new Set(placed.map(([, command]) => command)),
        )
        assert.equal(own.length, placed.length)
        assert.equal(waiting, size - placed.length)
        assert.equal(open + sum(ended), placed.length)
        assert.notEqual(state, 'running')
        if (state === 'placed') assert.equal(waiting, 0)
      }
    }),
    { numRuns: 60 },
  )
})

const sum = (counts: object): number =>
  Object.values(counts).reduce((all: number, one: number) => all + one, 0)
