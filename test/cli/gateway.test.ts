import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { freePorts, runPike, spawnPike } from '../support/pike-process.ts'

describe('a gateway as an operator starts and stops it', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'pike-serve-'))
  after(() => rmSync(dataDir, { recursive: true, force: true }))

  test('ready, health, metrics; SIGTERM ends it in order; the second start knows the key', async () => {
    const first = await startGateway({ dataDir, env: { PIKE_LOG_LEVEL: 'info' } })
    assert.equal(statSync(join(dataDir, 'api-key')).mode & 0o777, 0o600)
    assert.equal((await first.api('GET', '/readyz')).status, 200)
    const metrics = await first.api('GET', '/metrics')
    assert.match(metrics.body, /^pike_commands_unaccounted\{app="default"\} 0$/m)
    const devices = await first.api('GET', '/v1/devices')
    assert.deepEqual([devices.status, devices.body.items], [200, []])
    assert.deepEqual(await first.stop(), { code: 0, signal: null })
    const events = first.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).event)
    assert.ok(events.includes('engine.opened') && events.at(-1) === 'gateway.stopped', first.stderr)
    assert.ok(!first.stderr.includes(first.apiKey))

    const second = await startGateway({ dataDir })
    assert.equal(second.apiKey, first.apiKey)
    assert.equal((await second.api('GET', '/v1/devices')).status, 200)
    await second.stop()
  })

  test('npm start shows the key it made, once, and a curl that works when pasted', async () => {
    const folder = join(dataDir, 'npm')
    const output = async () => {
      const child = spawnPike(['serve'], {
        npm_lifecycle_event: 'start',
        PIKE_DATA_DIR: folder,
        ...freePorts,
      })
      let text = ''
      for await (const chunk of child.stdout!.setEncoding('utf8')) {
        text += chunk
        if (!text.includes('Ctrl-C') || child.killed) continue
        const curl = /curl -H "Authorization: Bearer (\S+|\$\(.+\))" (http:\S+)/.exec(text)!
        const key = curl[1]!.startsWith('$')
          ? readFileSync(join(folder, 'api-key'), 'utf8').trim()
          : curl[1]!
        const answer = await fetch(curl[2]!, { headers: { authorization: `Bearer ${key}` } })
        assert.equal(answer.status, 200)
        child.kill('SIGTERM')
      }
      return text
    }
    const first = await output()
    const key = readFileSync(join(folder, 'api-key'), 'utf8').trim()
    assert.ok(first.includes(key) && first.includes(folder))
    assert.ok(!(await output()).includes(key))
  })

  test('what stands in the way of a start is one line, exit code 1, and nothing is damaged', async () => {
    const running = await startGateway({ dataDir })
    const start = (env: Record<string, string>) =>
      runPike(['serve'], {
        PIKE_DATA_DIR: join(dataDir, 'other'),
        ...freePorts,
        PIKE_LOG_LEVEL: 'warn',
        ...env,
      })
    const said = async (env: Record<string, string>, says: RegExp) => {
      const { code, stdout, stderr } = await start(env)
      assert.equal(code, 1, stderr)
      assert.equal(stdout, '')
      assert.match(stderr, /^pike: [^\n]+\n$/)
      assert.match(stderr, says)
    }
    await said({ PIKE_DATA_DIR: dataDir }, /in use/)
    await said({ PIKE_API_PORT: String(running.ports.api) }, /taken.*PIKE_API_PORT/)
    await said({ PIKE_TCP_PORT: String(running.ports.pike) }, /taken.*PIKE_TCP_PORT/)
    await said({ PIKE_TLS_CERT: '/no/cert', PIKE_TLS_KEY: '/no/key' }, /PIKE_TLS_CERT.*\/no\/cert/)
    await said({ PIKE_DATA_DIR: '/dev/null/data' }, /data folder/)
    assert.equal((await running.api('GET', '/readyz')).status, 200)
    await running.stop()
    const again = await startGateway({ dataDir })
    await again.stop()
  })

  test('one Ctrl-C that arrives twice still stops in order', async () => {
    const gateway = await startGateway({ dataDir, env: { PIKE_LOG_LEVEL: 'info' } })
    process.kill(gateway.pid, 'SIGINT')
    process.kill(gateway.pid, 'SIGTERM')
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
    assert.match(gateway.stderr, /"politely":true/)
  })

  test('SIGTERM does not wait for calls that are held or streams that are open', async () => {
    const gateway = await startGateway({ dataDir })
    await gateway.api('PUT', '/v1/devices/SZ-1', {})
    const held = gateway.api(
      'POST',
      '/v1/devices/SZ-1/commands',
      { name: 'open' },
      { prefer: 'wait=60' },
    )
    const stream = fetch(`${gateway.url}/v1/events`, {
      headers: { authorization: `Bearer ${gateway.apiKey}`, accept: 'text/event-stream' },
    }).then((response) => response.text().catch(() => ''))
    // Both are there once a later call has been answered and the figures show them.
    let figures = ''
    while (!/pike_api_streams_open 1\n/.test(figures) || !/pike_api_calls_held 1\n/.test(figures))
      figures = (await gateway.api('GET', '/metrics')).body
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null })
    assert.equal((await held).status, 202)
    await stream
  })
})

describe('the commands a person types, on a real gateway', () => {
  let gateway: GatewayProcess
  const pike = (...args: string[]) =>
    runPike(args, { PIKE_API_URL: gateway.url, PIKE_DATA_DIR: gateway.dataDir })
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await pike(...args, '--json')
    assert.equal(code, 0, stdout + stderr)
    return JSON.parse(stdout)
  }
  before(async () => {
    gateway = await startGateway()
  })
  after(() => gateway.stop())

  test('device add, list, show, remove', async () => {
    const added = await json('device', 'add', 'SZ-0042', '--tag', 'shenzhen')
    assert.ok(added.secret.length >= 22)
    assert.deepEqual(added.tags, ['shenzhen'])
    const again = await pike('device', 'add', 'SZ-0042')
    assert.deepEqual([again.code, /registered already/.test(again.stderr)], [1, true])
    const shown = await json('device', 'show', 'SZ-0042')
    assert.equal(shown.secret, undefined)
    assert.equal(shown.presence.state, 'offline')
    assert.match((await pike('device', 'list')).stdout, /SZ-0042 +offline/)
    assert.equal((await pike('device', 'remove', 'SZ-0042')).code, 0)
    const gone = await pike('device', 'remove', 'SZ-0042')
    assert.deepEqual([gone.code, /no device SZ-0042/.test(gone.stderr)], [1, true])
  })

  test('a command for an absent device: queued, explained, canceled; now is refused honestly', async () => {
    await pike('device', 'add', 'SZ-1')
    const sent = await json('send', 'SZ-1', 'open', '{"door":7}', '--ttl', '600')
    assert.equal(sent.status, 'queued')
    assert.match((await pike('explain', sent.id)).stdout, /waits for the device/)
    const cancel = await pike('cancel', sent.id)
    assert.equal(cancel.code, 0, cancel.stderr)
    assert.equal((await json('show', sent.id)).status, 'canceled')
    const late = await pike('cancel', sent.id)
    assert.deepEqual([late.code, /too late, it is canceled/.test(late.stderr)], [2, true])

    const now = await pike('send', 'SZ-1', 'open', '--now', '--wait')
    assert.equal(now.code, 2)
    assert.match(now.stdout, /undeliverable \(no-link\)/)
    const waited = await pike('send', 'SZ-1', 'open', '--wait', '0.1')
    assert.deepEqual([waited.code, /not ended after 0.1 s/.test(waited.stderr)], [2, true])
    const { stdout } = await pike('events', '--device', 'SZ-1', '--json')
    const outcomes = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).status)
    assert.deepEqual(outcomes, ['canceled', 'undeliverable'])
  })

  test('the same key is the same command', async () => {
    await pike('device', 'add', 'SZ-2')
    const one = await json('send', 'SZ-2', 'open', '--key', 'order-1')
    assert.equal((await json('send', 'SZ-2', 'open', '--key', 'order-1')).id, one.id)
    const other = await pike('send', 'SZ-2', 'close', '--key', 'order-1')
    assert.deepEqual([other.code, /Idempotency-Key/.test(other.stderr)], [1, true])
  })

  test('what is wrong is said, with what to do', async () => {
    const cases: [args: string[], says: RegExp][] = [
      [['send', 'NOBODY', 'open'], /no device NOBODY.*device add/],
      [['send', 'SZ-1', 'open', '{door}'], /no JSON/],
      [['send', 'SZ-1', 'open', '--ttl', '-1'], /above 0/],
      [['show', 'nonsense'], /no command nonsense/],
      [['device', 'list', '--api-key', 'wrong'], /API key.*\n.*--api-key/],
      [['device', 'list', '--data-dir', '/nowhere'], /no API key.*\n.*--data-dir/],
      [['device', 'add', 'a/b'], /refused/],
      [['nonsense'], /unknown command/],
    ]
    const ran = await Promise.all(cases.map(([args]) => pike(...args)))
    for (const [index, { code, stderr }] of ran.entries()) {
      assert.equal(code, 1, stderr)
      assert.match(stderr, cases[index]![1])
    }
  })

  test('a locker opens a door, and the command line hears of it from all sides', async (t) => {
    await pike('device', 'add', 'SZ-3')
    const secret = 'a-secret-of-at-least-22-characters'
    await gateway.api('PUT', '/v1/devices/SZ-3', { secret })
    const env = { PIKE_API_URL: gateway.url, PIKE_DATA_DIR: gateway.dataDir }
    const follower = spawnPike(['events', '--follow', '--device', 'SZ-3', '--json'], env)
    t.after(() => follower.kill('SIGKILL'))
    const heard: { type: string }[] = []
    const done = (async () => {
      let text = ''
      for await (const chunk of follower.stdout!.setEncoding('utf8')) {
        text += chunk
        const lines = text.split('\n')
        text = lines.pop()!
        heard.push(...lines.map((line) => JSON.parse(line)))
        if (heard.some(({ type }) => type === 'command.ended')) return
      }
    })()
    let figures = ''
    while (!/pike_api_streams_open 1\n/.test(figures))
      figures = (await gateway.api('GET', '/metrics')).body
    const locker = spawnPike(
      ['locker', '--device', 'SZ-3', '--secret', secret, '--port', String(gateway.ports.pike)],
      env,
    )
    t.after(() => locker.kill('SIGKILL'))
    const state = async () => (await gateway.api('GET', '/v1/devices/SZ-3')).body.presence.state
    while ((await state()) !== 'online') assert.equal(locker.exitCode, null)

    const sent = await json(
      'send',
      'SZ-3',
      'open',
      '{"door":7}',
      '--now',
      '--expect',
      'reply',
      '--wait',
    )
    assert.deepEqual([sent.status, sent.reply.status], ['done', 'done'])
    await done
    const types = heard.map(({ type }) => type)
    for (const type of ['presence', 'reply', 'command.ended']) assert.ok(types.includes(type), type)
    follower.kill()
    locker.kill('SIGTERM')
    while ((await state()) !== 'offline');
  })
})

test('pike demo tells the story to its end and leaves nothing behind', async () => {
  const { code, stdout, stderr } = await runPike(['demo'])
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /killed with SIGKILL/)
  assert.match(stdout, /undeliverable \(no-link\)/)
  const folder = /Its data: (\S+)/.exec(stdout)![1]!
  assert.ok(!existsSync(folder))
})
