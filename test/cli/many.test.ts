import assert from 'node:assert/strict'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type RunningLocker, runLocker } from '../../devices/index.ts'
import { startCutter } from '../backend/cutter.ts'
import { fakeGateway } from '../backend/fake-gateway.ts'
import { pikeFor } from '../backend/pike.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { spawnPike } from '../support/pike-process.ts'
import { type Typed, typedAt } from './typed.ts'

const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('many at once by command, on a real gateway', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pike-many-'))
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  let gateway: GatewayProcess
  let typed: Typed
  before(async () => {
    gateway = await startGateway()
    typed = typedAt(gateway)
    for (const device of ['SZ-1', 'SZ-2']) await typed.ok('device', 'add', device, '--tag', 'all')
  })
  after(async () => {
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('device import from NDJSON: secrets in a file for their owner only, bad lines named, never over a file', async () => {
    const out = join(folder, 'secrets.ndjson')
    const input = file(
      'a.ndjson',
      '{"device":"A-1","tags":["north"]}\n\n{"device":"a/b"}\nnonsense\n{"device":"A-2"}\n{"device":"SZ-1","attributes":{"doors":7}}\n',
    )
    const { code, stdout, stderr } = await typed.run('device', 'import', input, '--out', out)
    assert.equal(code, 2)
    assert.match(stdout, /^2 registered, 1 changed, 2 refused; 2 secrets in /)
    assert.match(stderr, /^line 3: .*\/device/m)
    assert.match(stderr, /^line 4: .*JSON/m)
    assert.match(stderr, /^5 devices, \d+\/s$/m)
    assert.equal(statSync(out).mode & 0o777, 0o600)
    const secrets = lines(readFileSync(out, 'utf8'))
    assert.deepEqual(
      secrets.map(({ device }) => device),
      ['A-1', 'A-2'],
    )
    assert.ok(secrets.every(({ secret }) => secret.length >= 22))
    assert.ok(!(stdout + stderr).includes(secrets[0].secret))
    await typed.fails(
      /secrets.ndjson is there already and may hold secrets/,
      'device',
      'import',
      input,
      '--out',
      out,
    )
    await typed.fails(/cannot be read \(ENOENT\)/, 'device', 'import', join(folder, 'none'))
  })

  test('device import from CSV on standard input: secrets on standard output', async () => {
    const child = spawnPike(
      ['device', 'import', '-', '--csv'],
      { PIKE_API_URL: gateway.url, PIKE_DATA_DIR: gateway.dataDir },
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    child.stdin!.end(
      'device,tags,attributes.site\r\nC-1,north;south,"Berlin, ""old"""\r\nC-2,,\r\n',
    )
    let stdout = ''
    for await (const chunk of child.stdout!.setEncoding('utf8')) stdout += chunk
    assert.match(stdout, /^device,secret\nC-1,\S{22,}\nC-2,\S{22,}\n$/)
    const device = await typed.json('device', 'show', 'C-1')
    assert.deepEqual(
      [device.tags, device.attributes],
      [['north', 'south'], { site: 'Berlin, "old"' }],
    )
  })

  test('send --many: a summary of what became of them; the same file with the same key is the same commands', async () => {
    const input = file(
      'commands.ndjson',
      [
        '{"to":{"device":"SZ-1"},"name":"open"}',
        '{"to":{"device":"SZ-2"},"name":"open","delivery":"now"}',
        '{"to":{"device":"NOBODY"},"name":"open"}',
        '{"to":{"tag":"all"},"name":"hello"}',
        '{"to":{"device":"SZ-1"},"name":"open","payload":12345678901234567890}',
      ].join('\n'),
    )
    const { code, stdout, stderr } = await typed.run('send', '--many', input, '--key', 'job-1')
    assert.equal(code, 2, stderr)
    assert.match(
      stdout,
      /^ +1 {2}broadcast \S+\n +2 {2}queued\n +1 {2}undeliverable\n +1 {2}refused\n$/,
    )
    assert.match(stderr, /^line 3: .*no such device/m)
    assert.match(stderr, /^5 commands, \d+\/s$/m)
    const again = await typed.run('send', '--many', input, '--key', 'job-1', '--json')
    const answers = lines(again.stdout)
    assert.deepEqual(
      answers.map(({ line, idempotencyKey }) => [line, idempotencyKey]),
      answers.map((_, index) => [index + 1, `job-1-${index + 1}`]),
    )
    const history = lines(await typed.ok('history', 'SZ-1', '--status', 'open', '--json'))
    assert.equal(history.filter(({ name }) => name === 'open').length, 2)
    await typed.fails(/leave them out/, 'send', 'SZ-1', 'open', '--many', input)
  })

  test('send --not-before waits its time; history shows it', async () => {
    const sent = await typed.json('send', 'SZ-2', 'later', '--not-before', '+8h')
    assert.equal(sent.status, 'queued')
    assert.ok(Date.parse(sent.notBefore) > Date.now() + 7 * 3_600_000)
    assert.match(await typed.ok('show', sent.id), /queued, not before 20/)
    assert.match(await typed.ok('history', 'SZ-2', '--status', 'open'), /later +queued/)
    await typed.fails(/no device NOBODY/, 'history', 'NOBODY')
  })

  test('broadcast, followed to its end; show, list, devices, stop', async (t) => {
    const pike = pikeFor(gateway)
    const lockers: RunningLocker[] = []
    t.after(() => Promise.all(lockers.map((locker) => locker.stop())))
    for (const device of ['B-1', 'B-2']) {
      const { secret } = await pike.devices.put(device, { tags: ['doors'] })
      lockers.push(
        runLocker({
          host: '127.0.0.1',
          port: gateway.ports.pike,
          device,
          secret: secret!,
          doors: 12,
        }),
      )
      while ((await pike.devices.get(device))?.presence.state !== 'online');
    }
    const args = ['broadcast', 'doors', 'open', '{"door":3}', '--expect', 'reply', '--rate', '100']
    const followed = await typed.run(...args, '--follow', '--key', 'all-3')
    assert.equal(followed.code, 0, followed.stdout + followed.stderr)
    assert.match(followed.stdout, /open to doors: placed\n {2}0 of 2 waiting, 0 open, 2 done/)
    const made = await typed.json(...args, '--key', 'all-3')
    assert.ok(followed.stdout.startsWith(made.broadcast), 'the same key is the same broadcast')
    assert.equal((await typed.json('broadcast', 'show', made.broadcast)).ended.done, 2)
    assert.match(await typed.ok('broadcast', 'list'), /doors +open +placed/)
    const each = lines(
      await typed.ok('broadcast', 'devices', made.broadcast, '--status', 'done', '--json'),
    )
    assert.deepEqual(
      each.map(({ device }) => device),
      ['B-1', 'B-2'],
    )

    const queued = await typed.json('broadcast', 'start', 'all', 'hello')
    assert.match(await typed.ok('broadcast', 'stop', queued.broadcast), /2 canceled/)
    await typed.fails(/no device has the tag nothing/, 'broadcast', 'nothing', 'hello')
    for (const how of ['show', 'stop', 'devices'])
      await typed.fails(/no broadcast nonsense/, 'broadcast', how, 'nonsense')
  })

  test('one send is one command, though its answer is lost on the way', async (t) => {
    const cutter = await startCutter(gateway.url)
    t.after(() => cutter.stop())
    const lossy = typedAt({ url: cutter.url, dataDir: gateway.dataDir })
    cutter.cutAfter(0, 10)
    const sent = await lossy.json('send', 'A-1', 'open')
    assert.equal(cutter.cuts, 2)
    const kept = lines(await typed.ok('history', 'A-1', '--json'))
    assert.deepEqual(
      kept.map(({ id }) => id),
      [sent.id],
    )
  })

  test('backup: whole or not there, for its owner only, not over a file unless told so', async (t) => {
    const bytes = Buffer.alloc(3_000_000, 'pike')
    let whole = true
    const fake = await fakeGateway((_heard, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      if (whole) response.end(bytes)
      else response.write(bytes.subarray(0, 2_000_000), () => response.destroy())
    })
    t.after(() => fake.stop())
    const asked = typedAt({ url: fake.url, dataDir: gateway.dataDir })
    const target = join(folder, 'pike.backup')
    const done = await asked.json('backup', target)
    assert.deepEqual(done, { file: target, bytes: bytes.length })
    assert.ok(readFileSync(target).equals(bytes))
    assert.equal(statSync(target).mode & 0o777, 0o600)
    await asked.fails(/pike.backup is there already.*--force/, 'backup', target)
    assert.match(await asked.ok('backup', target, '--force'), /pike.backup {2}3000000 bytes/)
    whole = false
    await asked.fails(/broke off/, 'backup', join(folder, 'cut.backup'))
    await asked.fails(/broke off/, 'backup', target, '--force')
    assert.ok(readFileSync(target).equals(bytes), 'the one before is still whole')
    assert.ok(!existsSync(join(folder, 'cut.backup')))
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes('part')),
      [],
    )
    await asked.fails(/there is no folder .*make it first/, 'backup', join(folder, 'no/such/place'))
  })
})
