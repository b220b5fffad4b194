import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import type { DeviceRecord, KeyRecord } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { same } from '../support/engine-words.ts'
import { aliasesExam } from './names-aliases.exam.ts'
import { appsExam } from './names-apps.exam.ts'
import { tagsExam } from './names-tags.exam.ts'

/** What every register of names must do: src/contract/names.ts. */
export function namesExam(name: string, subject: EngineSubject): void {
  describe(`${name}: names`, () => {
    describe('devices', () => devicesExam(subject))
    describe('apps and keys', () => keysExam(subject))
    describe('aliases', () => aliasesExam(subject))
    describe('tags', () => tagsExam(subject))
    describe('webhooks and whole apps', () => appsExam(subject))
  })
}

function devicesExam(subject: EngineSubject): void {
  test('a device is found as it was put, and unknown before', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(await rig.engine.names.device('shop', 'locker'), undefined)
    const record = device({
      disabled: true,
      tags: ['north', 'constructor', '__proto__'],
      attributes: JSON.parse(
        '{"__proto__": {"a": 1}, "constructor": null, "deep": [1, {"x": "ü"}]}',
      ),
      channels: { media: { maxCommands: 5, overflow: 'drop-oldest' }, constructor: {} },
      credentials: [
        { kdf: 'hkdf', storedKey: 'a'.repeat(44), serverKey: 'b'.repeat(44) },
        { kdf: 'scrypt', storedKey: 'c'.repeat(44), serverKey: 'd'.repeat(44) },
      ],
      createdAtMs: 5,
      changedAtMs: 7,
    })
    await rig.engine.names.putDevice(record)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      same(await rig.engine.names.device('shop', 'locker'), record)
    }
  })

  test('a second put replaces the first, whole', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putDevice(device({ tags: ['a', 'b'], attributes: { x: 1, y: 2 } }))
    await rig.engine.names.putDevice(device({ attributes: { x: 3 } }))
    same(await rig.engine.names.device('shop', 'locker'), device({ attributes: { x: 3 } }))
    assert.equal(await rig.engine.names.deviceCount('shop'), 1)
    await rig.restart()
    same(await rig.engine.names.device('shop', 'locker'), device({ attributes: { x: 3 } }))
  })

  test('of puts at once the last one holds', async (t) => {
    const rig = await Rig.make(t, subject)
    await Promise.all(
      [1, 2, 3, 4].map((x) => rig.engine.names.putDevice(device({ attributes: { x } }))),
    )
    same(await rig.engine.names.device('shop', 'locker'), device({ attributes: { x: 4 } }))
    assert.equal(await rig.engine.names.deviceCount('shop'), 1)
  })

  test('what a caller does to its record later changes nothing', async (t) => {
    const rig = await Rig.make(t, subject)
    const tags = ['a']
    const put = rig.engine.names.putDevice(device({ tags }))
    tags.push('b')
    await put
    assert.deepEqual((await rig.engine.names.device('shop', 'locker'))?.tags, ['a'])
  })

  test('a removed device is gone, and stays gone', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putDevice(device({}))
    await rig.engine.names.putDevice(device({ device: 'other' }))
    assert.equal(await rig.engine.names.removeDevice('shop', 'locker'), true)
    assert.equal(await rig.engine.names.removeDevice('shop', 'locker'), false)
    assert.equal(await rig.engine.names.removeDevice('nobody', 'other'), false)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.equal(await rig.engine.names.device('shop', 'locker'), undefined)
      assert.equal(await rig.engine.names.deviceCount('shop'), 1)
    }
    await rig.engine.names.putDevice(device({}))
    assert.equal(await rig.engine.names.deviceCount('shop'), 2)
  })

  test('a put and a removal at once take effect in their order', async (t) => {
    const rig = await Rig.make(t, subject)
    const put = rig.engine.names.putDevice(device({}))
    const removed = rig.engine.names.removeDevice('shop', 'locker')
    await put
    assert.equal(await removed, true)
    assert.equal(await rig.engine.names.device('shop', 'locker'), undefined)
    assert.equal(await rig.engine.names.deviceCount('shop'), 0)
  })

  test('devices are listed in order of id, page by page, each once', async (t) => {
    const rig = await Rig.make(t, subject)
    const ids = ['a', 'ab', 'abc', 'ab-', 'ab.', 'ab~', 'B', '0', 'constructor', 'z_', 'Z']
    await Promise.all(ids.map((id) => rig.engine.names.putDevice(device({ device: id }))))
    const seen: string[] = []
    for (let after: string | undefined; ; ) {
      const page = await rig.engine.names.devices('shop', { limit: 3, ...(after && { after }) })
      assert.ok(page.items.length <= 3, 'a page is as long as asked for at most')
      seen.push(...page.items.map((record) => record.device))
      if (page.next === undefined) break
      assert.equal(page.next, page.items.at(-1)?.device)
      after = page.next
    }
    assert.deepEqual(seen, [...ids].sort())
  })

  test('a page may go on after a device that is gone meanwhile', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const id of ['a', 'b', 'c']) await rig.engine.names.putDevice(device({ device: id }))
    await rig.engine.names.removeDevice('shop', 'b')
    const page = await rig.engine.names.devices('shop', { limit: 9, after: 'b' })
    assert.deepEqual(
      page.items.map((record) => record.device),
      ['c'],
    )
  })

  test("rule 30: the devices of one app are nobody else's", async (t) => {
    const rig = await Rig.make(t, subject)
    for (const app of ['shop', 'sho', 'shop-', 'shop2', 'constructor']) {
      await rig.engine.names.putDevice(device({ app, tags: [app] }))
      await rig.engine.names.putDevice(device({ app, device: `of-${app}` }))
    }
    for (const app of ['shop', 'sho', 'shop-', 'shop2', 'constructor']) {
      assert.deepEqual((await rig.engine.names.device(app, 'locker'))?.tags, [app])
      assert.equal(await rig.engine.names.deviceCount(app), 2)
      const page = await rig.engine.names.devices(app, { limit: 9 })
      assert.deepEqual(
        page.items.map((record) => record.device),
        ['locker', `of-${app}`],
      )
    }
    assert.equal(await rig.engine.names.deviceCount('nobody'), 0)
    const none = await rig.engine.names.devices('nobody', { limit: 9 })
    assert.deepEqual(none.items, [])
    assert.equal(none.next, undefined)
  })

  test('names that every object has are nobody until put', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const id of ['constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
      assert.equal(await rig.engine.names.device('shop', id), undefined)
      assert.equal(await rig.engine.names.device(id, 'locker'), undefined)
      assert.equal(await rig.engine.names.app(id), undefined)
      assert.equal(rig.engine.names.keyByHash(id), undefined)
      assert.equal(await rig.engine.names.removeDevice('shop', id), false)
      assert.equal(await rig.engine.names.removeKey('shop', id), false)
    }
  })
}

function keysExam(subject: EngineSubject): void {
  test('apps are found and listed as they were put', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(await rig.engine.names.app('shop'), undefined)
    const put = ['shop', 'shop-2', 'constructor'].map((app, i) => ({ app, createdAtMs: i }))
    for (const record of put) await rig.engine.names.putApp(record)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      for (const record of put) same(await rig.engine.names.app(record.app), record)
      const listed = await rig.engine.names.apps()
      for (const record of put) {
        same(
          listed.filter(({ app }) => app === record.app),
          [record],
        )
      }
    }
  })

  test('a key is known by its hash at once, as it was put', async (t) => {
    const rig = await Rig.make(t, subject)
    const record = key({ scopes: ['commands', 'admin'], createdAtMs: 9 })
    assert.equal(rig.engine.names.keyByHash(record.hash), undefined)
    await rig.engine.names.putKey(record)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      same(rig.engine.names.keyByHash(record.hash), record)
      assert.equal(rig.engine.names.keyByHash('0'.repeat(64)), undefined)
      same(await rig.engine.names.keys('shop'), [record])
    }
  })

  test('a key put again under its name has a new hash, and the old one opens nothing', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putKey(key({}))
    await rig.engine.names.putKey(key({ hash: 'b'.repeat(64) }))
    for (const befall of [() => {}, () => rig.restart()]) {
      await befall()
      assert.equal(rig.engine.names.keyByHash('a'.repeat(64)), undefined)
      assert.equal(rig.engine.names.keyByHash('b'.repeat(64))?.name, 'first')
      assert.equal((await rig.engine.names.keys('shop')).length, 1)
    }
  })

  test('a removed key opens nothing any more', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putKey(key({}))
    await rig.engine.names.putKey(key({ name: 'second', hash: 'b'.repeat(64) }))
    assert.equal(await rig.engine.names.removeKey('shop', 'first'), true)
    assert.equal(await rig.engine.names.removeKey('shop', 'first'), false)
    assert.equal(await rig.engine.names.removeKey('nobody', 'second'), false)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.equal(rig.engine.names.keyByHash('a'.repeat(64)), undefined)
      assert.equal(rig.engine.names.keyByHash('b'.repeat(64))?.name, 'second')
    }
  })

  test('rule 30: keys of one name in two apps are two keys', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putKey(key({}))
    await rig.engine.names.putKey(key({ app: 'shop2', hash: 'b'.repeat(64) }))
    assert.equal(rig.engine.names.keyByHash('a'.repeat(64))?.app, 'shop')
    assert.equal(rig.engine.names.keyByHash('b'.repeat(64))?.app, 'shop2')
    assert.equal((await rig.engine.names.keys('shop')).length, 1)
    await rig.engine.names.removeKey('shop2', 'first')
    assert.equal(rig.engine.names.keyByHash('a'.repeat(64))?.app, 'shop')
    assert.deepEqual(await rig.engine.names.keys('shop2'), [])
    assert.deepEqual(await rig.engine.names.keys('sho'), [])
  })
}

const device = (parts: Partial<DeviceRecord>): DeviceRecord => ({
  app: 'shop',
  device: 'locker',
  disabled: false,
  tags: [],
  attributes: {},
  channels: {},
  credentials: [],
  createdAtMs: 1,
  changedAtMs: 1,
  ...parts,
})

const key = (parts: Partial<KeyRecord>): KeyRecord => ({
  app: 'shop',
  name: 'first',
  hash: 'a'.repeat(64),
  scopes: ['commands'],
  createdAtMs: 1,
  ...parts,
})
