import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../../src/contract/index.ts'
import { lastWordsMs, lifeEndsMs } from '../../src/hub/lifetime.ts'
import { MemoryLink, World } from '../support/world.ts'

const dayMs = limits.connectionLifetimeMs

/** It does as it is asked, and goes. */
class PoliteLink extends MemoryLink {
  readonly asked: number[] = []

  leave(spreadMs: number): void {
    this.asked.push(spreadMs)
    this.session?.detach(true)
  }
}

async function polite(world: World, device: string): Promise<PoliteLink> {
  const link = new PoliteLink(`polite-${device}`)
  const attached = await world.hub.attach(link, { app: 'default', device, channel: 'main' })
  if (attached.kind !== 'session') throw new Error(attached.reason)
  link.session = attached.session
  attached.session.start()
  await world.quiet()
  return link
}

/** Beats, so that silence does not end it. */
async function live(world: World, link: MemoryLink, forMs: number): Promise<void> {
  for (let ms = 0; ms < forMs; ms += 60_000) {
    link.session?.touch()
    world.clock.advance(60_000)
  }
  await world.quiet()
}

test('a connection lasts a day, a tenth more or less, and those who came together do not go together', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 42 }),
      fc.integer({ min: 1, max: dayMs }),
      (at, life) => {
        const lastsMs = lifeEndsMs(at, life) - at
        assert.ok(
          lastsMs >= Math.floor(life * 0.9) && lastsMs <= Math.ceil(life * 1.1),
          `${lastsMs}`,
        )
      },
    ),
  )
  assert.equal(lifeEndsMs(1_000, 0), Number.POSITIVE_INFINITY, 'switched off')
  // Twenty thousand that came back within four seconds: no minute of the next day has many of them.
  const minutes = new Map<number, number>()
  for (let i = 0; i < 20_000; i++) {
    const minute = Math.floor(lifeEndsMs(1_763_000_000_000 + Math.floor(i / 5), dayMs) / 60_000)
    minutes.set(minute, (minutes.get(minute) ?? 0) + 1)
  }
  const mean = 20_000 / ((0.2 * dayMs) / 60_000)
  const most = Math.max(...minutes.values())
  assert.ok(most <= 2 * mean, `${most} in a minute, ${mean} on the average`)
})

test('an old connection is asked to come back, once; a young one, one of a battery and one without words for it are not', async () => {
  const world = await World.open()
  await world.register('locker')
  await world.register('sensor', 'default', {}, { attributes: { class: 'battery' } })
  await world.register('mute')
  const [locker, sensor] = [await polite(world, 'locker'), await polite(world, 'sensor')]
  const { link: mute } = await world.attach({ device: 'mute' })
  for (let ms = 0; ms < dayMs * 0.89; ms += 60_000) {
    for (const { session } of [locker, sensor, mute]) session?.touch()
    world.clock.advance(60_000)
  }
  assert.deepEqual(locker.asked, [])
  for (let ms = 0; ms < dayMs * 0.22; ms += 60_000) {
    for (const { session } of [locker, sensor, mute]) session?.touch()
    world.clock.advance(60_000)
  }
  assert.equal(locker.asked.length, 1)
  assert.deepEqual(sensor.asked, [])
  assert.deepEqual([sensor.closed, mute.closed], [undefined, undefined])
  assert.equal(world.hub.presence('default', 'sensor').state, 'online')
  assert.equal(world.hub.figures().connections_aged_total, 1)
})

/** Half a second before its connection is old a command is on its way. */
async function withOneOnItsWay() {
  const world = await World.open({ limits: { connectionLifetimeMs: 600_000 } })
  await world.register('locker')
  const endsMs = lifeEndsMs(world.clock.nowMs(), 600_000)
  const link = await polite(world, 'locker')
  await live(world, link, endsMs - world.clock.nowMs() - 60_000)
  world.clock.advance(endsMs - world.clock.nowMs() - 500)
  await world.command()
  await world.quiet()
  return { world, link }
}

test('what is on its way is acknowledged before it goes, and what comes meanwhile waits for the next connection', async () => {
  const { world, link } = await withOneOnItsWay()
  assert.equal(link.got.length, 1)
  world.clock.advance(500)
  await world.quiet()
  assert.deepEqual(link.asked, [], 'one is on its way')
  await world.command()
  await world.quiet()
  assert.equal(link.got.length, 1, 'no more are written')
  link.session?.acknowledge(link.got[0]!.command.offset)
  world.clock.advance(lastWordsMs)
  await world.quiet()
  assert.equal(link.asked.length, 1)
  const next = await polite(world, 'locker')
  assert.deepEqual(next.names, ['open'])
  assert.equal(next.got[0]!.repeated, false)
})

test('one that acknowledges nothing is not waited for', async () => {
  const { world, link } = await withOneOnItsWay()
  world.clock.advance(500 + lastWordsMs)
  assert.equal(link.asked.length, 1)
})
