import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Command } from 'commander'
import { aliasCommand } from '../../cli/alias.ts'
import { appCommand } from '../../cli/app.ts'
import { broadcastCommand } from '../../cli/broadcast.ts'
import { deviceCommand } from '../../cli/device.ts'
import { keyCommand } from '../../cli/key.ts'
import { tagCommand } from '../../cli/tag.ts'
import { withOtherWords } from '../../cli/verbs.ts'
import { webhookCommand } from '../../cli/webhook.ts'
import { fakeGateway } from '../backend/fake-gateway.ts'
import { pikeFor } from '../backend/pike.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { spawnPike } from '../support/pike-process.ts'
import { type Typed, typedAt } from './typed.ts'

describe('what a person types and reads, on a real gateway', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pike-words-'))
  let gateway: GatewayProcess
  let typed: Typed
  before(async () => {
    gateway = await startGateway({ env: { PIKE_WEBHOOK_ALLOW: 'loopback' } })
    typed = typedAt(gateway)
  })
  after(async () => {
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('nouns and verbs are found by their other usual names', async () => {
    await typed.ok('devices', 'create', 'V-1', '--tag', 'north')
    assert.equal((await typed.json('device', 'get', 'V-1')).device, 'V-1')
    assert.match(await typed.ok('device', 'ls'), /DEVICE .*\n.*\nV-1 /)
    await typed.ok('device', 'rm', 'V-1')
    await typed.ok('webhook', 'add', 'orders', 'http://127.0.0.1:9/', '--disabled')
    assert.match(await typed.ok('webhooks', 'ls'), /NAME .*\n.*\norders /)
  })

  test('device show says how a device is, and what is wrong with a name', async () => {
    await typed.ok('device', 'add', 'W-1')
    await typed.ok('device', 'disable', 'W-1')
    await typed.json('device', 'show', 'W-1')
    assert.match(
      await typed.ok('device', 'show', 'W-1'),
      /^W-1 is disabled: .*"pike device enable W-1"\.\nNo command is open for it\.\n/,
    )
    assert.equal((await typed.json('device', 'show', 'W-1')).presence.reason, 'device-disabled')
    await typed.fails(/must be a name: letters, digits and \. _ ~ -/, 'device', 'add', 'a b')
  })

  test('device channel adds, sets and removes a channel, and leaves the others', async () => {
    const channel = (...args: string[]) => typed.ok('device', 'channel', ...args)
    const kept = async () => (await typed.json('device', 'show', 'C-1')).channels
    await typed.fails(/no device C-1/, 'device', 'channel', 'C-1', 'media')
    await typed.ok('device', 'add', 'C-1')
    await channel('C-1', 'bulk', '--max-commands', '5', '--overflow', 'drop-oldest')
    assert.equal(
      await channel('C-1', 'media', '--connection', 'independent'),
      'media of C-1 has a connection of its own\n',
    )
    assert.equal(
      await channel('C-1', 'bulk', '--max-commands', '7'),
      'bulk of C-1 shares the connection, at most 7 commands wait, drop-oldest\n',
    )
    assert.deepEqual(await kept(), {
      bulk: { maxCommands: 7, overflow: 'drop-oldest' },
      media: { connection: 'independent' },
    })
    await channel('C-1', 'media', '--remove')
    assert.deepEqual(Object.keys(await kept()), ['bulk'])
    await typed.fails(/no channel media/, 'device', 'channel', 'C-1', 'media', '--remove')
    await typed.fails(
      /use shared, independent/,
      'device',
      'channel',
      'C-1',
      'x',
      '--connection',
      'own',
    )
  })

  test('a stopped broadcast tells how many were not placed, and which', async () => {
    const pike = pikeFor(gateway)
    const devices = Array.from({ length: 60 }, (_, index) => ({
      device: `S-${index}`,
      tags: ['slow'],
    }))
    for await (const answer of pike.devices.import(devices)) assert.equal(answer.status, 201)
    const { broadcast } = await pike.broadcast('slow', { name: 'hello', rate: 1 })
    const { notPlaced } = await pike.broadcasts.stop(broadcast)
    assert.ok(notPlaced > 1, `all but ${notPlaced} of 60 were placed before it was stopped`)
    const shown = await typed.ok('broadcast', 'show', broadcast)
    const says = `hello to slow: stopped \\(.*\\)\n  ${notPlaced} of 60 not placed, `
    assert.match(shown, new RegExp(says))
    const rows = await typed.ok('broadcast', 'devices', broadcast, '--status', 'not-placed')
    assert.equal(rows.match(/^S-\d+ +not-placed$/gm)?.length, notPlaced, rows)
  })

  test('an import is CSV by its extension, or else by how it begins; rows are named as rows', async () => {
    const rows = 'device,disabled\n'
    const imported = async (name: string, text: string, ...more: string[]) => {
      const file = join(folder, name)
      writeFileSync(file, text)
      const { code, stdout, stderr } = await typed.run('device', 'import', file, ...more)
      return { code, stdout, stderr }
    }
    const csv = /^device,secret\nI-\d+,\S{22,}\n$/
    const lines = /^\{"device":"I-\d+","secret":"\S{22,}"\}\n$/
    for (const [name, text, wanted] of [
      ['A.CSV', `\ufeff${rows}I-2,\n`, csv],
      ['no-extension', `${rows}I-5,\n`, csv],
      ['a.txt', '\n  {"device":"I-6"}\n', lines],
    ] as const) {
      const { code, stdout, stderr } = await imported(name, text)
      assert.equal(code, 0, `${name}: ${stderr}`)
      assert.match(stdout, wanted, name)
    }
    // The extension is believed, also where it is wrong: then every line says what it is not.
    const wrong = await imported('b.ndjson', `${rows}I-7,\n`)
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /^line 1: .*JSON/m)
    const told = await imported('c.ndjson', `${rows}I-7,yes\n`, '--csv')
    assert.equal(told.code, 2)
    assert.match(told.stderr, /^row 1: .*row 1, column disabled must be true or false, or empty$/m)
    const header = await imported('d.csv', 'device,colour\nI-7,red\n')
    assert.equal(header.code, 1)
    assert.match(header.stderr, /unknown column "colour"; columns are device, secret, disabled/)
    assert.equal(await pikeFor(gateway).devices.get('I-7'), undefined)
  })

  test('events --follow prints what comes as it comes, a line each, filtered as asked', async (t) => {
    await typed.ok('device', 'add', 'F-1')
    await typed.ok('device', 'add', 'F-2')
    const env = { PIKE_API_URL: gateway.url, PIKE_DATA_DIR: gateway.dataDir }
    const args = ['events', '--follow', '--device', 'F-1', '--type', 'command.ended']
    const follower = spawnPike(args, env)
    t.after(() => follower.kill('SIGKILL'))
    let stdout = ''
    let stderr = ''
    follower.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    follower.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    let figures = ''
    while (!/pike_api_streams_open 1\n/.test(figures)) {
      assert.equal(follower.exitCode, null, stderr)
      figures = (await gateway.api('GET', '/metrics')).body
    }
    const pike = pikeFor(gateway)
    for (const device of ['F-2', 'F-1']) await pike.send(device, { name: 'open', delivery: 'now' })
    while (!stdout.includes('\n')) await new Promise((go) => follower.stdout!.once('data', go))
    assert.match(stderr, /^waiting for command\.ended events of F-1; Ctrl-C ends\n$/)
    assert.match(
      stdout,
      /^\d\d:\d\d:\d\d\.\d{3} {2}F-1 {2}command\.ended .*undeliverable {2}\(no-link\) {2}.*F-1:main:\S+\n$/,
    )
    follower.kill('SIGINT')
  })
})

test('every noun takes the same other names of its verbs', () => {
  const nouns = [
    deviceCommand(),
    aliasCommand(),
    tagCommand(),
    broadcastCommand(),
    webhookCommand(),
    appCommand(),
    keyCommand(),
  ]
  const program = new Command('pike')
  for (const noun of nouns) program.addCommand(noun)
  withOtherWords(program)
  for (const noun of nouns) {
    assert.equal(noun.aliases().length, 1, noun.name())
    const names = noun.commands.flatMap((verb) => [verb.name(), ...verb.aliases()])
    assert.equal(new Set(names).size, names.length, `${noun.name()}: ${names.join(' ')}`)
    assert.ok(names.includes('ls'), noun.name())
    const verbs = noun.name() === 'tag' ? ['add', 'remove'] : ['show']
    if (!['tag', 'broadcast'].includes(noun.name())) verbs.push('add', 'create', 'remove')
    for (const verb of verbs) assert.ok(names.includes(verb), `pike ${noun.name()} ${verb}`)
    if (names.includes('show')) assert.ok(names.includes('get'), noun.name())
    if (names.includes('remove'))
      for (const verb of ['rm', 'delete']) assert.ok(names.includes(verb), noun.name())
  }
})

test('a full mailbox is one line with how full, that nothing was kept, and how to try again', async (t) => {
  const mailbox = { commands: 1_000, bytes: 5, oldestAt: '2026-01-01T00:00:00.000Z' }
  // After a minute: later than somebody at a terminal waits.
  const fake = await fakeGateway((_heard, response) => {
    const type = 'application/problem+json'
    response.writeHead(429, { 'content-type': type, 'retry-after': '60' })
    const title = "The device's mailbox is full"
    const said = { type: '/problems/mailbox-full', title, status: 429, mailbox }
    response.end(JSON.stringify(said))
  })
  t.after(() => fake.stop())
  const folder = mkdtempSync(join(tmpdir(), 'pike-full-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const typed = typedAt({ url: fake.url, dataDir: folder })
  const args = ['send', 'SZ-1', 'open', '--key', 'order-7', '--api-key', 'k']
  const { code, stdout, stderr } = await typed.run(...args)
  assert.deepEqual([code, stdout, fake.heard.length], [1, '', 1])
  assert.equal(
    stderr,
    "pike: The device's mailbox is full: 1000 commands are open, the oldest since 2026-01-01T00:00:00.000Z; nothing was kept\nto try the same command again: --key order-7\n",
  )
})
