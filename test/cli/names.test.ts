import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { type Typed, typedAt } from './typed.ts'

describe('names, apps, keys and webhooks by command, on a real gateway', () => {
  let gateway: GatewayProcess
  let typed: Typed
  before(async () => {
    gateway = await startGateway({ env: { PIKE_WEBHOOK_ALLOW: 'loopback' } })
    typed = typedAt(gateway)
    for (const device of ['SZ-1', 'SZ-2']) await typed.ok('device', 'add', device)
  })
  after(() => gateway.stop())

  test('alias set, show, list, remove; a command by alias', async () => {
    assert.match(await typed.ok('alias', 'set', 'order-7', 'SZ-1'), /^order-7 is SZ-1$/m)
    assert.match(
      await typed.ok('alias', 'set', 'order-7', 'SZ-2', '--expires', '+8h'),
      /SZ-2, until/,
    )
    const shown = await typed.json('alias', 'show', 'order-7')
    assert.deepEqual([shown.device, shown.history[0].device], ['SZ-2', 'SZ-1'])
    assert.match(await typed.ok('alias', 'show', 'order-7'), /order-7 +SZ-2 [^\n]*\n +SZ-1 /)
    assert.match(await typed.ok('alias', 'list'), /order-7 +SZ-2/)
    const sent = await typed.json('send', '--alias', 'order-7', 'open', '{"door":7}')
    assert.deepEqual([sent.device, sent.status], ['SZ-2', 'queued'])
    assert.match(await typed.ok('alias', 'remove', 'order-7'), /order-7 is free/)
    for (const args of [
      ['alias', 'show', 'order-7'],
      ['alias', 'remove', 'order-7'],
      ['send', '--alias', 'order-7', 'open'],
    ])
      await typed.fails(/nobody has the alias order-7.*pike alias set order-7/, ...args)
    await typed.fails(/no device NOBODY.*device add/, 'alias', 'set', 'order-7', 'NOBODY')
    await typed.fails(/use a time like/, 'alias', 'set', 'order-7', 'SZ-1', '--expires', 'soon')
    await typed.fails(/a device or an --alias/, 'send', '--alias', 'a', 'SZ-1', 'open', '{}')
    await typed.fails(/"{door}": that is no JSON/, 'send', '--alias', 'a', 'open', '{door}')
  })

  test('tag add, list, remove', async () => {
    await typed.ok('tag', 'add', 'berlin', 'SZ-2', 'SZ-1')
    assert.equal(await typed.ok('tag', 'list', 'berlin'), 'SZ-1\nSZ-2\n')
    assert.match(await typed.ok('device', 'list', '--tag', 'berlin'), /SZ-1[^\n]+berlin\nSZ-2/)
    await typed.ok('tag', 'remove', 'berlin', 'SZ-1')
    assert.deepEqual(await typed.json('tag', 'list', 'berlin'), { device: 'SZ-2' })
    await typed.fails(/no device NOBODY/, 'tag', 'add', 'berlin', 'NOBODY')
  })

  test('device disable, enable, rotate-secret', async () => {
    assert.match(await typed.ok('device', 'disable', 'SZ-1'), /SZ-1 is disabled/)
    await typed.fails(/disabled/, 'send', 'SZ-1', 'open')
    assert.equal((await typed.json('device', 'enable', 'SZ-1')).disabled, false)
    const rotated = await typed.json('device', 'rotate-secret', 'SZ-1')
    assert.ok(rotated.secret.length >= 22)
    assert.equal((await typed.json('device', 'show', 'SZ-1')).credentials, 2)
    await typed.ok('device', 'rotate-secret', 'SZ-1', '--drop-older')
    assert.equal((await typed.json('device', 'show', 'SZ-1')).credentials, 1)
    for (const how of ['disable', 'enable', 'rotate-secret'])
      await typed.fails(/no device NOBODY/, 'device', how, 'NOBODY')
  })

  test('app set, list, show, remove; key create, list, show, revoke', async () => {
    await typed.ok('app', 'set', 'lockers-de', '--commands-per-second', '500', '--sessions', '9')
    const shown = await typed.json('app', 'show', 'lockers-de')
    assert.deepEqual(shown.quota, { commandsPerSecond: 500, sessions: 9 })
    assert.match(
      await typed.ok('app', 'list'),
      /lockers-de +0 +0 +commandsPerSecond 500, sessions 9/,
    )
    const made = await typed.json(
      'key',
      'create',
      'orders',
      '--app',
      'lockers-de',
      '--scope',
      'commands,events',
    )
    assert.deepEqual(made.scopes, ['commands', 'events'])
    const asked = await typed.run('events', '--api-key', made.key)
    assert.equal(asked.code, 0, asked.stderr)
    await typed.fails(/may not do that/, 'device', 'list', '--api-key', made.key)
    assert.match(await typed.ok('key', 'list', '--app', 'lockers-de'), /orders +commands events/)
    const changed = await typed.ok(
      'key',
      'create',
      'orders',
      '--app',
      'lockers-de',
      '--scope',
      'devices',
    )
    assert.equal(changed, 'orders may: devices\n')
    assert.match(await typed.ok('key', 'show', 'orders', '--app', 'lockers-de'), /may: devices/)
    await typed.ok('key', 'revoke', 'orders', '--app', 'lockers-de')
    await typed.fails(/No API key, or one nobody has/, 'device', 'list', '--api-key', made.key)
    await typed.fails(
      /no key orders in app lockers-de/,
      'key',
      'show',
      'orders',
      '--app',
      'lockers-de',
    )
    assert.equal((await typed.json('app', 'set', 'lockers-de', '--no-quota')).quota, undefined)
    await typed.ok('app', 'remove', 'lockers-de')
    await typed.fails(/no app lockers-de/, 'app', 'show', 'lockers-de')
    await typed.fails(/no app lockers-de/, 'key', 'list', '--app', 'lockers-de')
    await typed.fails(/app default|this app|protected/i, 'app', 'remove', 'default')
  })

  test('webhook set, show, list, rotate-secret, dead-letters, resend, discard, remove', async () => {
    const url = 'http://127.0.0.1:9/pike'
    const made = await typed.json('webhook', 'set', 'orders', url, '--type', 'command.ended,reply')
    assert.match(made.secret, /^whsec_/)
    assert.deepEqual(made.types, ['command.ended', 'reply'])
    assert.equal((await typed.json('webhook', 'show', 'orders')).url, url)
    assert.match(await typed.ok('webhook', 'list'), /orders +(well|failing) +0 +\S+ +0 +http/)
    assert.match((await typed.json('webhook', 'rotate-secret', 'orders')).secret, /^whsec_/)
    assert.equal((await typed.json('webhook', 'show', 'orders')).secretIds.length, 2)
    await typed.ok('webhook', 'rotate-secret', 'orders', '--drop-older')
    assert.match(await typed.ok('webhook', 'dead-letters', 'orders'), /no dead letters/)
    assert.deepEqual(await typed.json('webhook', 'resend', 'orders'), { sending: 0 })
    assert.deepEqual(await typed.json('webhook', 'discard', 'orders', '--all'), { discarded: 0 })
    await typed.fails(/--all/, 'webhook', 'discard', 'orders')
    const changed = await typed.ok('webhook', 'set', 'orders', url, '--disabled')
    assert.match(changed, /disabled: not now/)
    await typed.ok('webhook', 'remove', 'orders')
    await typed.fails(/no webhook orders/, 'webhook', 'show', 'orders')
    await typed.fails(/no webhook orders/, 'webhook', 'dead-letters', 'orders')
    await typed.fails(/refused/, 'webhook', 'set', 'inward', 'http://10.0.0.1/')
    // Commands with a callback need a secret to sign with, made once.
    await typed.fails(/sign callbacks/, 'send', 'SZ-2', 'open', '--callback', url)
    await typed.ok('webhook', 'rotate-secret', 'callbacks')
    const sent = await typed.json('send', 'SZ-2', 'open', '--callback', url)
    assert.equal((await typed.json('show', sent.id)).callback, url)
  })
})
