import assert from 'node:assert/strict'
import test from 'node:test'
import type { AliasRecord, DeviceRecord, WebhookRecord } from '../../src/contract/index.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { append, command, end, keep, same, settle } from '../support/engine-words.ts'

export function appsExam(subject: EngineSubject): void {
  test('a quota is kept with its app, and goes with a put that has none', async (t) => {
    const rig = await Rig.make(t, subject)
    const record = { app: 'shop', createdAtMs: 1, quota: { commandsPerSecond: 5, sessions: 2 } }
    await rig.engine.names.putApp(record)
    await rig.restart()
    same(await rig.engine.names.app('shop'), record)
    await rig.engine.names.putApp({ app: 'shop', createdAtMs: 1 })
    same(await rig.engine.names.app('shop'), { app: 'shop', createdAtMs: 1 })
  })

  test('webhooks are known at once, as they were put', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.deepEqual(rig.engine.names.webhooks(), [])
    const full = webhook({
      ...{ kinds: ['reply', 'command.ended'], device: 'locker', tag: 'north', disabled: true },
      secrets: [
        { id: 'two', secret: 'whsec_b' },
        { id: 'one', secret: 'whsec_a' },
      ],
    })
    await rig.engine.names.putWebhook(full)
    await rig.engine.names.putWebhook(webhook({ name: 'second' }))
    await rig.engine.names.putWebhook(webhook({ app: 'shop2' }))
    await rig.engine.names.putWebhook(webhook({ name: 'second', url: 'https://example.com/2' }))
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      const { names } = rig.engine
      same(names.webhooks('shop'), [
        full,
        webhook({ name: 'second', url: 'https://example.com/2' }),
      ])
      same(names.webhooks('shop2'), [webhook({ app: 'shop2' })])
      assert.equal(names.webhooks().length, 3)
      assert.deepEqual(names.webhooks('constructor'), [])
    }
    assert.equal(await rig.engine.names.removeWebhook('shop', 'orders'), true)
    assert.equal(await rig.engine.names.removeWebhook('shop', 'orders'), false)
    assert.equal(await rig.engine.names.removeWebhook('nobody', 'second'), false)
    for (const befall of [() => {}, () => rig.crash()]) {
      await befall()
      assert.deepEqual(
        rig.engine.names.webhooks('shop').map(({ name }) => name),
        ['second'],
      )
      assert.equal(rig.engine.names.webhooks('shop2').length, 1)
    }
  })

  test('a removed app is gone with its keys, aliases, webhooks and what those kept', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const app of ['shop', 'shop-', 'sho']) await fill(rig, app)
    assert.equal(await rig.engine.names.removeApp('shop'), true)
    assert.equal(await rig.engine.names.removeApp('shop'), false)
    assert.equal(await rig.engine.names.removeApp('constructor'), false)
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.deepEqual(await left(rig, 'shop'), {
        apps: 0,
        keys: 0,
        aliases: 0,
        hooks: 0,
        shelf: 0,
      })
      for (const app of ['shop-', 'sho']) {
        assert.deepEqual(await left(rig, app), { apps: 1, keys: 2, aliases: 3, hooks: 2, shelf: 2 })
      }
      assert.equal(await rig.engine.shelf.read('webhooks/shop'), 'nobody of the app')
      assert.equal(await rig.engine.shelf.read('others/shop/x'), 'not of webhooks')
    }
    await fill(rig, 'shop')
    assert.deepEqual(await left(rig, 'shop'), { apps: 1, keys: 2, aliases: 3, hooks: 2, shelf: 2 })
  })

  test('an app made again under a name begins anew: no answer to a key and no counter of the one before', async (t) => {
    const rig = await Rig.make(t, subject)
    const once = (hash: string) => ({ idempotency: { key: 'order-1', hash } })
    const channel = 'shop/locker/main'
    const later = (hash: string) =>
      rig.engine.mailbox.schedule(
        channel,
        command(rig.clock, { notBeforeMs: rig.clock.nowMs() + 1_000 }),
        { maxCommands: 9, maxTotal: 99, ...once(hash) },
      )
    await fill(rig, 'shop')
    await fill(rig, 'shop-')
    const first = await keep(rig, channel, {}, once('open'))
    await keep(rig, 'shop-/locker/main', {}, once('open'))
    same(await append(rig, channel, {}, once('open')), { kind: 'repeat', id: first.id })
    await settle(rig, channel, { changes: [end(first.offset, 'done', rig.clock.nowMs())] })
    assert.equal(await rig.engine.names.removeApp('shop'), true)
    same(await rig.engine.mailbox.counts('shop'), { accepted: 0, open: 0, ended: {} })
    await fill(rig, 'shop')
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      same(await rig.engine.mailbox.counts('shop'), { accepted: 0, open: 0, ended: {} })
      const { mailbox, broadcasts } = rig.engine
      same(await mailbox.asked('shop', once('open').idempotency), undefined)
      same(await mailbox.asked('shop', once('close').idempotency), undefined)
      same(await broadcasts.asked('shop', once('open').idempotency), undefined)
      assert.equal((await mailbox.asked('shop-', once('open').idempotency))?.kind, 'repeat')
      same(await mailbox.counts('shop-'), { accepted: 1, open: 1, ended: {} })
    }
    const second = await keep(rig, channel, {}, once('close'))
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      same(await append(rig, channel, {}, once('close')), { kind: 'repeat', id: second.id })
      same(await append(rig, channel, {}, once('open')), { kind: 'conflict', id: second.id })
      same(await later('close'), { kind: 'repeat', id: second.id })
      same(await rig.engine.mailbox.counts('shop'), { accepted: 1, open: 1, ended: {} })
    }
    // Removed with a command still open: that ends in the counters of the next one, once.
    assert.equal(await rig.engine.names.removeApp('shop'), true)
    await fill(rig, 'shop')
    same(await rig.engine.mailbox.counts('shop'), { accepted: 1, open: 1, ended: {} })
    await settle(rig, channel, { changes: [end(second.offset, 'done', rig.clock.nowMs())] })
    same(await rig.engine.mailbox.counts('shop'), { accepted: 1, open: 0, ended: { done: 1 } })
    assert.equal((await append(rig, channel, {}, once('open'))).kind, 'kept')
  })

  test('what is put in the moment before an app goes, goes with it', async (t) => {
    const rig = await Rig.make(t, subject)
    await fill(rig, 'shop')
    await Promise.all([
      rig.engine.names.putKey(key('shop', 'third')),
      rig.engine.names.putAlias(alias('shop', 'third')),
      rig.engine.names.putWebhook(webhook({ name: 'third' })),
      rig.engine.names.removeApp('shop'),
    ])
    assert.deepEqual(await left(rig, 'shop'), { apps: 0, keys: 0, aliases: 0, hooks: 0, shelf: 0 })
  })

  test('an app that has more than goes in one batch goes all the same', async (t) => {
    const rig = await Rig.make(t, subject)
    await fill(rig, 'shop')
    const { names, shelf } = rig.engine
    const many = Array.from({ length: 2_100 }, (_, at) => `many-${at}`)
    await Promise.all(many.map((name) => names.putAlias(alias('shop', name))))
    await shelf.write(many.map((name) => ({ path: `webhooks/shop/${name}`, value: 'x' })))
    assert.equal(await names.removeApp('shop'), true)
    assert.deepEqual(await left(rig, 'shop'), { apps: 0, keys: 0, aliases: 0, hooks: 0, shelf: 0 })
    await rig.restart()
    assert.deepEqual(await left(rig, 'shop'), { apps: 0, keys: 0, aliases: 0, hooks: 0, shelf: 0 })
  })

  test('an app that has devices stays as it is', async (t) => {
    const rig = await Rig.make(t, subject)
    await fill(rig, 'shop')
    const put = rig.engine.names.putDevice(device)
    assert.equal(await rig.engine.names.removeApp('shop'), false)
    await put
    assert.deepEqual(await left(rig, 'shop'), { apps: 1, keys: 2, aliases: 3, hooks: 2, shelf: 2 })
    await rig.engine.names.removeDevice('shop', 'locker')
    assert.equal(await rig.engine.names.removeApp('shop'), true)
  })

  const { breakage } = subject
  if (breakage === undefined) return
  test('an app whose removal could not be kept is still there, whole', async (t) => {
    const rig = await Rig.make(t, subject)
    await fill(rig, 'shop')
    await breakage.break(rig.engine, 'down')
    await assert.rejects(rig.engine.names.removeApp('shop'), StoreUnavailable)
    await assert.rejects(rig.engine.names.putWebhook(webhook({ name: 'no' })), StoreUnavailable)
    await assert.rejects(rig.engine.names.removeWebhook('shop', 'orders'), StoreUnavailable)
    assert.equal(rig.engine.names.webhooks('shop').length, 2, 'what is durable is known meanwhile')
    await breakage.mend(rig.engine)
    assert.deepEqual(await left(rig, 'shop'), { apps: 1, keys: 2, aliases: 3, hooks: 2, shelf: 2 })
    assert.equal(await rig.engine.names.removeApp('shop'), true)
    assert.deepEqual(await left(rig, 'shop'), { apps: 0, keys: 0, aliases: 0, hooks: 0, shelf: 0 })
  })
}

async function fill(rig: Rig, app: string): Promise<void> {
  const { names, shelf } = rig.engine
  await names.putApp({ app, createdAtMs: 1 })
  for (const name of ['first', 'second']) await names.putKey(key(app, name))
  for (const name of ['a', 'b', 'c']) await names.putAlias(alias(app, name))
  for (const name of ['orders', 'other']) await names.putWebhook(webhook({ app, name }))
  await shelf.write([
    { path: `webhooks/${app}/orders/lanes`, value: '{}' },
    { path: `webhooks/${app}/callbacks`, value: '{}' },
    { path: `webhooks/${app}`, value: 'nobody of the app' },
    { path: `others/${app}/x`, value: 'not of webhooks' },
  ])
}

async function left(rig: Rig, app: string): Promise<Record<string, number>> {
  const { names, shelf } = rig.engine
  const aliases = (await names.aliases(app, { limit: 9_999 })).items.length
  assert.equal(await names.aliasCount(app), aliases)
  const keys = (await names.keys(app)).length
  for (const name of ['first', 'second']) {
    assert.equal(names.keyByHash(key(app, name).hash) !== undefined, keys > 0)
  }
  return {
    apps: (await names.app(app)) === undefined ? 0 : 1,
    ...{ keys, aliases, hooks: names.webhooks(app).length },
    shelf: (await shelf.list(`webhooks/${app}`, { limit: 9_999 })).items.length,
  }
}

const key = (app: string, name: string) =>
  ({ app, name, hash: `${app}/${name}`, scopes: ['commands'], createdAtMs: 1 }) as const

const alias = (app: string, name: string): AliasRecord => ({
  ...{ app, alias: name, device: 'locker', createdAtMs: 1, changedAtMs: 1, history: [] },
})

const webhook = (parts: Partial<WebhookRecord>): WebhookRecord => ({
  ...{ app: 'shop', name: 'orders', url: 'https://example.com/', secrets: [], disabled: false },
  ...{ createdAtMs: 1, changedAtMs: 1, ...parts },
})

const device: DeviceRecord = {
  ...{ app: 'shop', device: 'locker', tags: [], disabled: false, attributes: {}, channels: {} },
  ...{ credentials: [], createdAtMs: 1, changedAtMs: 1 },
}
