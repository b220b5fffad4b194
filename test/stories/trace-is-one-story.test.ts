import assert from 'node:assert/strict'
import { test } from 'node:test'
import { traceLine } from '../../cli/trace-line.ts'
import { entryView } from '../../src/api/trace-view.ts'
import type { TraceEntry } from '../../src/contract/index.ts'
import { secretOf } from '../support/adapter-subject.ts'
import { type Protocol, protocols, Street } from './street.ts'

/** In the order given, perhaps with others in between. */
function follows(lines: readonly string[], story: readonly RegExp[]): void {
  let at = 0
  for (const step of story) {
    const found = lines.findIndex((line, index) => index >= at && step.test(line))
    assert.ok(found !== -1, `${step} is missing behind line ${at} of\n${lines.join('\n')}`)
    at = found + 1
  }
}

test('the trace of a locker that moves from MQTT to Pike to CoAP reads as one story', async (t) => {
  const street = await Street.make(t)
  const { rig } = street
  const moves: Protocol[] = ['mqtt', 'pike', 'coap']
  const ids: string[] = []
  for (const protocol of moves) {
    const locker = street.locker(protocol)
    locker.act = async () => ({ status: 'done', payload: { secretly: 'seen' } })
    await locker.connect()
    const id = await rig.submit({ name: `open-${protocol}`, expect: 'reply' })
    assert.equal((await rig.ended(id)).status, 'done')
    ids.push(id)
    await street.darkens(locker)
  }
  const { items } = rig.hub.traces.trace('default', 'locker', { limit: 1_000 })
  const lines = items.map((entry) => traceLine(entryView(entry, false)))
  const token = '[0-9a-f]{10}-[0-9a-z]+'
  const [a, b, c] = ids.map((id) => id.replaceAll('.', '\\.'))
  follows(lines, [
    RegExp(`  mqtt ${token} .*◀──  SUBSCRIBE`),
    RegExp(`  mqtt ${token} .*receives main from`),
    RegExp(`accepted: open-mqtt \\(queue\\), asked by key .*${a}`),
    RegExp(`  mqtt ${token} .*──▶  PUBLISH .*open-mqtt`),
    RegExp(`  mqtt ${token} .*◀──  PUBLISH`),
    RegExp(`open-mqtt ended: done  ${a}`),
    RegExp(`  mqtt ${token} .*connection over`),
    RegExp(`  pike ${token} .*receives main from .*: `),
    RegExp(`accepted: open-pike .*${b}`),
    RegExp(`  pike ${token} .*──▶  COMMAND  main [0-9]+  open-pike  [0-9]+ B  payload`),
    RegExp(`  pike ${token} .*◀──  REPLY  main [0-9]+ .*done`),
    RegExp(`open-pike ended: done  ${b}`),
    RegExp(`  pike ${token} .*connection over`),
    RegExp(`  coap ${token} .*◀──  GET .*commands`),
    RegExp(`accepted: open-coap .*${c}`),
    RegExp(`  coap ${token} .*──▶  CON  main [0-9]+  open-coap`),
    RegExp(`  coap ${token} .*◀──  ACK`),
    RegExp(`  coap ${token} .*◀──  POST  ${c}`),
    RegExp(`open-coap ended: done  ${c}`),
  ])
  // Of each connection it is told who it was, and only what it was of.
  const tokens = new Set(items.flatMap(({ connection }) => connection ?? []))
  assert.equal(tokens.size, 3, [...tokens].join())
  for (const one of tokens) {
    const found = rig.hub.traces.connection('default', one, 1_000)
    assert.deepEqual(found?.devices, ['locker'])
    assert.ok(moves.includes(found.protocol as Protocol), found.protocol)
  }
})

test('a wrong secret is in the trace of the device it was for, whatever it came over', async (t) => {
  const street = await Street.make(t)
  const { rig } = street
  for (const [i, protocol] of protocols.entries()) {
    const stranger = street.locker(protocol, 'not-the-secret-of-anybody-at-all')
    assert.equal(await street.answer(stranger.connect()), 'refused', protocol)
    const wrong = () =>
      rig.hub.traces
        .trace('default', 'locker', { limit: 100 })
        .items.filter(({ reason }) => reason === 'wrong-secret')
    await rig.until(`${protocol}: it is told`, () => wrong().length === i + 1)
    const line = traceLine(entryView(wrong().at(-1)!, false))
    assert.match(line, /refused: wrong-secret, from 127\.0/)
    await stranger.drop()
  }
})

test('no secret and no proof of a device is recorded, and what it says only where it is asked for', async (t) => {
  const street = await Street.make(t)
  const { rig } = street
  const connections = new Set<string>()
  for (const protocol of protocols) {
    const locker = street.locker(protocol)
    await locker.connect()
    const id = await rig.submit({ name: 'open' })
    assert.equal((await rig.ended(id)).status, 'delivered')
    await street.darkens(locker)
  }
  const { items } = rig.hub.traces.trace('default', 'locker', { limit: 1_000 })
  for (const { connection } of items) if (connection !== undefined) connections.add(connection)
  assert.ok(connections.size >= protocols.length, 'each has its own')
  const all: TraceEntry[] = [...items]
  for (const token of connections)
    all.push(...(rig.hub.traces.connection('default', token, 1_000)?.entries ?? []))
  const secret = secretOf('locker')
  for (const entry of all) {
    const said = JSON.stringify(entryView(entry, true))
    assert.ok(!said.includes(secret), `the secret is in ${said}`)
    assert.ok(!['CONNECT', 'AUTH', 'HELLO'].includes(entry.type) || !entry.payload, said)
    const redacted = entryView(entry, false)
    assert.equal(redacted.text ?? redacted.base64, undefined)
  }
})
