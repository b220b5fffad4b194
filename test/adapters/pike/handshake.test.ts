import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capability, closeCode, type HelloFrame } from '../../../adapters/pike/frames.ts'
import { reasons } from '../../../src/contract/index.ts'
import { turns, until } from '../../support/turns.ts'
import { helloFrame, nonce } from './client.ts'
import { FakeCore, strongSecret } from './fake-core.ts'
import { MemoryWire, settled } from './memory-wire.ts'

const stretched = capability.batch | capability.bindings | capability.stretched

test('a device proves itself, and the server to it', async () => {
  const core = new FakeCore()
  const wire = new MemoryWire(core)
  const welcome = await wire.client.open({ keepaliveMinS: 60, keepaliveMaxS: 120, windowMax: 4 })
  const { hello, link, started } = core.last
  assert.deepEqual(
    { ...hello },
    {
      app: 'default',
      device: 'SZ-0042',
      channel: 'main',
      silence: { network: 'v4-192.0.2', minMs: 60_000, maxMs: 120_000 },
      windowMaxCommands: 4,
      uplinkEpoch: 9,
    },
  )
  assert.equal(started, 1)
  assert.equal(welcome.connection, link.id)
  assert.equal(welcome.capabilities, 3)
  assert.equal(welcome.timeMs, core.clock.nowMs())
  assert.equal(core.asked[0], 'default/SZ-0042 by hkdf from 192.0.2.7')
  assert.equal(core.clock.waiting().length, 1, 'the sweep of the handshake, no timer of its own')
  core.clock.advance(60_000)
  assert.equal(wire.ended, undefined, 'the handshake is over')
})

test('a password of people goes by scrypt', async () => {
  const core = new FakeCore()
  core.add('tur-7', { secret: 'correct horse' })
  const wire = new MemoryWire(core)
  const welcome = await wire.client.open(
    { device: 'tur-7', capabilities: stretched },
    { secret: 'correct horse' },
  )
  assert.equal(core.sessions.length, 1)
  assert.equal(welcome.capabilities, 3, 'a capability of the client alone')
})

test('rule 31: in a rotation from a weak to a strong secret both are accepted', async () => {
  const core = new FakeCore()
  core.add('tur-7', { before: ['correct horse'] })
  for (const [capabilities, secret] of [
    [stretched, 'correct horse'],
    [3, strongSecret],
  ] as const) {
    await new MemoryWire(core).client.open({ device: 'tur-7', capabilities }, { secret })
    const bare = new MemoryWire(core, { secure: true })
    bare.client.send(helloFrame({ device: 'tur-7', nonce: Buffer.alloc(0) }), {
      ...secretFrame,
      secret,
    })
    await bare.client.next('welcome')
  }
  assert.equal(core.sessions.length, 4)
})

test('rule 31: the challenge names the kdf that was asked for, whoever asks and exists', async () => {
  for (const device of ['SZ-0042', 'tur-7', 'SZ-9999'])
    for (const kdf of ['hkdf', 'scrypt'] as const) {
      const core = new FakeCore()
      core.add('tur-7', { secret: 'correct horse' })
      const wire = new MemoryWire(core)
      wire.client.send(helloFrame({ device, capabilities: kdf === 'scrypt' ? stretched : 3 }))
      const challenge = await wire.client.next('auth')
      assert.ok(challenge.method === 'challenge')
      assert.equal(challenge.kdf, kdf)
      wire.client.send(proofFrame)
      const close = await wire.client.next('close')
      assert.equal(close.code, closeCode.unauthorized)
      assert.deepEqual(core.wrong, [`default/${device}`])
    }
})

test('a secret is proved by its own kdf, not by the other one', async () => {
  const core = new FakeCore()
  core.add('tur-7', { secret: 'correct horse' })
  const weak = new MemoryWire(core)
  await assert.rejects(weak.client.open({ device: 'tur-7' }, { secret: 'correct horse' }))
  const strong = new MemoryWire(core)
  await assert.rejects(strong.client.open({ capabilities: stretched }))
  assert.equal(core.sessions.length, 0)
})

test('each HELLO that is proved says its own kdf: one connection carries both kinds of secret', async () => {
  const core = new FakeCore()
  core.add('tur-7', { secret: 'correct horse' })
  const wire = new MemoryWire(core)
  await wire.client.open()
  await wire.client.open(
    { channelNumber: 1, device: 'tur-7', capabilities: stretched },
    { secret: 'correct horse' },
  )
  assert.equal(core.sessions.length, 2)
})

test('rule 13: a position is handed to the core, and its answer to the device', async () => {
  const core = new FakeCore()
  core.prepare = (session) => {
    Object.assign(session, { resumed: 'tail-lost', uplinkKept: 17 })
    session.position = { epoch: 99, offset: 12 }
  }
  const wire = new MemoryWire(core)
  const welcome = await wire.client.open({ resume: { epoch: 5, offset: 300 } })
  assert.deepEqual(core.last.hello.resumeFrom, { epoch: 5, offset: 300 })
  assert.equal(welcome.resumed, 'tail-lost')
  assert.deepEqual([welcome.epoch, welcome.offset, welcome.uplinkKept], [99, 12, 17])
})

for (const [what, device, options, capabilities] of [
  ['a wrong secret', 'SZ-0042', { secret: 'another-secret-of-enough-length' }, 3],
  ['an unknown device', 'SZ-9999', {}, 3],
  ['an unknown device that asks for scrypt', 'SZ-9999', { secret: 'correct horse' }, 7],
  ['a known device that asks for scrypt', 'SZ-0042', { secret: 'correct horse' }, 7],
  ['a disabled device', 'SZ-0043', {}, 3],
] as const) {
  test(`rule 31: ${what} is refused as unauthorized, and counted`, async () => {
    const core = new FakeCore()
    core.add('SZ-0043', { disabled: true })
    const wire = new MemoryWire(core)
    await assert.rejects(wire.client.open({ device, capabilities }, options))
    const close = await wire.client.next('close')
    assert.equal(close.code, closeCode.unauthorized)
    assert.equal(close.text, reasons.unauthorized.text)
    assert.equal(close.channelNumber, undefined)
    assert.deepEqual(core.wrong, [`default/${device}`])
    assert.equal(core.sessions.length, 0)
    assert.equal(wire.ended, 'end')
  })
}

test('too many wrong secrets: refused without looking', async () => {
  const core = new FakeCore()
  core.limited = true
  const wire = new MemoryWire(core)
  wire.client.send(helloFrame())
  await turns(10)
  assert.deepEqual(
    wire.client.heard,
    [],
    'nothing at first: whoever asks without a pause gets ours',
  )
  core.clock.advance(core.limits.refusalDelayMs)
  const close = await wire.client.next('close')
  assert.equal(close.code, closeCode['rate-limited'])
  assert.equal(close.retryAfterS, 60)
  assert.deepEqual(wire.client.heard, [], 'no challenge')
})

test('handshakes side by side have no more guesses than one after the other', async () => {
  const core = new FakeCore()
  core.wrongSecretsMax = 2
  const wires = Array.from({ length: 5 }, () => new MemoryWire(core))
  const ends: Promise<number>[] = []
  for (const wire of wires) {
    wire.client.send(helloFrame())
    await wire.client.next('auth')
  }
  assert.equal(core.wrong.length, 0, 'all are challenged')
  for (const wire of wires) {
    wire.client.send(proofFrame)
    ends.push(toldLate(core, wire))
    await settled()
  }
  const { unauthorized } = closeCode
  const limited = closeCode['rate-limited']
  assert.deepEqual(await Promise.all(ends), [unauthorized, unauthorized, limited, limited, limited])
  assert.equal(core.wrong.length, 2)
})

test('bare secrets side by side, too; then even the right one is not looked at', async () => {
  const core = new FakeCore()
  core.wrongSecretsMax = 2
  core.add('tur-7', { secret: 'correct horse' })
  await core.verifier('default', 'tur-7', 'scrypt', '')
  const codes = ['one', 'two', 'three', 'four', 'five'].map(async (secret) => {
    const wire = new MemoryWire(core, { secure: true })
    const hello = helloFrame({ device: 'tur-7', capabilities: stretched, nonce: Buffer.alloc(0) })
    wire.client.send(hello, { ...secretFrame, secret })
    return toldLate(core, wire)
  })
  const told = await Promise.all(codes)
  assert.equal(told.filter((code) => code === closeCode.unauthorized).length, 2)
  assert.equal(told.filter((code) => code === closeCode['rate-limited']).length, 3)
  const right = new MemoryWire(core, { secure: true })
  right.client.send(helloFrame({ device: 'tur-7', nonce: Buffer.alloc(0) }), {
    ...secretFrame,
    secret: 'correct horse',
  })
  assert.equal(await toldLate(core, right), closeCode['rate-limited'])
})

test('whoever was challenged before the limit is not judged after it', async () => {
  const core = new FakeCore()
  const wire = new MemoryWire(core)
  const opening = assert.rejects(wire.client.open())
  await until(() => core.asked.length !== 0)
  core.limited = true
  assert.equal(await toldLate(core, wire), closeCode['rate-limited'])
  await opening
  assert.deepEqual(core.wrong, [])
})

test('a refusal of the core is said in its words, with when to come back', async () => {
  const core = new FakeCore()
  core.refusal = { kind: 'refused', reason: 'conflict', retryAfterMs: 59_500 }
  const wire = new MemoryWire(core)
  await assert.rejects(wire.client.open())
  const close = await wire.client.next('close')
  assert.deepEqual([close.code, close.retryAfterS], [closeCode.conflict, 60])
})

test('a store that is away refuses, and throws nowhere', async () => {
  const core = new FakeCore()
  core.broken = true
  const wire = new MemoryWire(core)
  wire.client.send(helloFrame())
  assert.equal((await wire.client.next('close')).code, closeCode.unavailable)
})

test('a handshake that does not end in 5 s is reset, wherever it stands', async () => {
  for (const said of ['nothing', 'half a hello', 'hello'] as const) {
    const core = new FakeCore()
    const wire = new MemoryWire(core)
    const hello = wire.client.encoder.encode(helloFrame())
    if (said === 'half a hello') wire.client.sendBytes(hello.subarray(0, 10))
    if (said === 'hello') {
      wire.client.sendBytes(hello)
      await wire.client.next('auth')
    }
    core.clock.advance(4_999)
    assert.equal(wire.ended, undefined)
    core.clock.advance(1)
    assert.equal(wire.ended, 'reset', said)
    assert.equal(wire.gate.counts.handshakesFailedTotal, 1)
    assert.equal(wire.gate.handshakes.size, 0)
  }
})

test('over 1 KiB before WELCOME is reset, however it is announced', async () => {
  for (const bytes of [
    Buffer.from('f1fe07', 'hex'),
    Buffer.concat([Buffer.from('f1fa07', 'hex'), Buffer.alloc(1_022)]),
  ]) {
    const wire = new MemoryWire(new FakeCore())
    wire.client.sendBytes(bytes)
    await settled()
    assert.equal(wire.ended, 'reset')
  }
})

test('an attach that ends after the connection leaves no session behind', async () => {
  const core = new FakeCore()
  let attach = (): void => {}
  const original = core.attach.bind(core)
  core.attach = async (link, hello) => {
    await new Promise<void>((resolve) => {
      attach = resolve
    })
    return original(link, hello)
  }
  const wire = new MemoryWire(core)
  const opening = assert.rejects(wire.client.open())
  await until(() => wire.client.bytesOut >= 60)
  await settled()
  core.clock.advance(5_000)
  assert.equal(wire.ended, 'reset')
  await opening
  attach()
  await settled()
  assert.deepEqual(core.last.detached, [false])
  assert.equal(core.last.started, 0)
})

test('a link that is closed before its WELCOME is refused with that reason', async () => {
  const core = new FakeCore()
  core.prepare = (session) => session.link.close('taken-over', 1_000)
  const wire = new MemoryWire(core)
  await assert.rejects(wire.client.open())
  assert.equal((await wire.client.next('close')).code, closeCode['taken-over'])
  assert.equal(core.last.started, 0)
})

test('inside TLS a bare secret will do, with or without an empty nonce', async () => {
  for (const change of [{ nonce: Buffer.alloc(0) }, {}]) {
    const core = new FakeCore()
    const wire = new MemoryWire(core, { secure: true })
    wire.client.send(helloFrame(change), {
      type: 'auth',
      channelNumber: 0,
      method: 'secret',
      secret: strongSecret,
    })
    const welcome = await wire.client.next('welcome')
    assert.equal(welcome.proof.length, 0)
    assert.equal(core.last.started, 1)
  }
})

test('inside TLS a wrong bare secret is refused like a wrong proof', async () => {
  const core = new FakeCore()
  const wire = new MemoryWire(core, { secure: true })
  wire.client.send(helloFrame({ nonce: Buffer.alloc(0) }), {
    type: 'auth',
    channelNumber: 0,
    method: 'secret',
    secret: 'wrong',
  })
  assert.equal((await wire.client.next('close')).code, closeCode.unauthorized)
  assert.equal(core.wrong.length, 1)
})

const secretFrame = {
  type: 'auth',
  channelNumber: 0,
  method: 'secret',
  secret: strongSecret,
} as const
const proofFrame = {
  type: 'auth',
  channelNumber: 0,
  method: 'proof',
  proof: Buffer.alloc(32),
} as const

test('what a handshake may not contain', async () => {
  const cases: readonly [string, (wire: MemoryWire) => void, keyof typeof closeCode][] = [
    ['ping first', ({ client }) => client.sendBytes(Buffer.from('4000', 'hex')), 'malformed'],
    ['http', ({ client }) => client.sendBytes(Buffer.from('POST / HTTP/1.1')), 'malformed'],
    ['tls', ({ client }) => client.sendBytes(Buffer.from('1603010200', 'hex')), 'malformed'],
    ['mqtt', ({ client }) => client.sendBytes(Buffer.from('100c00044d51', 'hex')), 'malformed'],
    ['version 2', ({ client }) => client.sendBytes(Buffer.from('f20100', 'hex')), 'unsupported'],
    [
      'a secret outside TLS',
      ({ client }) => client.send(helloFrame(), secretFrame),
      'protocol-error',
    ],
    [
      'no nonce outside TLS',
      ({ client }) => client.send(helloFrame({ nonce: Buffer.alloc(0) })),
      'protocol-error',
    ],
    ['a proof too early', ({ client }) => client.send(helloFrame(), proofFrame), 'protocol-error'],
    [
      'an event too early',
      ({ client }) =>
        client.send(helloFrame(), {
          type: 'event',
          channelNumber: 0,
          sequence: 1,
          name: 'n',
          payload: nonce,
          binary: true,
        }),
      'protocol-error',
    ],
    ['a second hello', ({ client }) => client.send(helloFrame(), helloFrame()), 'protocol-error'],
    ['channel 1 first', hello({ channelNumber: 1 }), 'protocol-error'],
    ['a device that is no identifier', hello({ device: 'a/b' }), 'protocol-error'],
    ['an empty device', hello({ device: '' }), 'protocol-error'],
    ['an app that is no identifier', hello({ app: ' ' }), 'protocol-error'],
    ['a channel that is no identifier', hello({ channel: '..' }), 'protocol-error'],
    ['tiny frames', hello({ frameMaxBytes: 255 }), 'protocol-error'],
    ['a critical extension', hello({ extensions: [{ tag: 7, value: nonce }] }), 'unsupported'],
  ]
  for (const [what, act, reason] of cases) {
    const core = new FakeCore()
    const wire = new MemoryWire(core)
    act(wire)
    const close = await wire.client.next('close')
    assert.equal(close.code, closeCode[reason], `${what}: ${close.text}`)
    assert.equal(wire.ended, 'end', what)
    await settled()
    assert.equal(core.sessions.length, 0, what)
    assert.equal(wire.gate.handshakes.size, 0, what)
  }
})

function hello(change: Partial<HelloFrame>): (wire: MemoryWire) => void {
  return ({ client }) => client.send(helloFrame(change))
}

test('unknown capabilities and optional extensions are passed over', async () => {
  const wire = new MemoryWire(new FakeCore())
  const extensions = [{ tag: 2, value: Buffer.from('fw 1.2') }]
  const welcome = await wire.client.open({
    capabilities: 0xffff & ~capability.stretched,
    extensions,
  })
  assert.equal(welcome.capabilities, 11)
})

test('__proto__ and constructor are no devices', async () => {
  for (const device of ['__proto__', 'constructor']) {
    const core = new FakeCore()
    const wire = new MemoryWire(core)
    await assert.rejects(wire.client.open({ device }))
    const close = await wire.client.next('close')
    assert.equal(
      close.code,
      device === 'constructor' ? closeCode.unauthorized : closeCode['protocol-error'],
    )
  }
})

/** The code it is refused with, after a pause if need be. */
async function toldLate(core: FakeCore, wire: MemoryWire): Promise<number> {
  let code: number | undefined
  void wire.client.next('close').then((close) => {
    code = close.code
  })
  // Judging a secret takes real time, so turns are what is counted.
  for (let i = 0; i < 1_000_000 && code === undefined; i++) {
    await settled()
    const waits = core.clock.waiting().some(({ name }) => name === 'pike-refusals')
    if (waits) core.clock.advance(core.limits.refusalDelayMs)
  }
  assert.ok(code !== undefined, 'it was not told')
  return code
}
