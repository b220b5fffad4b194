import assert from 'node:assert/strict'
import test from 'node:test'
import type { DeviceRecord } from '../../src/contract/index.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { same } from '../support/engine-words.ts'
import { turn } from '../support/turns.ts'

export function tagsExam(subject: EngineSubject): void {
  test('devices are found by their tags, as they were put last', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    assert.deepEqual(await tagged(rig, 'north'), [])
    await names.putDevice(device('a', ['north', 'constructor', '__proto__']))
    await names.putDevice(device('b', ['north', 'new']))
    await names.putDevice(device('c', []))
    await names.putDevice(device('b', ['new', 'south']))
    await names.putDevice(device('c', ['north', 'north']))
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.deepEqual(await tagged(rig, 'north'), ['a', 'c'])
      assert.deepEqual(await tagged(rig, 'new'), ['b'])
      assert.deepEqual(await tagged(rig, 'south'), ['b'])
      assert.deepEqual(await tagged(rig, '__proto__'), ['a'])
      assert.deepEqual(await tagged(rig, 'toString'), [])
    }
  })

  test('puts of one device at once leave the tags of the last', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    await names.putDevice(device('a', ['before', 'stays']))
    await Promise.all([
      names.putDevice(device('a', ['one', 'stays'])),
      names.putDevice(device('a', ['two', 'before', 'stays'])),
      names.putDevice(device('a', ['three', 'stays'])),
    ])
    for (const befall of [() => {}, () => rig.crash()]) {
      await befall()
      for (const tag of ['before', 'one', 'two']) assert.deepEqual(await tagged(rig, tag), [], tag)
      for (const tag of ['three', 'stays']) assert.deepEqual(await tagged(rig, tag), ['a'], tag)
    }
  })

  test('a put while the one before is on its way to the disk takes its tags away', async (t) => {
    const rig = await Rig.make(t, subject)
    const puts: Promise<void>[] = []
    for (let at = 0; at < 20; at++) {
      puts.push(rig.engine.names.putDevice(device('a', [`tag-${at}`])))
      await turn()
    }
    await Promise.all(puts)
    for (let at = 0; at < 19; at++) assert.deepEqual(await tagged(rig, `tag-${at}`), [])
    assert.deepEqual(await tagged(rig, 'tag-19'), ['a'])
  })

  test('a removed device has no tag, also where its put is on its way', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    await names.putDevice(device('a', ['north']))
    await names.removeDevice('shop', 'a')
    await Promise.all([
      names.putDevice(device('b', ['north'])),
      names.removeDevice('shop', 'b'),
      names.putDevice(device('c', ['north'])),
      names.removeDevice('shop', 'c'),
      names.putDevice(device('c', ['south'])),
    ])
    for (const befall of [() => {}, () => rig.crash()]) {
      await befall()
      assert.deepEqual(await tagged(rig, 'north'), [])
      assert.deepEqual(await tagged(rig, 'south'), ['c'])
    }
  })

  test('rule 30: who has a tag is told by app, and by the whole name of the tag', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const [at, app] of ['shop', 'sho', 'shop-'].entries()) {
      for (const tag of ['ab', 'abc', 'ab-', 'a']) {
        await rig.engine.names.putDevice({ ...device(`d-${tag}-${at}`, [tag]), app })
      }
    }
    assert.deepEqual(await tagged(rig, 'ab'), ['d-ab-0'])
    assert.deepEqual(await tagged(rig, 'a'), ['d-a-0'])
    const { items } = await rig.engine.names.tagged('sho', 'ab', { limit: 9 })
    assert.deepEqual(items, ['d-ab-1'])
  })

  test('a page goes on after the last one, also when that has lost its tag', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const id of ['a', 'ab', 'b', 'c', 'd']) {
      await rig.engine.names.putDevice(device(id, ['t']))
    }
    const first = await rig.engine.names.tagged('shop', 't', { limit: 2 })
    same(first, { items: ['a', 'ab'], next: 'ab' })
    await rig.engine.names.putDevice(device('ab', []))
    const second = await rig.engine.names.tagged('shop', 't', { limit: 3, after: 'ab' })
    same(second, { items: ['b', 'c', 'd'] })
  })

  test('rule 27: a snapshot has all of one moment, in order, whatever changes while it is read', async (t) => {
    const rig = await Rig.make(t, subject)
    const ids = Array.from({ length: 2_500 }, (_, at) => `d-${String(at).padStart(4, '0')}`)
    await rig.engine.names.putDevices(ids.map((id) => device(id, ['all', 'other'])))
    const seen: string[] = []
    for await (const chunk of rig.engine.names.snapshot('shop', 'all')) {
      assert.ok(chunk.length > 0 && chunk.length <= 1_000)
      seen.push(...chunk)
      await rig.engine.names.putDevice(device(ids.at(-1)!, []))
      await rig.engine.names.removeDevice('shop', ids.at(-2)!)
      await rig.engine.names.putDevice(device('later', ['all']))
    }
    assert.deepEqual(seen, ids)
    assert.equal((await tagged(rig, 'all')).length, 2_499)
    for await (const chunk of rig.engine.names.snapshot('shop', 'nobody')) assert.fail(`${chunk}`)
    for await (const chunk of rig.engine.names.snapshot('shop', 'all')) {
      assert.equal(chunk[0], ids[0])
      break
    }
  })

  test('many devices at once are there, counted once each, the later of two standing', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    await names.putDevice(device('d-3', ['old']))
    const many = Array.from({ length: 500 }, (_, at) => device(`d-${at}`, ['new']))
    const other = { ...device('d-0', ['new']), app: 'other' }
    await names.putDevices([device('d-7', ['first']), ...many, other, device('d-9', ['last'])])
    await names.putDevices([])
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.equal(await rig.engine.names.deviceCount('shop'), 500)
      assert.equal(await rig.engine.names.deviceCount('other'), 1)
      same(await rig.engine.names.device('shop', 'd-3'), device('d-3', ['new']))
      assert.equal((await tagged(rig, 'new')).length, 499)
      for (const tag of ['old', 'first']) assert.deepEqual(await tagged(rig, tag), [])
      assert.deepEqual(await tagged(rig, 'last'), ['d-9'])
    }
  })

  const { breakage } = subject
  if (breakage === undefined) return
  test('what could not be kept has no tag, and counts nowhere', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    await names.putDevice(device('a', ['before']))
    await breakage.break(rig.engine, 'down')
    await assert.rejects(names.putDevice(device('a', ['refused'])), StoreUnavailable)
    await assert.rejects(names.putDevices([device('b', ['before'])]), StoreUnavailable)
    await assert.rejects(names.removeDevice('shop', 'a'), StoreUnavailable)
    await breakage.mend(rig.engine)
    assert.deepEqual(await tagged(rig, 'before'), ['a'])
    assert.deepEqual(await tagged(rig, 'refused'), [])
    assert.equal(await names.deviceCount('shop'), 1)
    await names.putDevice(device('a', ['after']))
    assert.deepEqual(await tagged(rig, 'before'), [])
    assert.deepEqual(await tagged(rig, 'after'), ['a'])
  })
}

async function tagged(rig: Rig, tag: string): Promise<readonly string[]> {
  const items: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await rig.engine.names.tagged('shop', tag, {
      limit: 1_000,
      ...(after && { after }),
    })
    items.push(...page.items)
    if (page.next === undefined) break
    after = page.next
  }
  const chunks: string[] = []
  for await (const chunk of rig.engine.names.snapshot('shop', tag)) chunks.push(...chunk)
  assert.deepEqual(chunks, items, 'a snapshot has what pages have')
  return items
}

const device = (id: string, tags: readonly string[]): DeviceRecord => ({
  ...{ app: 'shop', device: id, tags, disabled: false, attributes: {}, channels: {} },
  ...{ credentials: [], createdAtMs: 1, changedAtMs: 1 },
})
