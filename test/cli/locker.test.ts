import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { PikeBackend } from '../../src/backend/index.ts'
import { pikeFor } from '../backend/pike.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { spawnPike } from '../support/pike-process.ts'
import { type Typed, typedAt } from './typed.ts'

describe('pike locker: whose device it is, and where its secret comes from', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pike-locker-'))
  let gateway: GatewayProcess
  let typed: Typed
  let pike: PikeBackend
  /** Of the app `acme`. */
  let acmeKey = ''
  let acme: PikeBackend
  before(async () => {
    gateway = await startGateway()
    typed = typedAt(gateway)
    pike = pikeFor(gateway)
    await typed.ok('app', 'set', 'acme')
    const scope = ['--scope', 'devices,commands,events']
    acmeKey = (await typed.json('key', 'create', 'ops', '--app', 'acme', ...scope)).key
    acme = pikeFor({ url: gateway.url, apiKey: acmeKey })
  })
  after(async () => {
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const locker = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const child = spawnPike(['locker', ...args, '--port', String(gateway.ports.pike)], {
      PIKE_API_URL: gateway.url,
      PIKE_DATA_DIR: gateway.dataDir,
      ...env,
    })
    let said = ''
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    return { child, said: () => said }
  }
  const state = async (at: PikeBackend, device: string) =>
    (await at.devices.get(device))?.presence.state
  /** Online; then ended, and gone. */
  async function comesAndGoes(
    { child, said }: { child: ChildProcess; said(): string },
    at: PikeBackend,
    device: string,
    there: () => Promise<unknown> = async () => {},
  ): Promise<void> {
    try {
      while ((await state(at, device)) !== 'online')
        assert.equal(child.exitCode, null, `it ended: ${said()}`)
      await there()
    } finally {
      child.kill('SIGTERM')
    }
    while ((await state(at, device)) !== 'offline');
  }

  test('a locker of a second app registers itself there, opens its door, and is known there again', async () => {
    await comesAndGoes(locker(['LK-9', '--api-key', acmeKey]), acme, 'LK-9', async () => {
      const sent = await acme.send(
        'LK-9',
        { name: 'open', payload: { door: 7 }, delivery: 'now', expect: 'reply' },
        { waitSeconds: 20 },
      )
      assert.equal(sent.status, 'done')
    })
    const kept = join(gateway.dataDir, 'lockers', 'acme', 'LK-9.secret')
    assert.equal(statSync(kept).mode & 0o777, 0o600)
    assert.equal(await pike.devices.get('LK-9'), undefined, 'the first app has no such device')
    // Its secret is kept: nothing is to be registered, so whose key is at hand does not matter.
    await comesAndGoes(locker(['LK-9', '--app', 'acme']), acme, 'LK-9')
  })

  test('a locker is registered only in the app of the key: another --app is said, and nothing is made', async () => {
    await typed.fails(
      /LK-1 cannot be registered in app acme: the API key at hand, \S+, is of app default\n.*key of acme.*--secret-file/,
      'locker',
      'LK-1',
      '--app',
      'acme',
    )
    await typed.fails(
      /is of app acme\n/,
      'locker',
      'LK-1',
      '--app',
      'default',
      '--api-key',
      acmeKey,
    )
    assert.equal(await pike.devices.get('LK-1'), undefined)
    assert.equal(await acme.devices.get('LK-1'), undefined)
    assert.ok(!existsSync(join(gateway.dataDir, 'lockers', 'acme', 'LK-1.secret')))
  })

  test('a secret from a file or the environment, so that no list of processes shows it', async () => {
    const { secret } = await acme.devices.put('LK-2')
    const file = join(folder, 'LK-2.secret')
    writeFileSync(file, `${secret}\n`, { mode: 0o600 })
    await comesAndGoes(locker(['LK-2', '--app', 'acme', '--secret-file', file]), acme, 'LK-2')
    const env = { PIKE_DEVICE_SECRET: secret! }
    await comesAndGoes(locker(['LK-2', '--app', 'acme'], env), acme, 'LK-2')
    // A flag goes before the environment.
    const wrong = locker(
      ['LK-2', '--app', 'acme', '--secret', 'wrong-secret-of-22-characters'],
      env,
    )
    const [code] = await new Promise<[number | null]>((resolve) =>
      wrong.child.once('exit', (exitCode) => resolve([exitCode])),
    )
    assert.equal(code, 1, wrong.said())
    assert.match(wrong.said(), /the gateway does not want LK-2 of app acme/)
  })

  test('several lockers behind one controller share its connection; one it may not speak for is named', async () => {
    const { secret } = await pike.devices.put('CAB-1')
    for (const box of ['box-1', 'box-2']) await typed.ok('device', 'add', box, '--gateway', 'CAB-1')
    await typed.ok('device', 'add', 'stranger')
    const behind = ['--behind', 'CAB-1', '--secret', secret!]
    await comesAndGoes(locker(['box-1', 'box-2', ...behind]), pike, 'box-2', async () => {
      for (const box of ['box-1', 'box-2']) {
        const sent = await pike.send(
          box,
          { name: 'open', payload: { door: 7 }, expect: 'reply' },
          { waitSeconds: 20 },
        )
        assert.equal(sent.status, 'done')
        assert.equal((await pike.devices.get(box))?.presence.via, 'CAB-1')
      }
    })
    await typed.fails(
      /does not let CAB-1 speak for stranger of app default.*\n.*among its gateways/,
      ...['locker', 'stranger', ...behind, '--port', String(gateway.ports.pike)],
    )
    await typed.fails(/share that of --behind/, 'locker', 'box-1', 'box-2')
  })

  test('a secret file that is none is said before anything is tried', async () => {
    const empty = join(folder, 'empty')
    writeFileSync(empty, '\n')
    const nowhere = join(folder, 'nowhere')
    const args = ['locker', 'LK-3', '--secret-file']
    await typed.fails(/--secret-file .*empty is empty/, ...args, empty)
    await typed.fails(/--secret-file .*nowhere cannot be read \(ENOENT\)/, ...args, nowhere)
    await typed.fails(/--secret or --secret-file, not both/, ...args, empty, '--secret', 'x')
    await pike.devices.put('LK-4')
    await typed.fails(/registered already.*--secret-file, PIKE_DEVICE_SECRET/, 'locker', 'LK-4')
  })

  test('pike key whoami, and device add names the app of the key', async () => {
    const mine = await typed.json('key', 'whoami')
    assert.deepEqual([mine.app, mine.scopes.includes('admin')], ['default', true])
    const { createdAt } = await acme.key()
    assert.equal(
      await typed.ok('key', 'whoami', '--api-key', acmeKey),
      `ops of app acme may: devices, commands, events; made ${createdAt}\n`,
    )
    const added = await typed.ok('device', 'add', 'LK-5', '--api-key', acmeKey)
    assert.match(added, /be that device: pike locker LK-5 --app acme --secret \S{22,}/)
    assert.match(await typed.ok('device', 'add', 'LK-5'), /pike locker LK-5 --secret/)
  })
})
