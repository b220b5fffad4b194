import assert from 'node:assert/strict'
import test from 'node:test'
import { capability } from '../../adapters/pike/frames.ts'
import { PikeClient } from '../../devices/client.ts'
import type { Command } from '../../devices/command.ts'
import type { Sent } from '../../devices/outbox.ts'
import { type DeviceStorage, memoryStorage, type StorageChange } from '../../devices/storage.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turns, until } from '../support/turns.ts'
import { ModelServer } from './model-server.ts'

interface Rig {
  readonly server: ModelServer
  readonly clock: ManualClock
  readonly client: PikeClient
  readonly received: Command[]
}

type Options = ConstructorParameters<typeof PikeClient>[0]

function rig(options: Partial<Options> = {}, server = new ModelServer()): Rig {
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock()
  server.nowMs = () => clock.nowMs()
  const received: Command[] = []
  const client = new PikeClient({
    host: 'nowhere',
    port: 1,
    device: 'SZ-0042',
    secret: server.secret,
    clock,
    random: () => 0.5,
    connect: server.connect,
    ...options,
  })
  client.on('receive', (command) => {
    received.push(command)
  })
  return { server, clock, client, received }
}

const inState = (client: PikeClient, kind: PikeClient['state']['kind']): Promise<void> =>
  until(() => client.state.kind === kind, kind)

async function started(options: Partial<Options> = {}, server?: ModelServer): Promise<Rig> {
  const made = rig(options, server)
  made.client.start()
  await inState(made.client, 'running')
  return made
}

/** Let its waiting be over, as often as it takes, and no more time pass than that. */
const backAgain = (client: PikeClient, clock: ManualClock): Promise<void> =>
  until(
    () => client.state.kind === 'running',
    'running again',
    () => {
      if (client.state.kind === 'waiting') clock.set(Math.max(clock.nowMs(), client.state.untilMs))
    },
  )

/** Let what is under way arrive. */
async function quiet(): Promise<void> {
  await turns(20)
}

const texts = (server: ModelServer, channel = 'main'): string[] =>
  server.channel(channel).kept.map(({ text }) => text)
const count = (server: ModelServer, type: string): number =>
  server.received.filter((frame) => frame.type === type).length

test('a client connects, proves itself, opens its channels, and says so', async () => {
  const { client, server } = rig()
  const states: string[] = []
  client.on('state', ({ kind }) => states.push(kind))
  client.start()
  await inState(client, 'running')
  assert.deepEqual(states, ['starting', 'running'])
  assert.deepEqual(
    server.live?.hellos.map(({ channel, channelNumber }) => [channel, channelNumber]),
    [
      ['main', 0],
      ['urgent', 1],
    ],
  )
  await client.stop()
  assert.deepEqual(states, ['starting', 'running', 'stopped'])
  await until(() => server.connections[0]?.closedWith?.code === 0, 'a goodbye')
})

test('a command is handed on, answered, and acknowledged by its reply alone', async () => {
  const { client, server, received } = await started()
  client.on('receive', (_command, respond) => {
    void respond({ status: 'done', payload: { door: 7 } })
  })
  const offset = server.submit('main')
  await until(() => server.channel('main').kept.length === 1, 'the reply is kept')
  const [reply] = server.channel('main').kept
  assert.equal(reply?.status, 'done')
  assert.equal(reply?.text, '{"door":7}')
  assert.equal(reply?.offset, offset)
  assert.equal(count(server, 'ack'), 0)
  const [command] = received
  const epoch = server.channel('main').epochs[0]!.epoch
  assert.equal(command?.id, `SZ-0042:main:${epoch.toString(36)}:${offset}`)
  assert.deepEqual(command?.json(), { n: offset })
  await client.stop()
})

test('an application may wait for its answer to be kept; the next command waits for it to return', async () => {
  const { client, server, received } = await started()
  const kept: string[] = []
  let go: () => void = () => {}
  client.on('receive', async (_command, respond) => {
    const sent = await respond({ status: 'done' })
    kept.push(sent.kind)
    await new Promise<void>((resolve) => {
      go = resolve
    })
  })
  server.submit('main')
  server.submit('main')
  await until(() => kept.length === 1, 'the first answer is kept')
  assert.deepEqual(kept, ['kept'])
  await quiet()
  assert.equal(received.length, 1, 'the next came before it returned')
  go()
  await until(() => kept.length === 2, 'the second answer is kept')
  go()
  await client.stop()
})

test('acknowledgements wait 200 ms for company, or until eight are owed', async () => {
  const { client, server, clock, received } = await started()
  for (let n = 0; n < 3; n++) server.submit('main', { replyExpected: false })
  await until(() => received.length === 3, 'three commands')
  await quiet()
  assert.equal(count(server, 'ack'), 0)
  clock.advance(199)
  await quiet()
  assert.equal(count(server, 'ack'), 0)
  clock.advance(1)
  await until(() => count(server, 'ack') === 1, 'one acknowledgement for all')
  assert.equal(server.channel('main').cursor, server.channel('main').top)
  for (let n = 0; n < 8; n++) server.submit('main', { replyExpected: false })
  await until(() => server.channel('main').cursor === server.channel('main').top, 'at once')
  // One goes along with an event that goes that way anyhow.
  server.submit('main', { replyExpected: false })
  await until(() => received.length === 12, 'one more')
  await client.send('temperature', 4)
  await until(() => server.channel('main').cursor === server.channel('main').top, 'carried along')
  await client.stop()
})

test('rule 2: a command past its deadline is refused by the client, never handed on', async () => {
  let freeze = false
  const held: (() => void)[] = []
  const { client, server, clock, received } = await started()
  client.on('receive', () => (freeze ? new Promise<void>((go) => held.push(go)) : undefined))
  const late: string[] = []
  client.on('late', ({ id }) => late.push(id))
  freeze = true
  server.submit('main', { deadlineMs: 30_000 })
  await until(() => held.length === 1, 'the first is at the application')
  const second = server.submit('main', { deadlineMs: 5_000 })
  const third = server.submit('main', { deadlineMs: 5_000, replyExpected: false })
  await quiet()
  clock.advance(5_000)
  held[0]?.()
  await until(() => late.length === 2, 'two are late')
  await until(() => server.channel('main').kept.length === 2, 'both refused')
  const replies = server.channel('main').kept.filter(({ kind }) => kind === 'reply')
  assert.deepEqual(
    replies.map(({ offset, status, reason }) => [offset, status, reason]),
    [second, third].map((offset) => [offset, 'rejected', 'late']),
  )
  assert.equal(received.length, 1)
  await client.stop()
})

test('rule 2: a refusal nobody asked for reaches the gateway before any word that it was received', async () => {
  const server = new ModelServer()
  server.settings = { uplinkWindow: 1, holdAcks: true }
  const { client, clock, received } = await started({}, server)
  // The window is full: no reply can be written.
  void client.send('t', 1)
  await until(() => server.channel('main').kept.length === 1, 'one out')
  server.submit('main', { replyExpected: false })
  const refused = server.submit('main', { replyExpected: false, deadlineMs: 0 })
  server.submit('main', { replyExpected: false })
  await until(() => received.length === 2, 'all but the late one')
  clock.advance(500)
  await quiet()
  const { cursor } = server.channel('main')
  assert.equal(cursor, received[0]?.offset)
  // The connection goes; the position told next does not cover it either.
  server.live?.wire.cut()
  await inState(client, 'waiting')
  server.settings = {}
  await backAgain(client, clock)
  assert.equal(server.live?.hellos[0]?.resume?.offset, refused - 1)
  await until(() => server.channel('main').kept.length === 2, 'refused')
  const [, reply] = server.channel('main').kept
  assert.deepEqual([reply?.offset, reply?.reason], [refused, 'late'])
  clock.advance(500)
  await until(() => server.channel('main').cursor === server.channel('main').top, 'acknowledged')
  assert.equal(received.length, 2)
  const order = server.received.map(({ type }) => type).filter((type) => /ack|reply/.test(type))
  assert.deepEqual(order, ['ack', 'reply', 'ack'])
  client.restart()
  await inState(client, 'running')
  assert.equal(server.live?.hellos[0]?.resume?.offset, received[1]?.offset)
  await client.stop()
})

test('rule 2: time between asking and WELCOME counts against the deadline, not for it', async () => {
  const { client, server, clock, received } = rig()
  client.start()
  // The proof is out; the server takes three seconds over its welcome.
  await until(() => {
    if (count(server, 'auth') === 1 && clock.nowMs() === Date.UTC(2026, 0, 1)) clock.advance(3_000)
    return client.state.kind === 'running'
  }, 'running')
  server.submit('main', { deadlineMs: 10_000 })
  await until(() => received.length === 1, 'received')
  assert.ok(received[0]!.expiresAtMs <= Date.UTC(2026, 0, 1) + 10_000)
  await client.stop()
})

test('one at a time: the next waits until the application has acted', async () => {
  const { client, server } = rig()
  const log: string[] = []
  const finish: (() => void)[] = []
  client.removeAllListeners('receive')
  client.on('receive', async ({ offset }, respond) => {
    log.push(`begin ${offset}`)
    await new Promise<void>((go) => finish.push(go))
    log.push(`end ${offset}`)
    void respond({ status: 'done' })
  })
  client.start()
  await inState(client, 'running')
  const offsets = [server.submit('main'), server.submit('main')]
  const other = server.submit('urgent')
  await until(() => finish.length === 2, 'one on each channel')
  await quiet()
  assert.deepEqual(log, [`begin ${offsets[0]}`, `begin ${other}`])
  finish[0]?.()
  await until(() => finish.length === 3, 'the next')
  assert.deepEqual(log.slice(2), [`end ${offsets[0]}`, `begin ${offsets[1]}`])
  finish[1]?.()
  finish[2]?.()
  await until(() => server.channel('main').kept.length === 2, 'both answered')
  await client.stop()
})

test('rule 16: a reply waits in the outbox while there is no connection, and is kept once', async () => {
  const { client, server, clock } = rig()
  let answer: (() => Promise<Sent>) | undefined
  client.on('receive', (command) => {
    answer = () => client.reply(command, { status: 'done', payload: { door: 1 } })
  })
  client.start()
  await inState(client, 'running')
  server.submit('main')
  await until(() => answer !== undefined, 'received')
  server.live?.wire.cut()
  await inState(client, 'waiting')
  const sent = answer?.()
  await quiet()
  assert.equal(client.outboxSize, 1)
  await backAgain(client, clock)
  assert.equal((await sent)?.kind, 'kept')
  assert.equal(server.channel('main').kept.length, 1)
  assert.deepEqual(await answer?.(), { kind: 'failed', reason: 'invalid' })
  await client.stop()
})

test('resume: what was acted on is not sent again, what was not acknowledged is', async () => {
  const { client, server, clock, received } = await started()
  server.settings.holdAcks = true
  for (let n = 0; n < 3; n++) server.submit('main', { replyExpected: false })
  const sent = [1, 2, 3].map((n) => client.send('count', n))
  await until(() => server.channel('main').kept.length === 3 && received.length === 3, 'all there')
  server.live?.wire.cut()
  await inState(client, 'waiting')
  server.settings.holdAcks = false
  sent.push(client.send('count', 4))
  server.submit('main', { replyExpected: false })
  await backAgain(client, clock)
  const outcomes = await Promise.all(sent)
  assert.deepEqual(
    outcomes,
    [1, 2, 3, 4].map((sequence) => ({ kind: 'kept', sequence })),
  )
  await until(() => received.length === 4, 'only the new one')
  assert.deepEqual(texts(server), ['1', '2', '3', '4'])
  const { resume } = server.live!.hellos[0]!
  assert.equal(resume?.offset, received[2]?.offset)
  await client.stop()
})

test('several events of one name leave as one BATCH, others as themselves', async () => {
  const { client, server } = await started()
  const sent = await Promise.all([
    ...[1, 2, 3].map((n) => client.send('t', n)),
    client.send('u', 4),
    client.send('t', Buffer.from('5')),
    client.send('t', 6, { reliable: false }),
  ])
  assert.deepEqual(sent.at(-1), { kind: 'written' })
  assert.deepEqual([count(server, 'batch'), count(server, 'event')], [1, 3])
  assert.deepEqual(
    texts(server).filter((text) => text !== '6'),
    ['1', '2', '3', '4', '5'],
  )
  await client.stop()
})

test('the window of the server is honoured, and a window of 0 pauses', async () => {
  const server = new ModelServer()
  server.settings = { uplinkWindow: 2, holdAcks: true, capabilities: 0 }
  const { client } = await started({}, server)
  const sent = [1, 2, 3].map((n) => client.send('t', n))
  await quiet()
  assert.deepEqual(texts(server), ['1', '2'])
  server.settings.holdAcks = false
  server.live?.write({ type: 'ack', channelNumber: 0, upTo: 2 })
  await Promise.all(sent)
  assert.deepEqual(texts(server), ['1', '2', '3'])
  server.settings.uplinkWindow = 0
  client.restart()
  await inState(client, 'running')
  const paused = client.send('t', 4)
  await quiet()
  assert.equal(client.outboxSize, 1)
  await client.stop()
  assert.deepEqual(await paused, { kind: 'failed', reason: 'stopped' })
})

test('at the bound of the outbox send says so, and replies still fit', async () => {
  const server = new ModelServer()
  server.settings.holdAcks = true
  const { client } = await started(
    { limits: { outboxMaxMessages: 5, replyReserve: 2, outboxMaxBytes: 1_000 } },
    server,
  )
  const failures: string[] = []
  client.on('sendFailure', ({ reason, kind }) => failures.push(`${kind} ${reason}`))
  client.on('receive', (_command, respond) => void respond({ status: 'done' }))
  const waiting = [1, 2, 3].map((n) => client.send('t', n))
  assert.deepEqual(await client.send('t', 4), { kind: 'failed', reason: 'outbox-full' })
  assert.deepEqual(failures, ['event outbox-full'])
  for (let n = 0; n < 4; n++) server.submit('main')
  await until(() => server.channel('main').kept.length === 5, 'two replies')
  await quiet()
  // The other commands wait: they could not be answered.
  assert.equal(client.outboxSize, 5)
  server.settings.holdAcks = false
  server.live?.write({ type: 'ack', channelNumber: 0, upTo: 5 })
  await Promise.all(waiting)
  await until(() => server.channel('main').kept.length === 7, 'the others')
  assert.deepEqual(await client.send('t', 'x'.repeat(2_000)), {
    kind: 'failed',
    reason: 'outbox-full',
  })
  await client.stop()
})

test('what cannot be sent is refused with the reason, by value and by event', async () => {
  const { client } = rig()
  const failures: string[] = []
  client.on('sendFailure', ({ reason }) => failures.push(reason))
  const circular: Record<string, unknown> = {}
  circular.self = circular
  await client.send('t')
  client.start()
  await client.send('t', 1, { reliable: false })
  await client.send('')
  await client.send('t', circular)
  await client.send('t', 1, { channel: 'media' })
  await client.send('t', Buffer.alloc(48 * 1024 + 1))
  await client.send('n'.repeat(129))
  assert.deepEqual(failures, [
    'stopped',
    'not-connected',
    'invalid',
    'invalid',
    'invalid',
    'too-large',
    'too-large',
  ])
  await client.stop()
})

test('an event larger than this server takes leaves the outbox, and the others go on', async () => {
  const server = new ModelServer()
  server.settings.welcome = { frameMaxBytes: 1_024 }
  const { client } = await started({}, server)
  const sent = await Promise.all([
    client.send('t', 1),
    client.send('t', 'x'.repeat(2_000)),
    client.send('t', 3),
  ])
  assert.deepEqual(sent, [
    { kind: 'kept', sequence: 1 },
    { kind: 'failed', reason: 'too-large' },
    { kind: 'kept', sequence: 3 },
  ])
  await client.stop()
})

test('a server that cannot prove itself is left, and tried again after the delay', async () => {
  const server = new ModelServer()
  const right = server.secret
  server.settings.secret = 'not the secret of this device at all'
  const { client, clock } = rig({ secret: right }, server)
  client.start()
  await inState(client, 'waiting')
  assert.match(client.state.kind === 'waiting' ? client.state.why : '', /prove itself/)
  delete server.settings.secret
  await backAgain(client, clock)
  await client.stop()
})

test('a weak secret is proved by a slow derivation, and asks for it', async () => {
  const server = new ModelServer('1234')
  const { client } = await started({}, server)
  for (const { capabilities } of server.live!.hellos)
    assert.equal(capabilities & capability.stretched, capability.stretched)
  await client.stop()
})

test('a secret is not proved by a derivation that was not asked for, whoever asks', async () => {
  for (const [secret, kdf] of [
    ['1234', 'hkdf'],
    [undefined, 'scrypt'],
  ] as const) {
    const server = new ModelServer(secret)
    server.settings.kdf = kdf
    const { client } = rig({}, server)
    client.start()
    await inState(client, 'waiting')
    assert.match(client.state.kind === 'waiting' ? client.state.why : '', /not asked for/)
    assert.equal(count(server, 'auth'), 0)
    await client.stop()
  }
})

test('refused for good: stopped with the code, until a restart', async () => {
  const server = new ModelServer()
  server.settings.refuse = { code: 197, retryAfterS: 0, text: 'unauthorized' }
  const { client, clock } = rig({}, server)
  client.start()
  await inState(client, 'stopped')
  assert.deepEqual(client.state, {
    kind: 'stopped',
    reason: { kind: 'refused', code: 197, text: 'unauthorized' },
  })
  clock.advance(1e9)
  await quiet()
  assert.equal(server.connections.length, 1)
  delete server.settings.refuse
  client.restart()
  await inState(client, 'running')
  await client.stop()
})

test('sent away for a while, it comes back after that; going away, within the spread', async () => {
  const { client, server, clock } = await started()
  server.live?.close(70, 30, 'overloaded')
  await inState(client, 'waiting')
  const untilMs = () => (client.state.kind === 'waiting' ? client.state.untilMs : 0)
  assert.equal(untilMs() - clock.nowMs(), 30_500)
  clock.advance(30_500)
  await inState(client, 'running')
  await client.send('t')
  server.live?.write({ type: 'goaway', code: 128, spreadMs: 8_000, endpoints: [] })
  await inState(client, 'waiting')
  assert.equal(untilMs() - clock.nowMs(), 4_000)
  clock.advance(4_000)
  await inState(client, 'running')
  await client.stop()
})

test('a silent server is found out by the beat, and by a send before it', async () => {
  const { client, server, clock } = await started()
  server.settings.silent = true
  clock.advance(240_000)
  await quiet()
  assert.equal(client.state.kind, 'running')
  clock.advance(10_000)
  await inState(client, 'waiting')
  server.settings.silent = false
  await backAgain(client, clock)
  // The timer cannot tell in time when the machine slept; the send itself asks.
  server.settings.silent = true
  void client.send('t', 1)
  await quiet()
  clock.advance(10_000)
  clock.advance(10_000)
  await inState(client, 'waiting')
  await client.stop()
})

test('data suppresses beats, and the server may change the interval', async () => {
  const server = new ModelServer()
  server.settings = { keepaliveS: 60, pongKeepaliveS: 600 }
  const { client, clock } = await started({}, server)
  for (let n = 0; n < 4; n++) {
    clock.advance(50_000)
    await client.send('t', n)
  }
  assert.equal(count(server, 'ping'), 0)
  clock.advance(60_000)
  await until(() => count(server, 'ping') === 1, 'a beat')
  await quiet()
  clock.advance(599_000)
  await quiet()
  assert.equal(count(server, 'ping'), 1)
  clock.advance(1_000)
  await until(() => count(server, 'ping') === 2, 'the next, later')
  await client.stop()
})

test('rule 13: a position the server does not know is told, and commands come all the same', async () => {
  const { client, server, clock, received } = await started()
  const lost: unknown[] = []
  client.on('tailLost', ({ channel }) => lost.push(channel))
  server.submit('main', { replyExpected: false })
  await until(() => received.length === 1, 'received')
  // The server's store is restored from before all this.
  server.channels.delete('main')
  server.live?.wire.cut()
  await inState(client, 'waiting')
  await backAgain(client, clock)
  assert.deepEqual(lost, ['main'])
  server.submit('main', { replyExpected: false })
  await until(() => received.length === 2, 'a new command of the same offset')
  assert.equal(received[0]?.offset, received[1]?.offset)
  client.restart()
  await inState(client, 'running')
  assert.deepEqual(lost, ['main'])
  await client.stop()
})

test('rule 13: a new epoch within a session is followed, and replies name theirs', async () => {
  const { client, server, received } = await started()
  server.renumber('main')
  const answers: Command[] = []
  client.on('receive', (command) => {
    answers.push(command)
  })
  server.submit('main')
  await until(() => answers.length === 1, 'received')
  assert.equal(received[0]?.epoch, server.channel('main').epochs[1]?.epoch)
  await client.reply(answers[0]!, { status: 'failed', reason: 'jammed' })
  const reply = server.received.find((frame) => frame.type === 'reply')
  assert.ok(reply?.type === 'reply')
  assert.equal(reply.epoch, received[0]?.epoch)
  await client.stop()
})

test('a storage older than what was sent: numbered anew, so that nothing is taken for a repeat', async () => {
  const storage = memoryStorage()
  const { client, server, clock } = await started({ storage })
  await client.send('t', 'first')
  await client.stop()
  const { uplinkEpoch } = (await storage.load()).get('main')!
  storage.commit([{ kind: 'epoch', channel: 'main', uplinkEpoch }])
  const again = rig({ storage, clock }, server)
  again.client.start()
  const sent = again.client.send('t', 'second')
  await backAgain(again.client, clock)
  assert.equal((await sent).kind, 'kept')
  assert.deepEqual(texts(server), ['"first"', '"second"'])
  await again.client.stop()
})

test('nothing is acknowledged or sent before the storage has it', async () => {
  const inner = memoryStorage()
  const held: (() => void)[] = []
  let hold = false
  const storage: DeviceStorage = {
    load: () => inner.load(),
    commit(changes: readonly StorageChange[], settled) {
      const go = () => inner.commit(changes, settled)
      if (hold && settled !== undefined) held.push(go)
      else go()
    },
    close() {},
  }
  const { client, server, clock, received } = await started({ storage })
  client.on('receive', (_command, respond) => void respond({ status: 'done' }))
  hold = true
  server.submit('main')
  const sent = client.send('t', 1)
  await until(() => received.length === 1, 'received')
  clock.advance(1_000)
  await quiet()
  assert.deepEqual(texts(server), [])
  assert.equal(count(server, 'ack') + count(server, 'reply'), 0)
  // One commit holds both the position and the reply.
  assert.equal(held.length, 2)
  for (const go of held) go()
  await sent
  await until(() => server.channel('main').kept.length === 2, 'both')
  await client.stop()
})

test('a storage that fails stops the client, with nothing promised; a restart goes on from what it has', async () => {
  const inner = memoryStorage()
  let broken = false
  const storage: DeviceStorage = {
    load: () => inner.load(),
    commit(changes, settled) {
      if (broken) settled?.(new Error('no space left on device'))
      else inner.commit(changes, settled)
    },
    close() {},
  }
  const { client, server, received } = await started({ storage })
  broken = true
  server.submit('main', { replyExpected: false })
  await inState(client, 'stopped')
  assert.deepEqual(client.state.kind === 'stopped' && client.state.reason, {
    kind: 'storage',
    text: 'no space left on device',
  })
  assert.equal(server.channel('main').cursor, 0)
  broken = false
  client.restart()
  await inState(client, 'running')
  await until(() => received.length === 2, 'it comes again: nobody knows that it was acted on')
  assert.equal(received[0]?.id, received[1]?.id)
  await client.stop()
})

test('an application still at work when its storage failed changes nothing of what was loaded since', async () => {
  const inner = memoryStorage()
  let broken = false
  const storage: DeviceStorage = {
    load: () => inner.load(),
    commit(changes, settled) {
      if (broken) settled?.(new Error('no space left on device'))
      else inner.commit(changes, settled)
    },
    close() {},
  }
  const { client, server, clock } = rig({ storage })
  const finish: (() => void)[] = []
  client.on('receive', (_command, respond) => {
    return new Promise<void>((go) => {
      finish.push(() => {
        void respond({ status: 'done' })
        go()
      })
    })
  })
  client.start()
  await inState(client, 'running')
  const first = server.submit('main')
  await until(() => finish.length === 1, 'at the application')
  broken = true
  void client.send('t', 1)
  await inState(client, 'stopped')
  broken = false
  client.restart()
  await inState(client, 'running')
  await until(() => finish.length === 2, 'handed on again')
  server.submit('main')
  finish[1]?.()
  await until(() => finish.length === 3, 'and the next')
  finish[2]?.()
  await until(() => server.channel('main').kept.length === 2, 'both answered')
  finish[0]?.()
  await quiet()
  clock.advance(1_000)
  await quiet()
  const { positions } = (await inner.load()).get('main')!
  assert.ok(positions.at(-1)!.offset > first)
  assert.equal(server.channel('main').kept.length, 2)
  await client.stop()
})

test('a receiver that throws has failed; one that is missing refuses', async () => {
  const { client, server } = rig()
  client.removeAllListeners('receive')
  client.start()
  await inState(client, 'running')
  server.submit('main')
  await until(() => server.channel('main').kept.length === 1, 'refused')
  const faults: unknown[] = []
  client.on('fault', (error) => faults.push(error))
  client.on('receive', () => {
    throw new Error('a bug')
  })
  server.submit('main')
  await until(() => server.channel('main').kept.length === 2, 'failed')
  assert.deepEqual(
    server.channel('main').kept.map(({ status, reason }) => [status, reason]),
    [
      ['rejected', 'unhandled'],
      ['failed', 'error'],
    ],
  )
  assert.equal(faults.length, 1)
  await client.stop()
})

test('a server that breaks the protocol loses its connection and nothing else', async () => {
  const wrongs: ((server: ModelServer) => void)[] = [
    (server) => server.live?.wire.server.write(Buffer.from([0x00, 0x00])),
    (server) => server.live?.wire.server.write(Buffer.from([0x60, 0xff, 0xff, 0xff, 0x7f])),
    (server) => server.live?.write({ type: 'ack', channelNumber: 0, upTo: 99 }),
    (server) => server.live?.write({ type: 'ack', channelNumber: 40, upTo: 1 }),
    (server) => server.live?.write({ type: 'epoch', channelNumber: 7, epoch: 1 }),
    (server) => server.live?.write({ type: 'unknown', number: 13, critical: true }),
    (server) => {
      const channel = server.channel('main')
      channel.commands.length = 0
      server.submit('main')
      const { epoch, ...frame } = channel.commands[0]!
      assert.ok(epoch > 0)
      server.live?.write({ type: 'command', channelNumber: 0, repeated: true, ...frame })
    },
  ]
  const { client, server, clock } = await started()
  for (const wrong of wrongs) {
    const before = server.connections.length
    wrong(server)
    await inState(client, 'waiting')
    await backAgain(client, clock)
    assert.equal(server.connections.length, before + 1)
  }
  // What is unknown and not critical is skipped.
  server.live?.write({ type: 'unknown', number: 14, critical: false })
  assert.equal((await client.send('t', 1)).kind, 'kept')
  await client.stop()
})

test('more commands than the window allows break the protocol: memory has a bound', async () => {
  const { client, server } = rig({ limits: { windowMaxCommands: 2 } })
  client.removeAllListeners('receive')
  client.on('receive', () => new Promise(() => {}))
  client.start()
  await inState(client, 'running')
  assert.equal(server.live?.hellos[0]?.windowMax, 2)
  for (const open of server.live?.open.values() ?? []) open.window = 99
  for (let n = 0; n < 3; n++) server.submit('main')
  await inState(client, 'waiting')
  assert.match(client.state.kind === 'waiting' ? client.state.why : '', /window/)
  await client.stop()
})

test('stop, whenever: nothing happens afterwards, and no timer is left', async () => {
  for (const count of [0, 1, 3, 6, 10]) {
    const { client, server, clock } = rig()
    client.start()
    await turns(count)
    await client.stop()
    const connections = server.connections.length
    assert.equal(client.state.kind, 'stopped')
    assert.deepEqual(clock.waiting(), [])
    clock.advance(1e7)
    await quiet()
    assert.equal(server.connections.length, connections)
  }
})

test('stopped before the storage is loaded: whoever sent hears so, and it goes after a start', async () => {
  const inner = memoryStorage()
  const calls: string[] = []
  let loaded!: () => void
  const storage: DeviceStorage = {
    load: () =>
      new Promise((resolve) => {
        loaded = () => resolve(inner.load())
      }),
    commit(changes, settled) {
      calls.push('commit')
      inner.commit(changes, settled)
    },
    close() {
      calls.push('close')
    },
  }
  const { client, server } = rig({ storage })
  client.start()
  const sent = client.send('e', 1)
  const stopped = client.stop()
  assert.deepEqual(await sent, { kind: 'failed', reason: 'stopped' })
  loaded()
  await stopped
  assert.deepEqual(calls, ['commit', 'commit', 'close'], 'closed last')
  assert.equal(client.outboxSize, 1)
  client.start()
  assert.equal((await client.send('e', 2)).kind, 'kept')
  assert.deepEqual(texts(server), ['1', '2'])
  await client.stop()
})
