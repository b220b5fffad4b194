import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generate } from 'coap-packet'
import { type Decoded, decode, encode } from '../../../adapters/coap/codec.ts'
import { mutator } from '../../support/mutations.ts'
import { randomBy } from '../../support/random.ts'
import { uintBytes } from './client.ts'
import { Stage } from './stage.ts'

const seeds = [1, 2, 3, 4]
const perSeed = 250_000
const grownMaxBytes = 50 * 1024 * 1024

const memory = (): number => {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Messages of every kind, as a place to start from. */
function samplesOf(session: string): Buffer[] {
  const token = Buffer.from('a1b2c3d4', 'hex')
  const path = (text: string) =>
    text.split('/').map((name) => ({ name: 'Uri-Path' as const, value: Buffer.from(name) }))
  const query = (text: string) => ({ name: 'Uri-Query' as const, value: Buffer.from(text) })
  const number = (name: number, value: number) => ({ name: String(name), value: uintBytes(value) })
  const commands = path(`${session}/commands`)
  const one = (code: string, options: { name: string; value: Buffer }[], payload = '') =>
    generate({
      code,
      confirmable: true,
      messageId: 7,
      token,
      options,
      payload: Buffer.from(payload),
    })
  return [
    generate({ code: '0.00', confirmable: true, messageId: 1 }),
    generate({ code: '0.00', ack: true, messageId: 1 }),
    generate({ code: '0.00', reset: true, messageId: 1 }),
    generate({ code: '2.04', ack: true, messageId: 1, token }),
    generate({ code: '2.05', confirmable: true, messageId: 2, token, payload: Buffer.from('x') }),
    one('GET', path('.well-known/core')),
    one('POST', [...path('session'), query('device=locker'), query('keepalive=60')], 'secret'),
    one('POST', [...path('session'), query('device=nobody'), query('server=coap')], 'secret'),
    one('GET', [...commands, number(6, 0)]),
    one('GET', [...commands, number(6, 1)]),
    one('GET', [...commands, number(23, 2), query('wait=3')]),
    one('GET', [...commands, number(23, 0x16), query('after=locker:main:1:1')]),
    one('POST', [...path(`${session}/events/door`), query('stamp=7.1')], '{"door":7}'),
    one(
      'POST',
      [...path(`${session}/events/door`), number(27, 0x08), number(292, 5)],
      'x'.repeat(16),
    ),
    one('POST', [...path(`${session}/replies/locker:main:1:1`), query('status=failed')], '{}'),
    one('PUT', [...path(session), query('sleep=9')]),
  ]
}

const telling = [0x00, 0x01, 0x0d, 0x0e, 0x0f, 0x40, 0x4e, 0x7f, 0x80, 0xd0, 0xe0, 0xf0, 0xff]

for (const seed of seeds) {
  test(`${perSeed} mutated datagrams, seed ${seed}: nothing is thrown, hangs or grows`, () => {
    const random = randomBy(seed)
    const mutate = mutator({ samples: samplesOf('s/AAAAAAAAAAAAAAAAAAAAAA'), telling })
    const counts = { message: 0, ignored: 0, reset: 0 }
    const before = memory()
    for (let n = 0; n < perSeed; n++) {
      const decoded: Decoded = decode(mutate(random))
      counts[decoded.kind]++
      if (decoded.kind !== 'message' || decoded.message.code === 0) continue
      // What was read is written so that it is read again.
      const again = decode(encode(decoded.message))
      if (again.kind !== 'message') assert.fail('what we write is no message')
      else assert.equal(again.message.options.length, decoded.message.options.length)
    }
    for (const [kind, count] of Object.entries(counts)) assert.ok(count > perSeed / 100, kind)
    const grown = memory() - before
    assert.ok(grown < grownMaxBytes, `grew by ${grown} bytes`)
  })
}

test('20,000 mutated datagrams to a gateway: a bystander is served, and nothing is left over', async (t) => {
  const random = randomBy(5)
  const stage = await Stage.make(t)
  const { rig, network } = stage
  await rig.register('other')
  const { client } = stage.client()
  const session = await stage.login(client)
  const mutate = mutator({ samples: samplesOf(session), telling })
  const strangers = Array.from({ length: 16 }, (_, i) => stage.client(`203.0.113.${i + 1}`).line)
  const before = memory()
  for (let n = 0; n < 20_000; n++) {
    const bytes = Buffer.from(mutate(random))
    if (bytes.length > 3) bytes.writeUInt16BE(n & 0xffff, 2)
    network.deliver(bytes, strangers[random(strangers.length)]!.peer)
    if (n % 500 === 0) {
      const answer = await stage.ask(client, 'POST', `${session}/events/alive`, '1')
      // A datagram may have said goodbye in its name, or put it to sleep: that needs its token.
      assert.ok(['2.04', '5.03', '4.01'].includes(answer.code), answer.code)
      network.sent.length = 0
    }
  }
  await rig.pass(600_000)
  network.sent.length = 0
  const grown = memory() - before
  assert.ok(grown < grownMaxBytes, `grew by ${grown} bytes`)
  assert.equal(stage.figures.failed_total, 0)
  assert.equal(stage.figures.uploads, 0)
  assert.equal(stage.figures.transmissions, 0)
  const honest = stage.client('203.0.113.99')
  const again = await stage.login(honest.client)
  assert.equal((await stage.ask(honest.client, 'POST', `${again}/events/alive`, '1')).code, '2.04')
})
