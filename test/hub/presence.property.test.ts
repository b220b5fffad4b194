import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Intake, KeptEvent, Session } from '../../src/contract/index.ts'
import { limits } from '../../src/contract/index.ts'
import { World } from '../support/world.ts'

const second = 1_000
const fleet = ['a', 'b', 'c']

type Step =
  | { readonly kind: 'attach'; readonly device: string; readonly channel: string }
  | { readonly kind: 'admit'; readonly device: string }
  | {
      readonly kind: 'leave'
      readonly nth: number
      readonly graceful: boolean
      readonly sleepS: number
    }
  | { readonly kind: 'command'; readonly device: string }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'crash' | 'restart' }

const device = fc.constantFrom(...fleet)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('attach' as const),
      device,
      channel: fc.constantFrom('main', 'urgent'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('admit' as const), device }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('leave' as const),
      nth: fc.nat(5),
      graceful: fc.boolean(),
      sleepS: fc.constantFrom(0, 0, 30, 600),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('command' as const), device }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(1, 3_000, 13_000, 80_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('crash' as const, 'restart' as const) }),
  },
)

const presenceOf = (events: readonly KeptEvent[], name: string) =>
  events.flatMap((event) => (event.kind === 'presence' && event.device === name ? [event] : []))

test('whatever devices and the gateway do: the changes of a device grow in term, and the last is what is so', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      let world = await World.open()
      for (const name of fleet) await world.register(name)
      let there: { session?: Session; intake?: Intake }[] = []
      for (const one of steps) {
        if (one.kind === 'attach') {
          const attached = await world.tryAttach({ device: one.device, channel: one.channel })
          if (attached.attached.kind === 'session') {
            attached.attached.session.start()
            there.push({ session: attached.attached.session })
          }
        } else if (one.kind === 'admit') {
          const { intake } = await world.admit({ device: one.device, stays: true })
          there.push({ intake })
        } else if (one.kind === 'leave') {
          const [gone] = there.splice(one.nth % Math.max(1, there.length), 1)
          const backAtMs = one.sleepS === 0 ? undefined : world.clock.nowMs() + one.sleepS * second
          gone?.session?.detach(one.graceful, backAtMs)
          gone?.intake?.leave(one.graceful)
        } else if (one.kind === 'command') await world.command({ to: { device: one.device } })
        else if (one.kind === 'pass') await world.pass(one.ms)
        else {
          there = []
          world = await (one.kind === 'crash' ? world.crash() : world.restart())
          // A start takes a moment.
          await world.pass(100)
        }
        await world.quiet()
      }
      // Who was there before a restart is missed by now.
      await world.pass(limits.presenceMissedMs + second)
      await world.quiet()
      const events = await world.events('presence')
      for (const name of fleet) {
        const all = presenceOf(events, name)
        let term = 0
        for (const each of all) {
          assert.ok((each.term ?? 0) > term, `${name}: term ${each.term} after ${term}`)
          term = each.term ?? 0
          assert.ok((each.heardAtMs ?? each.atMs) <= each.atMs, `${name}: a proof of life to come`)
          if (each.state !== 'online')
            assert.ok(each.heardAtMs !== undefined, `${name}: last proof of life`)
        }
        const now = world.hub.presence('default', name)
        assert.equal(all.at(-1)?.state ?? 'offline', now.state, name)
        if (now.term !== undefined) assert.equal(all.at(-1)?.term, now.term, name)
      }
    }),
    { numRuns: 60 },
  )
})

test('a device that was online when the gateway was killed is suspect, then offline: it does not stay online for ever', async () => {
  let world = await World.open()
  await world.register()
  await world.attach()
  await world.quiet()
  world = await world.crash()
  const suspect = world.hub.presence('default', 'locker')
  assert.deepEqual([suspect.state, suspect.reason], ['suspect', 'restarted'])
  await world.pass(limits.presenceMissedMs)
  const offline = world.hub.presence('default', 'locker')
  assert.deepEqual([offline.state, offline.reason], ['offline', 'restarted'])
  const states = (await world.events('presence')).map((one) => one.kind === 'presence' && one.state)
  assert.deepEqual(states, ['online', 'offline'])
})

test('a device that was online when the gateway was killed and comes back is online again, and never was offline', async () => {
  let world = await World.open()
  await world.register()
  await world.attach()
  await world.quiet()
  world = await world.crash()
  await world.pass(20 * second)
  const { session } = await world.attach()
  await world.pass(limits.presenceMissedMs)
  session.touch()
  const states = (await world.events('presence')).map((one) => one.kind === 'presence' && one.state)
  assert.deepEqual(states, ['online', 'online'])
})

test('a device that sleeps over a restart of the gateway is asleep until the time it said', async () => {
  let world = await World.open()
  await world.register()
  const { session } = await world.attach()
  session.detach(true, world.clock.nowMs() + 600 * second)
  await world.quiet()
  world = await world.restart()
  assert.equal(world.hub.presence('default', 'locker').state, 'asleep')
  await world.pass(601 * second)
  assert.equal(world.hub.presence('default', 'locker').state, 'offline')
})

test('a device that does not acknowledge in time is suspect, with why, and online again when it answers', async () => {
  const world = await World.open()
  await world.register()
  const { session } = await world.attach()
  await world.command()
  await world.pass(11 * second)
  const { state, reason } = world.hub.presence('default', 'locker')
  assert.deepEqual([state, reason], ['suspect', 'acknowledgement-overdue'])
  session.touch()
  await world.quiet()
  const states = (await world.events('presence')).map((one) => one.kind === 'presence' && one.state)
  assert.deepEqual(states, ['online', 'suspect', 'online'])
})
