import assert from 'node:assert/strict'
import test from 'node:test'
import type { AliasRecord } from '../../src/contract/index.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { same } from '../support/engine-words.ts'

export function aliasesExam(subject: EngineSubject): void {
  test('an alias is found as it was put, and unknown before', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(await rig.engine.names.alias('shop', 'order-1'), undefined)
    const record = alias({
      expiresAtMs: 99,
      history: [
        { device: 'older', fromMs: 3, untilMs: 5 },
        { device: 'constructor', fromMs: 1, untilMs: 3 },
      ],
    })
    await rig.engine.names.putAlias(record)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      same(await rig.engine.names.alias('shop', 'order-1'), record)
      // Once more, from wherever it is held now.
      same(await rig.engine.names.alias('shop', 'order-1'), record)
      assert.equal(await rig.engine.names.aliasCount('shop'), 1)
    }
  })

  test('rule 27: rebinding is one record: whoever asks finds the one or the other', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putAlias(alias({ device: 'a' }))
    const seen = new Set<string | undefined>()
    let rebound = false
    const rebinding = rig.engine.names.putAlias(alias({ device: 'b' })).then(() => {
      rebound = true
    })
    while (!rebound) {
      seen.add((await rig.engine.names.alias('shop', 'order-1'))?.device)
      await rig.engine.flushed()
    }
    await rebinding
    seen.add((await rig.engine.names.alias('shop', 'order-1'))?.device)
    assert.ok(!seen.has(undefined))
    assert.ok(seen.has('b'))
    assert.equal(await rig.engine.names.aliasCount('shop'), 1)
    await rig.crash()
    assert.equal((await rig.engine.names.alias('shop', 'order-1'))?.device, 'b')
    assert.equal(await rig.engine.names.aliasCount('shop'), 1)
  })

  test('of puts at once the last one holds, and it counts once', async (t) => {
    const rig = await Rig.make(t, subject)
    await Promise.all(['a', 'b', 'c'].map((device) => rig.engine.names.putAlias(alias({ device }))))
    assert.equal((await rig.engine.names.alias('shop', 'order-1'))?.device, 'c')
    assert.equal(await rig.engine.names.aliasCount('shop'), 1)
  })

  test('a removed alias is gone, and stays gone', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    await names.putAlias(alias({}))
    await names.putAlias(alias({ alias: 'order-2' }))
    await names.alias('shop', 'order-1')
    const put = names.putAlias(alias({ alias: 'order-3' }))
    assert.equal(await names.removeAlias('shop', 'order-3'), true)
    await put
    assert.equal(await names.removeAlias('shop', 'order-1'), true)
    assert.equal(await names.removeAlias('shop', 'order-1'), false)
    assert.equal(await names.removeAlias('nobody', 'order-2'), false)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.equal(await rig.engine.names.alias('shop', 'order-1'), undefined)
      assert.equal(await rig.engine.names.alias('shop', 'order-3'), undefined)
      assert.equal(await rig.engine.names.aliasCount('shop'), 1)
    }
  })

  test('aliases are listed in order of name, page by page, each once', async (t) => {
    const rig = await Rig.make(t, subject)
    const all = ['a', 'ab', 'abc', 'ab-', 'ab.', 'ab~', 'B', '0', 'constructor', 'Z']
    await Promise.all(all.map((name) => rig.engine.names.putAlias(alias({ alias: name }))))
    await rig.engine.names.putAlias(alias({ app: 'shop2', alias: 'other' }))
    const seen: string[] = []
    for (let after: string | undefined; ; ) {
      const page = await rig.engine.names.aliases('shop', { limit: 3, ...(after && { after }) })
      seen.push(...page.items.map((record) => record.alias))
      if (page.next === undefined) break
      assert.equal(page.next, page.items.at(-1)?.alias)
      after = page.next
    }
    assert.deepEqual(seen, [...all].sort())
    same(await rig.engine.names.aliases('nobody', { limit: 3 }), { items: [] })
  })

  test('purge forgets what expired before, and nothing else', async (t) => {
    const rig = await Rig.make(t, subject)
    const put = (name: string, parts: Partial<AliasRecord>) =>
      rig.engine.names.putAlias(alias({ alias: name, ...parts }))
    await Promise.all([
      put('for-ever', {}),
      put('expiresAtMs', {}),
      ...Array.from({ length: 30 }, (_, at) => put(`at-${at}`, { expiresAtMs: at })),
      put('elsewhere', { app: 'shop2', expiresAtMs: 1 }),
    ])
    assert.equal(await rig.engine.names.purgeAliases(20), 21)
    assert.equal(await rig.engine.names.purgeAliases(20), 0)
    for (const befall of [() => {}, () => rig.restart()]) {
      await befall()
      const left = (await rig.engine.names.aliases('shop', { limit: 100 })).items
      assert.ok(left.every(({ expiresAtMs = 20 }) => expiresAtMs >= 20))
      assert.equal(left.length, 12)
      assert.equal(await rig.engine.names.aliasCount('shop'), 12)
      assert.equal(await rig.engine.names.aliasCount('shop2'), 0)
    }
  })

  test('what is bound anew while the expired are purged stays', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.engine.names.putAlias(alias({ expiresAtMs: 1 }))
    const rebound = rig.engine.names.putAlias(alias({ device: 'new' }))
    const purged = rig.engine.names.purgeAliases(20)
    await Promise.all([rebound, purged])
    assert.equal((await rig.engine.names.alias('shop', 'order-1'))?.device, 'new')
    assert.equal(await rig.engine.names.aliasCount('shop'), 1)
  })

  test("rule 30: an alias of one app is nobody else's", async (t) => {
    const rig = await Rig.make(t, subject)
    for (const app of ['shop', 'sho', 'shop-']) {
      await rig.engine.names.putAlias(alias({ app, device: `of-${app}` }))
    }
    for (const app of ['shop', 'sho', 'shop-']) {
      assert.equal((await rig.engine.names.alias(app, 'order-1'))?.device, `of-${app}`)
      assert.equal(await rig.engine.names.aliasCount(app), 1)
    }
    assert.equal(await rig.engine.names.alias('shop2', 'order-1'), undefined)
    assert.equal(await rig.engine.names.alias('shop', 'constructor'), undefined)
    assert.equal(await rig.engine.names.aliasCount('constructor'), 0)
  })

  const { breakage } = subject
  if (breakage === undefined) return
  test('an alias that could not be kept is refused, and is not there', async (t) => {
    const rig = await Rig.make(t, subject)
    const { names } = rig.engine
    await names.putAlias(alias({ device: 'before' }))
    await breakage.break(rig.engine, 'full')
    const isFull = (error: unknown) => error instanceof StoreUnavailable && error.full
    await assert.rejects(names.putAlias(alias({ device: 'refused' })), isFull)
    await assert.rejects(names.putAlias(alias({ alias: 'refused' })), isFull)
    await assert.rejects(names.removeAlias('shop', 'order-1'), isFull)
    await assert.rejects(names.purgeAliases(99), isFull)
    await breakage.mend(rig.engine)
    assert.equal((await names.alias('shop', 'order-1'))?.device, 'before')
    assert.equal(await names.alias('shop', 'refused'), undefined)
    assert.equal(await names.aliasCount('shop'), 1)
    await names.putAlias(alias({ alias: 'after' }))
    await rig.restart()
    assert.equal(await rig.engine.names.aliasCount('shop'), 2)
  })
}

const alias = (parts: Partial<AliasRecord>): AliasRecord => ({
  ...{ app: 'shop', alias: 'order-1', device: 'locker', createdAtMs: 1, changedAtMs: 1 },
  ...{ history: [], ...parts },
})
