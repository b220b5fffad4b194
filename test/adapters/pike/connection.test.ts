import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { closeCode } from '../../../adapters/pike/frames.ts'
import { pikeAdapter } from '../../../adapters/pike/index.ts'
import { turn, turns, until } from '../../support/turns.ts'
import { helloFrame, WireClient } from './client.ts'
import { FakeCore, strongSecret } from './fake-core.ts'
import { dial, dialTls, listen } from './sockets.ts'

const event = (sequence: number) =>
  ({
    type: 'event',
    channelNumber: 0,
    sequence,
    name: 'door-opened',
    payload: Buffer.from('{}'),
    binary: false,
  }) as const

test('a device proves itself, gets a command, acknowledges it and reports', async (t) => {
  const core = new FakeCore()
  const { port } = await listen(t, core)
  const { client } = dial(t, port)
  await client.open()
  core.last.deliver(1, { expiresAtMs: core.clock.nowMs() + 30_000, expect: 'reply' })
  const command = await client.next('command')
  assert.equal(command.deadlineMs, 30_000)
  client.send({ type: 'ack', channelNumber: 0, upTo: 1 }, event(1))
  assert.equal((await client.next('ack')).upTo, 1)
  assert.deepEqual(core.last.acks, [1])
  assert.equal(core.last.link.peer, '127.0.0.1')
})

test('it works byte by byte too', async (t) => {
  const core = new FakeCore()
  const { port } = await listen(t, core)
  const { socket, client } = dial(t, port)
  socket.setNoDelay(true)
  const slow = new WireClient((bytes) => {
    for (const byte of bytes) socket.write(Uint8Array.of(byte))
  })
  client.receive = (chunk) => slow.receive(chunk)
  await slow.open()
  slow.send(event(1))
  assert.equal((await slow.next('ack')).upTo, 1)
})

test('the same inside TLS, by proof or by bare secret', async (t) => {
  const core = new FakeCore()
  const { tlsPort } = await listen(t, core)
  const proved = dialTls(t, tlsPort)
  await proved.client.open()
  const bare = dialTls(t, tlsPort)
  bare.client.send(helloFrame({ nonce: Buffer.alloc(0), channel: 'urgent' }), {
    type: 'auth',
    channelNumber: 0,
    method: 'secret',
    secret: strongSecret,
  })
  await bare.client.next('welcome')
  bare.client.send(event(1))
  await bare.client.next('ack')
  assert.ok(['TLSv1.2', 'TLSv1.3'].includes(proved.socket.getProtocol() ?? ''))
})

test('TLS without authenticated encryption, or older than 1.2, is refused', async (t) => {
  const { tlsPort } = await listen(t, new FakeCore())
  for (const options of [
    { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA' },
  ]) {
    const { gone, socket } = dialTls(t, tlsPort, options)
    assert.notEqual(await gone, 'closed')
    assert.equal(socket.authorized, false)
  }
})

test('a TLS handshake has 10 s, and the one inside it 5 s more', async (t) => {
  const core = new FakeCore()
  const { tlsPort, adapter } = await listen(t, core)
  const silent = dial(t, tlsPort)
  await until(() => adapter.figures().connections === 1)
  core.clock.advance(10_000)
  assert.equal(await silent.gone, 'ECONNRESET')

  const half = dialTls(t, tlsPort)
  await until(() => adapter.figures().handshakes_under_way === 1)
  core.clock.advance(5_000)
  await half.gone
  assert.equal(adapter.figures().resets_total, 1)
  await until(() => adapter.figures().connections === 0)
})

test('garbage at the TLS port harms nobody', async (t) => {
  const core = new FakeCore()
  const { tlsPort } = await listen(t, core)
  const { socket, gone } = dial(t, tlsPort)
  socket.write(Buffer.alloc(3_000, 0x47))
  await gone
  const { client } = dialTls(t, tlsPort)
  await client.open()
})

test('a wrong secret is told so and closed', async (t) => {
  const core = new FakeCore()
  const { port, adapter } = await listen(t, core)
  const { client, gone } = dial(t, port)
  await assert.rejects(client.open({}, { secret: 'another-secret-of-enough-length' }))
  assert.equal((await client.next('close')).code, closeCode.unauthorized)
  assert.equal(await gone, 'closed')
  assert.equal(adapter.figures().handshakes_failed_total, 1)
})

test('who says nothing, or half a frame, is reset after 5 s', async (t) => {
  const core = new FakeCore()
  const { port, adapter } = await listen(t, core)
  const idle = dial(t, port)
  const half = dial(t, port)
  half.socket.write(Buffer.from('f129', 'hex'))
  const honest = dial(t, port)
  await honest.client.open()
  await until(() => adapter.figures().handshakes_under_way === 2)
  core.clock.advance(5_000)
  assert.equal(await idle.gone, 'ECONNRESET')
  assert.equal(await half.gone, 'ECONNRESET')
  honest.client.send(event(1))
  await honest.client.next('ack')
})

test('other protocols are told that this is not theirs', async (t) => {
  const { port, adapter } = await listen(t, new FakeCore())
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    Buffer.from('100c00044d5154540402003c0000', 'hex'),
    Buffer.from('160301020001', 'hex'),
    Buffer.alloc(100_000, 0xaa),
  ]) {
    const { client, socket, gone } = dial(t, port)
    socket.write(bytes)
    const why = await gone
    // Unread bytes make a goodbye a reset; then what we said may be lost with them.
    if (why === 'closed') assert.equal((await client.next('close')).code, closeCode.malformed)
  }
  await until(() => adapter.figures().connections === 0)
})

test('a reader that does not read stops itself and nobody else', async (t) => {
  const core = new FakeCore()
  const { port } = await listen(t, core)
  const slow = dial(t, port)
  await slow.client.open()
  const first = core.last
  slow.socket.pause()
  const payload = Buffer.alloc(40_000, 0x61)
  let sent = 0
  while (first.deliver(++sent, { payload }) !== 'full') {
    assert.ok(sent < 10_000, 'it never filled')
    await turn()
  }
  const quick = dial(t, port)
  await quick.client.open({ channel: 'urgent' })
  core.last.deliver(1, { payload })
  await quick.client.next('command')
  assert.equal(first.drains, 0)

  slow.socket.resume()
  await until(() => first.drains > 0)
  await until(() => slow.client.heard.length === sent)
  assert.deepEqual(
    slow.client.heard.map((frame) => frame.type === 'command' && frame.offset),
    Array.from({ length: sent }, (_, n) => n + 1),
  )
})

test('who asks much and reads nothing is not read either', async (t) => {
  const core = new FakeCore({ linkMaxBytes: 20_000 })
  const { port, adapter } = await listen(t, core)
  const { client, socket } = dial(t, port)
  await client.open()
  socket.pause()
  // Small answers to many questions, each in a turn of its own, until nothing more is taken.
  const ping = Buffer.alloc(64_000, Buffer.from('4000', 'hex'))
  const frames = (): number => adapter.figures().frames_out_total!
  core.last.deliver(1, { payload: Buffer.alloc(40_000) })
  for (let n = 2; core.last.deliver(n, { payload: Buffer.alloc(40_000) }) !== 'full'; n++) {
    await turn()
  }
  await turn()
  const before = frames()
  for (let n = 0; n < 50; n++) socket.write(ping)
  await turns(200)
  // The kernel's buffers take some more now and then; one who is read is answered in each turn.
  assert.ok(frames() - before < 100, `${frames() - before} answers to one who does not read`)
  socket.resume()
  await until(() => frames() - before > 0)
})

test('rule 20: a dead link is reset, and what lay in its buffers does not arrive', async (t) => {
  for (const secure of [false, true]) {
    const core = new FakeCore()
    const { port, tlsPort } = await listen(t, core)
    const { client, socket, gone } = secure ? dialTls(t, tlsPort) : dial(t, port)
    await client.open()
    socket.pause()
    const payload = Buffer.alloc(40_000, 0x61)
    let sent = 0
    while (core.last.deliver(++sent, { payload }) !== 'full') {
      await turn()
    }
    core.last.link.close('unresponsive')
    await turn()
    socket.resume()
    await gone
    assert.ok(client.heard.length < sent, `${client.heard.length} of ${sent} arrived`)
    assert.ok(client.heard.every(({ type }) => type === 'command'))
  }
})

test('a device that does not close after our goodbye is cut after 5 s', async (t) => {
  const core = new FakeCore()
  const { port, adapter } = await listen(t, core)
  const server = dial(t, port)
  server.socket.allowHalfOpen = true
  await server.client.open()
  core.last.link.close('device-removed')
  await server.client.next('close')
  assert.equal(adapter.figures().connections, 1)
  core.clock.advance(5_000)
  await until(() => adapter.figures().connections === 0)
})

test('a device that goes without a word is lost; what it sends before is taken', async (t) => {
  const core = new FakeCore()
  const { port } = await listen(t, core)
  const one = dial(t, port)
  await one.client.open()
  one.client.send(event(1))
  one.socket.end()
  await until(() => core.last.detached.length > 0)
  assert.deepEqual(core.last.detached, [false])
  assert.equal(core.last.uplinks.length, 1)

  const two = dial(t, port)
  await two.client.open()
  two.socket.resetAndDestroy()
  await until(() => core.last.detached.length > 0)
  assert.deepEqual(core.last.detached, [false])
})

test('reading stops while too much waits for the store', async (t) => {
  const core = new FakeCore()
  const { port, adapter } = await listen(t, core)
  const { client, socket } = dial(t, port)
  await client.open()
  core.last.answer = undefined
  const big = Buffer.alloc(40_000)
  let sequence = 0
  const write = (): boolean =>
    socket.write(client.encoder.encode({ ...event(++sequence), payload: big }))
  for (let n = 0; n < 1_000 && sequence - core.last.uplinks.length < 200; n++) {
    write()
    await turn()
  }
  assert.ok(core.last.uplinks.length < 80, `${core.last.uplinks.length} taken`)
  core.last.answer = 'kept'
  core.last.settle()
  await until(() => core.last.uplinks.length === sequence)
  assert.ok(adapter.figures().bytes_in_total! > sequence * 40_000)
})

test('over the bound of connections: told to come back later', async (t) => {
  const core = new FakeCore({ connectionsMax: 1 })
  const { port, tlsPort, adapter } = await listen(t, core)
  const { client } = dial(t, port)
  await client.open()
  const second = dial(t, port)
  const close = await second.client.next('close')
  assert.deepEqual([close.code, close.retryAfterS], [closeCode.overloaded, 5])
  await second.gone
  await dialTls(t, tlsPort).gone
  assert.equal(adapter.figures().connections_refused_total, 2)
  client.send(event(1))
  await client.next('ack')
})

test('over the bound of connections of one address: told so, before TLS or any handshake, and counted', async (t) => {
  const core = new FakeCore({ connectionsPerAddress: 2 })
  const { port, tlsPort, adapter } = await listen(t, core)
  const { client } = dial(t, port)
  await client.open()
  const secured = dialTls(t, tlsPort)
  await secured.client.open()
  const third = dial(t, port)
  assert.equal((await third.client.next('close')).code, closeCode.overloaded)
  await dialTls(t, tlsPort).gone
  assert.equal(adapter.figures().connections_refused_total, 2)
  secured.socket.destroy()
  await until(() => adapter.figures().connections === 1)
  await dial(t, port).client.open()
})

test('stopping: all are told, all are gone, nobody new comes', async () => {
  const core = new FakeCore()
  const adapter = pikeAdapter({ host: '127.0.0.1', port: 0 })
  const [listener] = await adapter.start(core)
  const after: (() => void)[] = []
  const t = { after: (run: () => void) => after.push(run) } as never
  const clients = [dial(t, listener!.port), dial(t, listener!.port)]
  for (const { client } of clients) await client.open()
  const silent = dial(t, listener!.port)
  await once(silent.socket, 'connect')
  await until(() => adapter.figures().connections === 3)
  await adapter.stop(1_000)
  for (const { client, gone } of clients) {
    assert.ok((await client.next('goaway')).spreadMs >= 1_000)
    assert.equal((await client.next('close')).code, closeCode['going-away'])
    assert.equal(await gone, 'closed')
  }
  await silent.gone
  assert.deepEqual(
    core.sessions.map(({ detached }) => detached),
    [[false], [false]],
  )
  assert.equal(await dial(t, listener!.port).gone, 'ECONNREFUSED')
  assert.deepEqual(core.clock.waiting(), [])
  await adapter.stop(0)
  for (const run of after) run()
})

test('stopping waits no longer than it may', async (t) => {
  const core = new FakeCore()
  const adapter = pikeAdapter({ host: '127.0.0.1', port: 0 })
  const [listener] = await adapter.start(core)
  const { client, gone } = dial(t, listener!.port)
  await client.open()
  core.last.answer = undefined
  client.send(event(1))
  await until(() => core.last.uplinks.length === 1)
  const stopped = adapter.stop(1_500)
  await client.next('goaway')
  core.clock.advance(1_500)
  await stopped
  await gone
})

test('a port that is taken, or a key that is none, is said at start and leaves nothing behind', async () => {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const core = new FakeCore()
  await assert.rejects(pikeAdapter({ host: '127.0.0.1', port }).start(core), { code: 'EADDRINUSE' })
  const tls = { port: 0, cert: 'no', key: 'no' }
  await assert.rejects(pikeAdapter({ host: '127.0.0.1', port: 0, tls }).start(core))
  taken.close()
  await once(taken, 'close')
})

test('a listener may be off', async (t) => {
  const { port, tlsPort } = await listen(t, new FakeCore(), { port: 'off' })
  assert.equal(port, 0)
  assert.notEqual(tlsPort, 0)
})
