import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  type Adapter,
  type Engine,
  limits,
  StoreCannotOpen,
  StoreUnavailable,
} from '../../src/contract/index.ts'
import { openMemoryEngine } from '../../src/engine/memory/index.ts'
import { expiryHoldMs } from '../../src/node/clock.ts'
import { createLog } from '../../src/node/log.ts'
import { type ApiPorts, Node, type NodeParts } from '../../src/node/node.ts'
import { StartFailure } from '../../src/node/start-failure.ts'
import { turn } from '../support/turns.ts'

const root = mkdtempSync(join(tmpdir(), 'pike-node-'))
after(() => rmSync(root, { recursive: true }))

let folders = 0

/** A node of parts that write down when they are started and stopped. */
function stage(change: Partial<NodeParts> = {}) {
  const told: string[] = []
  const lines: string[] = []
  const { log } = createLog({
    level: 'info',
    human: false,
    to: { write: (l) => void lines.push(l) },
  })
  let ports: ApiPorts | undefined
  const adapter = (name: string): Adapter => ({
    name,
    start: async () => {
      told.push(`start ${name}`)
      return [{ name, host: '127.0.0.1', port: 1 }]
    },
    stop: async () => void told.push(`stop ${name}`),
    figures: () => ({ connections: 3 }),
  })
  const dataDir = join(root, String(folders++), 'data')
  const node = new Node({
    dataDir,
    apiKey: undefined,
    limits,
    independentChannels: [],
    log,
    version: 'test',
    openEngine: async (_folder, clock) => watched(openMemoryEngine({ clock }), told),
    adapters: [adapter('a'), adapter('b')],
    makeWebhooks: () => ({
      start: async () => void told.push('start webhooks'),
      stop: async () => void told.push('stop webhooks'),
      figures: () => ({ events_waiting: 5 }),
      refuses: async () => undefined,
      changed: () => {},
      status: () => assert.fail('nobody asks'),
      deadLetters: () => assert.fail('nobody asks'),
      sendAgain: () => assert.fail('nobody asks'),
      discard: () => assert.fail('nobody asks'),
    }),
    makeApi: async (given) => {
      ports = given
      return {
        start: async () => {
          told.push('start api')
          return [{ name: 'api', host: '127.0.0.1', port: 2 }]
        },
        stop: async () => void told.push('stop api'),
        figures: () => ({ streams_open: 4 }),
      }
    },
    settingOf: (port) => `SETTING_OF_${port}`,
    ...change,
  })
  return { node, told, lines, dataDir, adapter, ports: () => ports! }
}

function watched(engine: Engine, told: string[]): Engine {
  const close = engine.close.bind(engine)
  engine.close = () => {
    told.push('close engine')
    return close()
  }
  return engine
}

test('starts from the inside out and stops in reverse', async () => {
  const { node, told, dataDir } = stage()
  const started = await node.start()
  assert.deepEqual(
    started.listeners.map(({ name }) => name),
    ['api', 'a', 'b'],
  )
  assert.equal(started.dataDir, dataDir)
  assert.equal(statSync(dataDir).mode & 0o777, 0o700)
  await node.stop()
  await node.stop()
  assert.deepEqual(told, [
    'start a',
    'start b',
    'start webhooks',
    'start api',
    'stop api',
    'stop webhooks',
    'stop b',
    'stop a',
    'close engine',
  ])
})

test('what fails to start takes down what had started, and the line says what to do', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as { port: number }
  const { told, adapter } = stage()
  const second: Adapter = {
    ...adapter('b'),
    start: () =>
      new Promise((_, reject) => {
        createServer().once('error', reject).listen(port, '127.0.0.1')
      }),
  }
  const failing = stage({ adapters: [adapter('a'), second] })
  await assert.rejects(failing.node.start(), (error: Error) => {
    assert.ok(error instanceof StartFailure)
    assert.match(error.message, new RegExp(`port ${port} .*taken.*SETTING_OF_${port}`))
    assert.ok(!error.message.includes('\n'))
    return true
  })
  // Also what failed half-way: one of its listeners may be open.
  assert.deepEqual(told, ['start a', 'stop b', 'stop a'])
  assert.deepEqual(failing.told, ['close engine'])
  taken.close()
})

const listenError = (code: string, more: object): Error =>
  Object.assign(new Error(code), { code, syscall: 'listen', ...more })

const refusals: readonly [name: string, error: Error, says: RegExp][] = [
  [
    'a store in use',
    new StoreCannotOpen('the store is in use', 'stop the other\none'),
    /^the store is in use; stop the other one$/,
  ],
  ['a full disk', new StoreUnavailable(true), /no space.*free some/],
  [
    'an address that is not ours',
    listenError('EADDRNOTAVAIL', { address: '192.0.2.1' }),
    /192\.0\.2\.1.*PIKE_API_HOST/,
  ],
  [
    'a port that needs privileges',
    listenError('EACCES', { address: '0.0.0.0', port: 80 }),
    /port 80 .*privileges.*SETTING_OF_80/,
  ],
  [
    'a host name nobody knows',
    Object.assign(new Error('x'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }),
    /not known.*PIKE_API_HOST/,
  ],
  ['a broken disk', new StoreUnavailable(false), /cannot be written.*PIKE_DATA_DIR/],
]
for (const [name, error, says] of refusals)
  test(`one line says why it does not start: ${name}`, async () => {
    const { node, told } = stage({ openEngine: () => Promise.reject(error) })
    await assert.rejects(node.start(), (thrown: Error) => {
      assert.ok(thrown instanceof StartFailure)
      assert.match(thrown.message, says)
      return true
    })
    assert.deepEqual(told, [])
  })

test('a mistake of ours keeps its stack', async () => {
  const mistake = new TypeError('x is not a function')
  const { node } = stage({ openEngine: () => Promise.reject(mistake) })
  await assert.rejects(node.start(), mistake)
})

test('a data folder that cannot be made is said, and nothing is made', async () => {
  const file = join(root, 'file')
  writeFileSync(file, '')
  const { node } = stage({ dataDir: join(file, 'data') })
  await assert.rejects(node.start(), /cannot be made.*is a file.*PIKE_DATA_DIR/)
  assert.ok(!existsSync(join(file, 'data')))
  const inFile = stage({ dataDir: file })
  await assert.rejects(inFile.node.start(), /cannot be made.*is a file/)
})

test('a place that can hold no folders is said, and does not hang', async () => {
  const { node } = stage({ dataDir: '/proc/nowhere/data' })
  await assert.rejects(node.start(), /the data folder \/proc\/nowhere\/data cannot be made/)
})

test('rule 34: a jump of more than an hour is logged and said to hold expiry', async () => {
  const { node, lines } = stage({
    openEngine: async (_folder, clock) => {
      clock.startAtLeast(clock.nowMs() - 2 * 3_600_000)
      return openMemoryEngine({ clock })
    },
  })
  await node.start()
  await node.stop()
  const jumped = lines.map((line) => JSON.parse(line)).find(({ event }) => event === 'clock.jumped')
  assert.equal(jumped?.holdMs, expiryHoldMs)
})

test('rule 34: a short absence is no jump', async () => {
  const { node, lines } = stage({
    openEngine: async (_folder, clock) => {
      clock.startAtLeast(clock.nowMs() - 60_000)
      return openMemoryEngine({ clock })
    },
  })
  await node.start()
  await node.stop()
  assert.ok(!lines.join('').includes('clock.jumped'))
})

test('metrics tell of store, hub, adapters, API and commands', async () => {
  const { node, ports } = stage()
  await node.start()
  const { body } = await ports().metrics.scrape()
  for (const line of [
    'pike_engine_commits_total ',
    'pike_sessions 0',
    'pike_adapter_connections{adapter="a"} 3\npike_adapter_connections{adapter="b"} 3',
    'pike_api_streams_open 4',
    'pike_commands_unaccounted{app="default"} 0',
  ])
    assert.ok(body.includes(line), line)
  await node.stop()
})

test('rule 11: a count that does not add up is said aloud at the start', async () => {
  const { node, lines } = stage({
    openEngine: async (_folder, clock) => {
      const engine = openMemoryEngine({ clock })
      engine.mailbox.counts = async () => ({ accepted: 3, open: 1, ended: { done: 1 } })
      return engine
    },
  })
  await node.start()
  await turn()
  await node.stop()
  const broken = lines
    .map((line) => JSON.parse(line))
    .find(({ event }) => event === 'counts.broken')
  assert.equal(broken?.missing, 1)
})
