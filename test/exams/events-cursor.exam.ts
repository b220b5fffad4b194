import assert from 'node:assert/strict'
import test from 'node:test'
import type { EventId, EventQuery, NewEvent } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { logEvents } from '../support/engine-words.ts'

export function eventsCursorExam(subject: EngineSubject): void {
  test('a page goes on where the last one ended, and says when it has caught up', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a', 'b', 'c', 'd', 'e'])
    const first = await page(rig, { limit: 2 })
    assert.deepEqual([first.names, first.caughtUp], [['a', 'b'], false])
    const second = await page(rig, { limit: 2, after: first.next })
    assert.deepEqual([second.names, second.caughtUp], [['c', 'd'], false])
    const third = await page(rig, { limit: 2, after: second.next })
    assert.deepEqual([third.names, third.caughtUp], [['e'], true])
    const empty = await page(rig, { limit: 2, after: third.next })
    assert.deepEqual([empty.names, empty.caughtUp], [[], true])
    await log(rig, ['f'])
    const sixth = await page(rig, { limit: 2, after: empty.next })
    assert.deepEqual([sixth.names, sixth.caughtUp], [['f'], true])
  })

  test("an event's id is the cursor behind it", async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a', 'b', 'c'])
    const { ids } = await page(rig, { limit: 9 })
    assert.deepEqual((await page(rig, { limit: 9, after: ids[0]! })).names, ['b', 'c'])
    assert.deepEqual((await page(rig, { limit: 9, after: ids[2]! })).names, [])
  })

  test('a cursor of an empty log goes on with the first event', async (t) => {
    const rig = await Rig.make(t, subject)
    const empty = await page(rig, { limit: 9 })
    assert.deepEqual([empty.names, empty.caughtUp], [[], true])
    const latest = await rig.engine.events.latest('shop')
    await log(rig, ['a'])
    assert.deepEqual((await page(rig, { limit: 9, after: empty.next })).names, ['a'])
    assert.deepEqual((await page(rig, { limit: 9, after: latest })).names, ['a'])
  })

  test('latest is the cursor after which only new events lie', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a', 'b'])
    const latest = await rig.engine.events.latest('shop')
    assert.deepEqual((await page(rig, { limit: 9, after: latest })).names, [])
    await log(rig, ['c'])
    assert.deepEqual((await page(rig, { limit: 9, after: latest })).names, ['c'])
  })

  test('filters choose by device and by kind; the cursor passes over the rest', async (t) => {
    const rig = await Rig.make(t, subject)
    for (let i = 0; i < 5; i++) {
      await log(rig, [`ab-${i}`], 'ab')
      await log(rig, [`abc-${i}`], 'abc')
      await log(rig, [`dash-${i}`], 'ab-')
      const atMs = rig.clock.nowMs()
      const state = i % 2 === 0 ? 'online' : 'offline'
      await logEvents(rig, [{ kind: 'presence', app: 'shop', device: 'ab', atMs, state }])
    }
    const read = async (query: Omit<EventQuery, 'limit'>) => {
      const names: string[] = []
      for (let next: EventQuery = { ...query, limit: 2 }; ; ) {
        const got = await page(rig, next)
        names.push(...got.names)
        if (got.caughtUp) return names
        next = { ...next, after: got.next }
      }
    }
    const each = (what: (i: number) => string[]) => [0, 1, 2, 3, 4].flatMap(what)
    assert.deepEqual(
      await read({ device: 'ab' }),
      each((i) => [`ab-${i}`, 'presence']),
    )
    assert.deepEqual(
      await read({ device: 'ab-' }),
      each((i) => [`dash-${i}`]),
    )
    assert.deepEqual(
      await read({ device: 'ab', kinds: ['presence'] }),
      each(() => ['presence']),
    )
    assert.deepEqual(
      await read({ kinds: ['event'] }),
      each((i) => [`ab-${i}`, `abc-${i}`, `dash-${i}`]),
    )
    assert.deepEqual(await read({ kinds: ['reply', 'command.late'] }), [])
    assert.deepEqual(await read({ device: 'a' }), [])
    assert.deepEqual(await read({ device: 'constructor' }), [])
  })

  test('a filter that matches nothing still moves the cursor on', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a', 'b'])
    const latest = await rig.engine.events.latest('shop')
    let next: EventId | undefined
    for (;;) {
      const got = await page(rig, { limit: 1, device: 'nobody', ...(next && { after: next }) })
      assert.deepEqual(got.names, [])
      next = got.next
      if (got.caughtUp) break
    }
    assert.equal(next, latest)
  })

  test('rule 33: a cursor behind the oldest is gone, and from the oldest nothing is missed', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a'])
    const { ids } = await page(rig, { limit: 9 })
    await log(rig, ['b'])
    rig.clock.advance(1_000)
    const cutMs = rig.clock.nowMs()
    await log(rig, ['c', 'd'])
    await rig.engine.events.purge(cutMs)
    for (const befall of [() => {}, () => rig.restart(), () => rig.crash()]) {
      await befall()
      const behind = await rig.engine.events.read('shop', { limit: 9, after: ids[0]! })
      assert.ok(behind.kind === 'gone', 'the cursor is understood')
      assert.deepEqual((await page(rig, { limit: 9, after: behind.oldest })).names, ['c', 'd'])
      assert.deepEqual((await page(rig, { limit: 9 })).names, ['c', 'd'])
    }
  })

  test('a cursor that had seen all that was purged is as good as before', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a', 'b'])
    const { ids } = await page(rig, { limit: 9 })
    rig.clock.advance(1_000)
    await rig.engine.events.purge(rig.clock.nowMs())
    assert.deepEqual((await page(rig, { limit: 9, after: ids[1]! })).names, [])
    await log(rig, ['c'])
    assert.deepEqual((await page(rig, { limit: 9, after: ids[1]! })).names, ['c'])
  })

  test('a cursor nobody can have given is gone, never an error', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a'])
    const { ids } = await page(rig, { limit: 9 })
    const [epoch, sequence] = ids[0]!.split('-') as [string, string]
    const other = ((Number.parseInt(epoch, 36) % 0xffff_ffff) + 1).toString(36)
    for (const after of [
      `${other}-${sequence}`,
      `${other}-0000000000`,
      `${epoch}-zzzzzzzzzz`,
      `${epoch}`,
      `-${sequence}`,
      '__proto__',
      'zzzzzzz-zzzzzzzzzz',
      '\u0000',
      `${epoch}-${sequence}x`,
      `${epoch.toUpperCase()}-${sequence} `,
    ]) {
      const got = await rig.engine.events.read('shop', { limit: 9, after })
      assert.ok(got.kind === 'gone', `${JSON.stringify(after)} is understood`)
      assert.deepEqual((await page(rig, { limit: 9, after: got.oldest })).names, ['a'])
    }
  })

  test('cursors stay good across restarts and crashes', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a', 'b'])
    const { ids } = await page(rig, { limit: 9 })
    const names = ['b']
    for (const [befall, name] of [
      [() => rig.restart(), 'c'],
      [() => rig.crash(), 'd'],
      [() => rig.crash(), 'e'],
      [() => rig.restart(), 'f'],
    ] as const) {
      await befall()
      assert.deepEqual((await page(rig, { limit: 9, after: ids[0]! })).names, names)
      const latest = await rig.engine.events.latest('shop')
      await log(rig, [name])
      names.push(name)
      assert.deepEqual((await page(rig, { limit: 9, after: latest })).names, [name])
    }
    assert.deepEqual((await page(rig, { limit: 9, after: ids[0]! })).names, names)
  })

  test('latest of a log that is silent across a restart goes on with what comes', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a'])
    await rig.restart()
    const latest = await rig.engine.events.latest('shop')
    await rig.restart()
    await log(rig, ['b'])
    assert.deepEqual((await page(rig, { limit: 9, after: latest })).names, ['b'])
  })

  test('after a restored backup no cursor silently misses an event', async (t) => {
    const rig = await Rig.make(t, subject)
    await log(rig, ['a'])
    await rig.stop()
    const restore = await rig.store.backup()
    await rig.start()
    await log(rig, ['lost-1', 'lost-2', 'lost-3'])
    const { ids } = await page(rig, { limit: 9 })
    await rig.stop()
    await restore()
    await rig.start()
    await log(rig, ['b', 'c', 'd', 'e'])
    for (const after of ids.slice(1)) {
      const got = await rig.engine.events.read('shop', { limit: 9, after })
      const names = got.kind === 'gone' ? [] : got.items.map(nameOf)
      if (got.kind === 'page') assert.deepEqual(names, ['b', 'c', 'd', 'e'])
    }
    const known = await page(rig, { limit: 9, after: ids[0]! })
    assert.deepEqual(known.names, ['b', 'c', 'd', 'e'])
    const fresh = await page(rig, { limit: 9 })
    assert.ok(
      fresh.ids.slice(1).every((id) => !ids.includes(id)),
      'no id is used twice',
    )
  })
}

const nameOf = (event: NewEvent): string => (event.kind === 'event' ? event.name : event.kind)

async function page(rig: Rig, query: EventQuery) {
  const got = await rig.engine.events.read('shop', query)
  assert.ok(got.kind === 'page', 'the cursor is gone')
  assert.ok(got.items.length <= query.limit, 'a page is as long as asked for at most')
  const { items, next, caughtUp } = got
  return { names: items.map(nameOf), ids: items.map(({ id }) => id), next, caughtUp }
}

async function log(rig: Rig, names: readonly string[], device = 'locker'): Promise<void> {
  const events = names.map(
    (name): NewEvent => ({
      ...{ kind: 'event', app: 'shop', device, channel: 'main', atMs: rig.clock.nowMs() },
      ...{ name, payload: new Uint8Array(0), contentType: 'application/json' },
    }),
  )
  assert.equal(await logEvents(rig, events), 'kept')
}
