import assert from 'node:assert/strict'
import test from 'node:test'
import type { KeptEvent, NewEvent } from '../../src/contract/index.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { allEvents, end, keep, logEvents, same, settle } from '../support/engine-words.ts'

const payloadBytes = 1_000

/** Finding one event, and forgetting the oldest: rule 33. */
export function eventsPurgeExam(subject: EngineSubject): void {
  test('an event is found by its id as it is read', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, 'shop', 5)
    const { offset } = await keep(rig, 'shop/locker/main')
    await settle(rig, 'shop/locker/main', { changes: [end(offset, 'done', rig.clock.nowMs())] })
    await rig.crash()
    await log(rig, 'shop', 3)
    for (const befall of [() => {}, () => rig.restart()]) {
      await befall()
      const events = await allEvents(rig, 'shop')
      assert.equal(events.length, 9)
      for (const event of events) same(await rig.engine.events.find('shop', event.id), event)
    }
  })

  test("what is no event's id finds nothing, and another app's neither (rule 30)", async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(await rig.engine.events.find('shop', '0-0000000000'), undefined)
    await log(rig, 'shop', 2)
    const before = await allEvents(rig, 'shop')
    await rig.crash()
    await log(rig, 'shop', 1)
    const [epoch, sequence] = before[0]!.id.split('-') as [string, string]
    const later = (await allEvents(rig, 'shop')).at(-1)!.id.split('-')[0]
    for (const id of [
      // The place is there, and its event has another id.
      `${later}-${sequence}`,
      `${epoch}-0000000000`,
      `${epoch}-0000000009`,
      `${epoch}-zzzzzzzzzz`,
      `${epoch}`,
      '',
      '0-0000000000',
      'constructor',
      `${before[0]!.id} `,
    ]) {
      assert.equal(await rig.engine.events.find('shop', id), undefined, id)
    }
    assert.equal(await rig.engine.events.find('sho', before[0]!.id), undefined)
  })

  test('what was purged is found no more', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, 'shop', 3)
    const [first, second, third] = (await allEvents(rig, 'shop')) as [
      KeptEvent,
      KeptEvent,
      KeptEvent,
    ]
    await rig.engine.events.purge(third.atMs)
    for (const befall of [() => {}, () => rig.crash()]) {
      await befall()
      assert.equal(await rig.engine.events.find('shop', first.id), undefined)
      assert.equal(await rig.engine.events.find('shop', second.id), undefined)
      same(await rig.engine.events.find('shop', third.id), third)
    }
  })

  test('the log of one app can be purged alone', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, 'shop', 4)
    await log(rig, 'sho', 4)
    await log(rig, 'shop-', 4)
    const purged = await rig.engine.events.purge(Number.POSITIVE_INFINITY, { app: 'shop' })
    assert.equal(purged, 4)
    assert.equal(await rig.engine.events.purge(rig.clock.nowMs() + 1, { app: 'nobody' }), 0)
    for (const befall of [() => {}, () => rig.restart()]) {
      await befall()
      assert.equal((await allEvents(rig, 'shop')).length, 0)
      assert.equal((await allEvents(rig, 'sho')).length, 4)
      assert.equal((await allEvents(rig, 'shop-')).length, 4)
    }
    await log(rig, 'shop', 1)
    assert.equal((await allEvents(rig, 'shop')).length, 1)
  })

  test('rule 33: over their bound the oldest of all logs go, and no more than must', async (t) => {
    const rig = await Rig.make(t, subject)
    const apps = ['shop', 'sho', 'quiet']
    await log(rig, 'quiet', 20)
    for (let at = 0; at < 100; at++) await log(rig, apps[at % 2]!, 1)
    await log(rig, 'quiet', 20)
    const before = await everything(rig, apps)
    assert.equal(before.length, 140)
    assert.equal(await rig.engine.events.purge(0, { maxBytes: 1e9 }), 0)
    const maxBytes = 70 * payloadBytes
    const purged = await rig.engine.events.purge(0, { maxBytes })
    // About: what an event takes beside its payload is the engine's matter.
    assert.ok(purged >= 70 && purged < 100, `${purged} of 140 are gone`)
    for (const befall of [() => {}, () => rig.restart(), () => rig.crash()]) {
      await befall()
      same(await everything(rig, apps), before.slice(purged))
      assert.equal(await rig.engine.events.purge(0, { maxBytes }), 0, 'it is as small as asked for')
    }
    await log(rig, 'shop', 30)
    const more = await rig.engine.events.purge(0, { maxBytes })
    assert.ok(more > 20 && more < 40, `${more} of 30 are gone`)
    assert.equal(await rig.engine.events.purge(0, { maxBytes: 0 }), 140 + 30 - purged - more)
    assert.deepEqual(await everything(rig, apps), [])
    await log(rig, 'shop', 1)
    assert.equal((await allEvents(rig, 'shop')).length, 1)
  })

  test('age goes before size: what is old goes, however little there is', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, 'shop', 10)
    const cutMs = rig.clock.nowMs()
    await log(rig, 'sho', 10)
    assert.equal(await rig.engine.events.purge(cutMs, { maxBytes: 1e9 }), 10)
    assert.equal((await allEvents(rig, 'sho')).length, 10)
  })

  test('the outcome of a command goes with the event of its end, by size too', async (t) => {
    const rig = await Rig.make(t, subject)
    const main = 'shop/locker/main'
    const { epoch, offset } = await keep(rig, main)
    await settle(rig, main, { changes: [end(offset, 'done', rig.clock.nowMs())] })
    const waiting = await keep(rig, main)
    assert.equal((await rig.engine.mailbox.find(main, epoch, offset))?.kind, 'ended')
    await rig.engine.events.purge(0, { maxBytes: 0 })
    for (const befall of [() => {}, () => rig.restart()]) {
      await befall()
      assert.equal(await rig.engine.mailbox.find(main, epoch, offset), undefined)
      assert.equal((await rig.engine.mailbox.find(main, epoch, waiting.offset))?.kind, 'open')
    }
  })

  test('more than one batch of events goes by size too, and who reads meanwhile is told', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, 'shop', 700, 10)
    await log(rig, 'sho', 700, 10)
    const [first] = await allEvents(rig, 'shop')
    const [one, other] = await Promise.all([
      rig.engine.events.purge(0, { maxBytes: 1_000 }),
      rig.engine.events.purge(0, { maxBytes: 1_000 }),
    ])
    const left = await everything(rig, ['shop', 'sho'])
    assert.ok(left.length < 100)
    assert.equal(one + other + left.length, 1_400, 'two purges at once count each event once')
    const page = await rig.engine.events.read('shop', { limit: 1, after: first!.id })
    assert.equal(page.kind, 'gone')
  })

  const { breakage } = subject
  if (breakage === undefined) return
  test('a purge that cannot be kept is refused, and has forgotten nothing', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, 'shop', 10)
    const before = await allEvents(rig, 'shop')
    await breakage.break(rig.engine, 'down')
    await assert.rejects(rig.engine.events.purge(0, { maxBytes: 0 }), StoreUnavailable)
    await breakage.mend(rig.engine)
    same(await allEvents(rig, 'shop'), before)
    assert.equal(await rig.engine.events.purge(0, { maxBytes: 0 }), 10)
  })
}

/** Of all these apps, the oldest first. */
async function everything(rig: Rig, apps: readonly string[]): Promise<readonly KeptEvent[]> {
  const logs = await Promise.all(apps.map((app) => allEvents(rig, app)))
  return logs.flat().sort((a, b) => a.atMs - b.atMs)
}

/** Events of that many moments, each its own. */
async function log(rig: Rig, app: string, count: number, bytes = payloadBytes): Promise<void> {
  const events: NewEvent[] = []
  for (let at = 0; at < count; at++) {
    rig.clock.advance(1)
    events.push({
      ...{ kind: 'event', app, device: 'locker', channel: 'main', atMs: rig.clock.nowMs() },
      ...{ name: `${at}`, payload: Buffer.alloc(bytes, at), contentType: 'application/json' },
    })
  }
  rig.clock.advance(1)
  assert.equal(await logEvents(rig, events), 'kept')
}
