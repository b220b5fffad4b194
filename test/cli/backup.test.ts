import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { fileStorage, PikeClient } from '../../devices/index.ts'
import { makeStore } from '../../src/engine/level/store.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { runPike } from '../support/pike-process.ts'
import { typedAt } from './typed.ts'

const secret = 'a-secret-of-at-least-22-characters'
const devices = Array.from({ length: 6 }, (_, at) => `SZ-${at}`)

function temporary(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'pike-cli-backup-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Takes whatever comes and says that it did it; knows where it stands over restarts. */
function deviceAt(ports: GatewayProcess['ports'], device: string, memory: string): PikeClient {
  const client = new PikeClient({
    ...{ host: '127.0.0.1', port: ports.pike, device, secret },
    storage: fileStorage(join(memory, `${device}.state`)),
    reconnect: { baseMs: 50, maxMs: 200 },
  })
  client.on('receive', (_command, respond) => {
    void respond({ status: 'done' })
  })
  client.start()
  return client
}

async function reaches(count: () => number, least: number): Promise<void> {
  while (count() < least) await new Promise((resolve) => setTimeout(resolve, 5))
}

interface Known {
  readonly id: string
  /** As the gateway said before the backup began. */
  readonly status: string
}

test('a gateway under load is backed up, killed, restored elsewhere, checked, and goes on', async (t) => {
  const home = temporary(t)
  const first = await startGateway({ dataDir: join(home, 'first') })
  t.after(() => first.kill())
  const pike = typedAt(first)
  for (const device of devices) await first.api('PUT', `/v1/devices/${device}`, { secret })
  await first.api('PUT', '/v1/tags/site/devices/SZ-0')
  await first.api('PUT', '/v1/aliases/order-1', { device: 'SZ-1' })
  // Half of them are there, the others are waited for.
  let clients = devices.slice(0, 3).map((device) => deviceAt(first.ports, device, home))
  t.after(() => Promise.all(clients.map((client) => client.stop())))

  const known: Known[] = []
  let accepted = 0
  let stopped = false
  const submit = async (device: string): Promise<Known | undefined> => {
    const body = { name: 'open', payload: { door: accepted++ }, expect: 'reply', ttl: 86_400 }
    const key = { 'idempotency-key': `once-${accepted}` }
    const path = `/v1/devices/${device}/commands`
    const { status, body: view } = await first.api('POST', path, body, key)
    return status === 202 ? { id: view.id, status: view.status } : undefined
  }
  const load = devices.map(async (device) => {
    while (!stopped) {
      const one = await submit(device).catch(() => undefined)
      if (one !== undefined) known.push(one)
    }
  })
  const later = { name: 'later', notBefore: new Date(Date.now() + 3_600_000).toISOString() }
  const scheduled = await first.api('POST', '/v1/devices/SZ-4/commands', later)
  await reaches(() => known.length, 120)
  const before = [...known]
  const ended = before.slice(0, 20)
  const outcomes = new Map<string, string>()
  for (const { id } of ended) {
    const { body } = await first.api('GET', `/v1/commands/${encodeURIComponent(id)}`)
    outcomes.set(id, body.status)
  }

  const file = join(home, 'a.backup')
  assert.match(await pike.ok('backup', file), /bytes/)
  const then = known.length
  await reaches(() => known.length, then + 30)
  // What the devices got since is not in it: they stand where the restored store has never been.
  const since = known.slice(then).map(({ id }) => id)
  stopped = true
  await Promise.all(load)
  await Promise.all(clients.map((client) => client.stop()))
  await first.kill()

  const dataDir = join(home, 'second')
  const restored = await runPike(['restore', file, '--data-dir', dataDir])
  assert.equal(restored.code, 0, restored.stderr)
  assert.match(restored.stdout, /records, as of \d{4}-.*\n.*api-key/)
  const checked = await runPike(['check', '--data-dir', dataDir])
  assert.deepEqual(
    [checked.code, /Nothing was found/.test(checked.stdout)],
    [0, true],
    checked.stdout,
  )
  // A copy of the operator's key; that it is valid is in the store.
  cpSync(join(first.dataDir, 'api-key'), join(dataDir, 'api-key'))
  const second = await startGateway({
    dataDir,
    ports: first.ports,
    env: { PIKE_LOG_LEVEL: 'info' },
  })
  t.after(() => second.kill())
  assert.equal(second.apiKey, first.apiKey)
  assert.match(second.stderr, /"event":"store.restored","taken":/)

  for (const { id } of before) {
    const { status, body } = await second.api('GET', `/v1/commands/${encodeURIComponent(id)}`)
    assert.equal(status, 200, `${id} was accepted before the backup and is lost`)
    const outcome = outcomes.get(id)
    if (outcome === 'done') assert.equal(body.status, 'done', `${id} had ended`)
  }
  assert.equal((await second.api('GET', `/v1/commands/${scheduled.body.id}`)).body.status, 'queued')
  assert.equal((await second.api('GET', '/v1/aliases/order-1')).body.device, 'SZ-1')
  assert.deepEqual((await second.api('GET', '/v1/tags/site')).body.items, [{ device: 'SZ-0' }])
  const repeat = { name: 'open', payload: { door: 0 }, expect: 'reply', ttl: 86_400 }
  const again = await second.api('POST', '/v1/devices/SZ-0/commands', repeat, {
    'idempotency-key': 'once-1',
  })
  assert.ok([200, 202].includes(again.status), JSON.stringify(again.body))
  assert.equal(again.body.id, before.find(({ id }) => id === again.body.id)?.id)

  clients = devices.map((device) => deviceAt(second.ports, device, home))
  const lastOf = async (id: string): Promise<string> => {
    for (;;) {
      const { body } = await second.api('GET', `/v1/commands/${encodeURIComponent(id)}`)
      if (!['queued', 'sent', 'delivered'].includes(body.status)) return body.status
    }
  }
  for (const { id } of before) assert.ok(['done', 'in-doubt'].includes(await lastOf(id)), id)
  // Under the same numbers other commands would look like repeats: new ones have a new epoch.
  const fresh = await second.api('POST', '/v1/devices/SZ-1/commands', {
    name: 'open',
    expect: 'reply',
  })
  assert.ok(!since.includes(fresh.body.id))
  assert.equal(await lastOf(fresh.body.id), 'done')
  const told = await second.api('GET', '/v1/events?type=position.unknown&limit=100')
  assert.ok(told.body.items.length > 0, 'who stood beyond it was told')
  const { body: metrics } = await second.api('GET', '/metrics')
  assert.match(metrics, /^pike_commands_unaccounted\{app="default"\} 0$/m)
  await Promise.all(clients.map((client) => client.stop()))
  assert.equal((await second.stop()).code, 0)
  assert.equal((await runPike(['check', '--data-dir', dataDir])).code, 0)
})

test('pike restore and pike check say what is wrong, and what to do', async (t) => {
  const home = temporary(t)
  const gateway = await startGateway({ dataDir: join(home, 'data') })
  t.after(() => gateway.kill())
  const { dataDir } = gateway
  const file = join(home, 'a.backup')
  const pike = typedAt(gateway)
  await pike.ok('backup', file)
  const nowhere = { PIKE_DATA_DIR: '' }
  const fails = async (says: RegExp, ...args: string[]) => {
    const { code, stderr } = await runPike(args, nowhere)
    assert.equal(code, 1, stderr)
    assert.match(stderr, says)
    assert.doesNotMatch(stderr, /\n +at /)
  }
  await fails(/name the data folder/, 'check')
  await fails(/in use by another process;\n.*backup/, 'check', '--data-dir', dataDir)
  await fails(/in use by another process;\n.*stop/, 'restore', file, '--data-dir', dataDir)
  await fails(/no file/, 'restore', join(home, 'no'), '--data-dir', join(home, 'new'))
  await fails(
    /no backup of Pike/,
    'restore',
    join(dataDir, 'api-key'),
    '--data-dir',
    join(home, 'n'),
  )
  await fails(/no store/, 'check', '--data-dir', home)
  assert.ok(!existsSync(join(home, 'new')))
  await gateway.stop()
  await fails(/there already;\n.*--force/, 'restore', file, '--data-dir', dataDir)
  const forced = await runPike(['restore', file, '--data-dir', dataDir, '--force', '--json'])
  const { records, aside } = JSON.parse(forced.stdout)
  assert.ok(records > 3 && aside.endsWith('level.before-restore'), forced.stdout)
  assert.deepEqual(readdirSync(dataDir).sort(), [
    ...['api-key', 'level', 'level.before-restore', 'level.made'],
  ])
  assert.ok(readFileSync(join(dataDir, 'api-key')).length > 20)
})

test('pike check prints a line a finding, what each means, and ends with 1', async (t) => {
  const dataDir = join(temporary(t), 'data')
  const gateway = await startGateway({ dataDir })
  await gateway.api('PUT', '/v1/devices/SZ-1', { secret, tags: ['site'] })
  await gateway.stop()
  const store = makeStore(join(dataDir, 'level'))
  await store.del('t/default/site/SZ-1')
  await store.put('zz/top', Buffer.from('?'))
  await store.close()
  const { code, stdout } = await runPike(['check', '--data-dir', dataDir])
  assert.equal(code, 1)
  assert.match(stdout, /^tag-missing {2}t\/default\/site\/SZ-1$/m)
  assert.match(stdout, /^unknown-key {2}zz\/top$/m)
  assert.match(stdout, /^devices +1 +\d+$/m)
  assert.match(stdout, /^tag-missing +1 +a device has a tag/m)
  const json = await runPike(['check', '--data-dir', dataDir, '--json'])
  const lines = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(json.code, 1)
  assert.deepEqual(
    lines
      .slice(0, -1)
      .map(({ code: each }) => each)
      .sort(),
    [...['tag-missing', 'unknown-key']],
  )
  assert.deepEqual(lines.at(-1).findings, { 'tag-missing': 1, 'unknown-key': 1 })
})
