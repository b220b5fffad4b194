import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { type ManyAnswer, PikeBackend } from '../../src/backend/index.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { type Cutter, startCutter } from './cutter.ts'

describe('a network that loses answers, between the client and a real gateway', () => {
  let gateway: GatewayProcess
  let cutter: Cutter
  /** Through the network that loses answers, and past it. */
  let lossy: PikeBackend
  let direct: PikeBackend
  const retry = { minMs: 1, maxMs: 1 }
  before(async () => {
    gateway = await startGateway()
    direct = new PikeBackend({ url: gateway.url, key: gateway.apiKey })
    await direct.devices.put('SZ-1', { tags: ['all'] })
  })
  beforeEach(async () => {
    await cutter?.stop()
    cutter = await startCutter(gateway.url)
    lossy = new PikeBackend({ url: cutter.url, key: gateway.apiKey, retry })
  })
  after(async () => {
    await cutter.stop()
    await gateway.stop()
  })

  const commands = (device: string) => direct.history(device).all()

  test('rule 28: one send is one command, though five answers in a row are lost', async () => {
    cutter.cutAfter(0, 0, 20, 100, 0)
    const sent = await lossy.send('SZ-1', { name: 'open' })
    assert.equal(cutter.cuts, 5)
    assert.deepEqual(
      (await commands('SZ-1')).map(({ id }) => id),
      [sent.id],
    )
  })

  test('one broadcast is one broadcast', async () => {
    cutter.cutAfter(0, 0)
    const { broadcast } = await lossy.broadcast('all', { name: 'hello' })
    assert.deepEqual(
      [cutter.cuts, (await direct.broadcasts.list().all()).map(({ id }) => id)],
      [2, [broadcast]],
    )
  })

  test('sendMany answers every line once and in order, each line is one command, wherever it is cut', async () => {
    const lines = 3_000
    const names = ['A', 'B', 'C', 'D'].map((letter) => `many-${letter}`)
    for (const name of names) await direct.devices.put(name)
    cutter.cutAfter(0, 10, 3_000, 1_000, 40_000, 200, 0, 25_001)
    let made = 0
    function* source() {
      for (; made < lines; made++) {
        if (made % 100 === 99) yield '{"to":{"device":"many-A"},"name":'
        else yield { to: { device: names[made % 4]! }, name: `n-${made}`, delivery: 'now' as const }
      }
    }
    const answers: ManyAnswer[] = []
    for await (const answer of lossy.sendMany(source())) {
      answers.push(answer)
      // Read ahead of the answers, but within a bound.
      assert.ok(made - answers.length < 4_100, `${made} read, ${answers.length} answered`)
    }
    assert.equal(cutter.cuts, 8)
    assert.deepEqual(
      answers.map(({ line }) => line),
      Array.from({ length: lines }, (_, index) => index + 1),
    )
    const bad = answers.filter((answer) => 'problem' in answer)
    assert.equal(bad.length, lines / 100)
    for (const answer of bad) assert.equal(answer.status, 400)
    const ids = new Set(answers.flatMap((answer) => ('id' in answer ? [answer.id] : [])))
    assert.equal(ids.size, lines - bad.length)
    const kept = (await Promise.all(names.map(commands))).flat()
    assert.equal(kept.length, ids.size)
    for (const { id } of kept) assert.ok(ids.has(id))
  })

  test('an import registers every device once, and every secret is known or said to be lost', async () => {
    // Of the first answers some come whole: what was registered behind them has no known secret.
    cutter.cutAfter(3_000, 200, 0, 20_000)
    const names = Array.from(
      { length: 1_000 },
      (_, index) => `import-${String(index).padStart(4, '0')}`,
    )
    const secrets = new Map<string, string>()
    const unsure: string[] = []
    const seen: string[] = []
    for await (const answer of lossy.devices.import(names.map((device) => ({ device })))) {
      assert.ok('device' in answer, JSON.stringify(answer))
      seen.push(answer.device)
      if (answer.secret !== undefined) secrets.set(answer.device, answer.secret)
      if (answer.maybeRegistered) unsure.push(answer.device)
    }
    assert.equal(cutter.cuts, 4)
    assert.deepEqual(seen, names)
    assert.equal(secrets.size + unsure.length, names.length)
    assert.ok(secrets.size > 0)

    // Made here, none can be lost.
    cutter.cutAfter(200, 5_000, 0)
    const made = new Set<string>()
    const own = names.map((name) => ({ device: `own-${name}` }))
    for await (const answer of lossy.devices.import(own, { makeSecrets: true }))
      if ('device' in answer && answer.secret !== undefined) made.add(answer.secret)
    assert.equal(made.size, names.length)
  })

  test('CSV goes on where it was cut, row by row', async () => {
    cutter.cutAfter(0, 3_000)
    const rows = Array.from({ length: 500 }, (_, index) => `csv-${index},"north;""old"""`)
    const answers = []
    for await (const answer of lossy.devices.importCsv([
      `device,attributes.note\n${rows.join('\r\n')}`,
    ]))
      answers.push(answer)
    assert.deepEqual(
      answers.map((answer) => [answer.line, 'device' in answer && answer.device]),
      rows.map((_, index) => [index + 1, `csv-${index}`]),
    )
    const device = await direct.devices.get('csv-499')
    assert.deepEqual(device?.attributes, { note: 'north;"old"' })
  })

  test('events come once each and in order over cut streams, and the cursor is where one is', async () => {
    const follower = lossy.events({ device: 'SZ-1', type: 'command.ended' })
    cutter.cutAfter(400, 900, 350, 2_000)
    await follower.open()
    const sent: string[] = []
    const seen: string[] = []
    for (let count = 0; count < 40; count++)
      sent.push((await direct.send('SZ-1', { name: 'open', delivery: 'now' })).id)
    for await (const event of follower) {
      assert.equal(event.type, 'command.ended')
      assert.equal(follower.cursor, event.id)
      seen.push(event.command)
      if (seen.length === sent.length) break
    }
    assert.deepEqual(seen, sent)
    assert.equal(cutter.cuts, 4)
    const again = await direct.eventPage({ after: follower.cursor! })
    assert.deepEqual([again.items, again.caughtUp], [[], true])
  })
})
