import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import { StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { same } from '../support/engine-words.ts'

/** What every shelf must do: src/contract/shelf.ts. */
export function shelfExam(name: string, subject: EngineSubject): void {
  describe(`${name}: shelf`, () => shelfTests(subject))
}

function shelfTests(subject: EngineSubject): void {
  test('a record is read as it was written last, and unknown before', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(await rig.engine.shelf.read('webhooks/shop/orders'), undefined)
    await write(rig, { 'webhooks/shop/orders': 'first', one: '', constructor: 'ü \u0000 \u2028' })
    await write(rig, { 'webhooks/shop/orders': 'second' })
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      const { shelf } = rig.engine
      assert.equal(await shelf.read('webhooks/shop/orders'), 'second')
      assert.equal(await shelf.read('one'), '')
      assert.equal(await shelf.read('constructor'), 'ü \u0000 \u2028')
      assert.equal(await shelf.read('webhooks/shop'), undefined)
      assert.equal(await shelf.read('toString'), undefined)
    }
  })

  test('many changes are one: written, replaced and removed, the later of two standing', async (t) => {
    const rig = await Rig.make(t, subject)
    await write(rig, { a: '1', b: '1', c: '1' })
    await rig.engine.shelf.write([
      { path: 'a', value: '2' },
      { path: 'b', value: undefined },
      { path: 'c', value: undefined },
      { path: 'c', value: '3' },
      { path: 'd', value: '4' },
      { path: 'd', value: undefined },
      { path: 'never', value: undefined },
    ])
    await rig.engine.shelf.write([])
    for (const befall of [() => {}, () => rig.crash()]) {
      await befall()
      const values = await Promise.all(['a', 'b', 'c', 'd'].map((at) => rig.engine.shelf.read(at)))
      assert.deepEqual(values, ['2', undefined, '3', undefined])
    }
  })

  test('writes at once take effect in their order', async (t) => {
    const rig = await Rig.make(t, subject)
    const values = ['1', '2', undefined, '4', undefined, '6']
    await Promise.all(values.map((value) => rig.engine.shelf.write([{ path: 'a', value }])))
    assert.equal(await rig.engine.shelf.read('a'), '6')
  })

  test('a caller that goes on with its list changes nothing of what it gave', async (t) => {
    const rig = await Rig.make(t, subject)
    const changes = [{ path: 'a', value: 'given' }]
    const written = rig.engine.shelf.write(changes)
    changes[0]!.value = 'later'
    changes.push({ path: 'b', value: 'later' })
    await written
    assert.equal(await rig.engine.shelf.read('a'), 'given')
    assert.equal(await rig.engine.shelf.read('b'), undefined)
  })

  test('what lies under a path is listed in order, page by page, and nothing else', async (t) => {
    const rig = await Rig.make(t, subject)
    const inside = ['a', 'ab', 'ab-', 'ab.x', 'b/c', 'b/d/e', 'bb'].map((end) => `hooks/ab/${end}`)
    const outside = ['hooks', 'hooks/ab', 'hooks/abc/a', 'hooks/ab-/a', 'hooks/ab0', 'hook', 'i/a']
    await write(
      rig,
      Object.fromEntries([...inside, ...outside].map((path) => [path, `at ${path}`])),
    )
    for (const befall of [() => {}, () => rig.restart()]) {
      await befall()
      const seen: { path: string; value: string }[] = []
      for (let after: string | undefined; ; ) {
        const query = { limit: 3, ...(after && { after }) }
        const page = await rig.engine.shelf.list('hooks/ab', query)
        assert.ok(page.items.length <= 3)
        seen.push(...page.items)
        if (page.next === undefined) break
        assert.equal(page.next, page.items.at(-1)?.path)
        after = page.next
      }
      const expected = [...inside].sort().map((path) => ({ path, value: `at ${path}` }))
      assert.deepEqual(seen, expected)
    }
    const below = await rig.engine.shelf.list('hooks/ab/b', { limit: 9 })
    assert.deepEqual(
      below.items.map(({ path }) => path),
      ['hooks/ab/b/c', 'hooks/ab/b/d/e'],
    )
    same(await rig.engine.shelf.list('nothing', { limit: 9 }), { items: [] })
  })

  test('a page goes on after one that is gone, and never leads out of what was asked for', async (t) => {
    const rig = await Rig.make(t, subject)
    await write(rig, { 'a/1': 'x', 'b/1': 'x', 'b/2': 'x', 'b/3': 'x', 'c/1': 'x' })
    await rig.engine.shelf.write([{ path: 'b/2', value: undefined }])
    const pathsAfter = async (after: string) => {
      const { items } = await rig.engine.shelf.list('b', { limit: 9, after })
      return items.map(({ path }) => path)
    }
    assert.deepEqual(await pathsAfter('b/2'), ['b/3'])
    assert.deepEqual(await pathsAfter('a/1'), ['b/1', 'b/3'])
    assert.deepEqual(await pathsAfter('c/1'), [])
    assert.deepEqual(await pathsAfter('a'), ['b/1', 'b/3'])
    assert.deepEqual(await pathsAfter('zzz'), [])
  })

  const { breakage } = subject
  if (breakage === undefined) return
  for (const why of ['full', 'down'] as const) {
    test(`a write that cannot be kept (${why}) is refused, and nothing of it is there`, async (t) => {
      const rig = await Rig.make(t, subject)
      await write(rig, { a: 'before' })
      await breakage.break(rig.engine, why)
      const isSaid = (error: unknown) =>
        error instanceof StoreUnavailable && error.full === (why === 'full')
      await assert.rejects(write(rig, { a: 'refused', b: 'refused' }), isSaid)
      await breakage.mend(rig.engine)
      assert.equal(await rig.engine.shelf.read('a'), 'before')
      assert.equal(await rig.engine.shelf.read('b'), undefined)
      await write(rig, { a: 'after' })
      await rig.crash()
      assert.equal(await rig.engine.shelf.read('a'), 'after')
    })
  }
}

const write = (rig: Rig, records: Readonly<Record<string, string>>): Promise<void> =>
  rig.engine.shelf.write(Object.entries(records).map(([path, value]) => ({ path, value })))
