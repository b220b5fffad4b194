import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { generate } from 'coap-packet'
import { uintBytes } from '../../devices/coap/requests.ts'
import {
  type Command,
  coapSession,
  PikeClient,
  type PikeClientOptions,
  type Respond,
} from '../../devices/index.ts'
import { kdfFor } from '../../src/secrets/secrets.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turn, turns, until } from '../support/turns.ts'
import { type Asked, CoapPeer } from './coap-peer.ts'

const secret = 'a-secret-of-at-least-22-characters'
/** What was asked is answered. */
async function settled(): Promise<void> {
  await turns(20)
}

interface Rig {
  readonly peer: CoapPeer
  readonly client: PikeClient
  readonly clock: ManualClock
  readonly received: Command[]
  readonly late: Command[]
  readonly why: string[]
  act: (command: Command, respond: Respond) => unknown
}

async function rig(t: TestContext, options: Partial<PikeClientOptions> = {}): Promise<Rig> {
  const peer = await CoapPeer.listen()
  const clock = new ManualClock()
  const client = new PikeClient({
    ...{ host: '127.0.0.1', port: peer.port, device: 'SZ-0042', secret, clock },
    ...{ reconnect: { baseMs: 2, maxMs: 2 }, random: () => 0, session: coapSession },
    channels: ['main'],
    ...options,
  })
  const made: Rig = { peer, client, clock, received: [], late: [], why: [], act: () => {} }
  client.on('receive', (command, respond) => {
    made.received.push(command)
    return made.act(command, respond)
  })
  client.on('late', (command) => made.late.push(command))
  client.on('waiting', ({ why }) => made.why.push(why))
  t.after(async () => {
    peer.serve = (one) => peer.welcome(one)
    await client.stop()
    peer.close()
  })
  client.start()
  return made
}

async function running(t: TestContext, options: Partial<PikeClientOptions> = {}): Promise<Rig> {
  const made = await rig(t, options)
  await until(() => made.client.state.kind === 'running', 'it runs')
  return made
}

/** It waits, and its time comes. */
async function again({ client, clock }: Rig): Promise<void> {
  await until(() => client.state.kind === 'waiting', 'it waits')
  clock.advance(5_000)
  await until(() => client.state.kind === 'running', 'it runs again')
}

const line = (peer: CoapPeer, offset: number, more = '', leftMs = 60_000) =>
  `id=SZ-0042:main:k3:${offset}&name=open&expires=${peer.timeMs + leftMs}${more}\n`
const paths = (asked: readonly Asked[]) =>
  asked.map(({ method, path, query }) => `${method} ${path} ${query.join('&')}`.trim())

test('the secret is never sent: a proof is, and what it is over is the Echo', async (t) => {
  const { peer } = await running(t)
  assert.deepEqual(paths(peer.asked), [
    `POST session device=SZ-0042&proof=${kdfFor(secret)}`,
    `POST session device=SZ-0042&proof=${kdfFor(secret)}`,
    'GET s/token/channels/main/commands ack=explicit',
  ])
  assert.equal(peer.asked[1]!.packet.payload.length, 32)
  for (const { packet } of peer.asked) assert.ok(!packet.payload.includes(secret), 'it is there')
})

test('a notification is acknowledged at once, its command when it is stored', async (t) => {
  const made = await running(t)
  const { peer, received } = made
  let opened = (): void => {}
  made.act = () =>
    new Promise<void>((resolve) => {
      opened = resolve
    })
  const asked = peer.asked.length
  const messageId = peer.notify('main', `${line(peer, 1, '&now')}{"door":7}`)
  await until(() => peer.empties.some((one) => one.messageId === messageId), 'the stack has it')
  await until(() => received.length === 1, 'the application has it')
  const [command] = received
  assert.deepEqual(
    [command!.now, command!.replyExpected, command!.json()],
    [true, false, { door: 7 }],
  )
  assert.equal(command!.id, 'SZ-0042:main:k3:1')
  // The network brings it once more, and the gateway too.
  peer.notify('main', `${line(peer, 1, '&now&again')}{"door":7}`)
  await until(() => peer.empties.length === 2, 'that is acknowledged as well')
  assert.equal(peer.asked.length, asked, 'nothing is said of what is not stored')
  opened()
  await until(() => peer.asked.length > asked, 'it is acknowledged')
  assert.deepEqual(paths(peer.asked.slice(asked)), [
    'GET s/token/channels/main/commands after=SZ-0042:main:k3:1',
  ])
  peer.notify('main', `${line(peer, 1, '&again')}{"door":7}`)
  await until(() => peer.asked.length === asked + 2, 'a repeat is acknowledged again')
  assert.equal(received.length, 1, 'and not handed on')
})

test('a late command is refused, by the time of the gateway', async (t) => {
  const made = await running(t)
  const { peer, clock, late, received } = made
  clock.advance(10_000)
  peer.notify('main', line(peer, 1, '', 9_000))
  await until(() => peer.asked.at(-1)!.method === 'POST', 'it is refused')
  assert.equal(late.length, 1)
  assert.equal(received.length, 0)
  const { path, query } = peer.asked.at(-1)!
  assert.equal(path, 's/token/replies/SZ-0042:main:k3:1')
  assert.deepEqual([query[0], query[2]], ['status=rejected', 'reason=late'])
  await turn()
  // The reply has said it: no acknowledgement follows.
  peer.notify('main', line(peer, 2))
  await until(() => peer.asked.at(-1)!.method === 'GET', 'the next is acknowledged')
  assert.deepEqual(peer.asked.at(-1)!.query, ['after=SZ-0042:main:k3:2'])
})

test('what is refused for now is sent again, with the same stamp; an answer of its own is taken', async (t) => {
  const { peer, client, clock } = await running(t)
  const asked = peer.asked.length
  peer.serve = (one) => {
    if (one.method !== 'POST') peer.welcome(one)
    else if (peer.asked.length === asked + 1) one.answer('5.03', { 'Max-Age': uintBytes(7) })
    else one.answerLater('2.04')
  }
  const sent = client.send('seen', 1)
  await until(() => peer.asked.length === asked + 1, 'it is refused for now')
  await settled()
  clock.advance(6_000)
  await settled()
  assert.equal(peer.asked.length, asked + 1, 'too soon')
  clock.advance(1_500)
  assert.equal((await sent).kind, 'kept')
  const [first, second, ...more] = peer.asked.slice(asked).map(({ query }) => query[0])
  assert.match(first!, /^stamp=\d+\.1$/)
  assert.equal(first, second)
  assert.deepEqual(more, [])
  assert.equal(client.state.kind, 'running')
})

test('a body in blocks whose beginning was forgotten is begun anew', async (t) => {
  const { peer, client } = await running(t)
  const asked = peer.asked.length
  const tags = new Set<string>()
  let forgot = 0
  peer.serve = (one) => {
    const block = one.option('Block1')
    if (block === undefined) return peer.welcome(one)
    tags.add(one.option('292')!.toString('hex'))
    const bits = block.length === 0 ? 0 : block.readUIntBE(0, block.length)
    if (bits >> 4 === 1 && forgot++ === 0) one.answer('4.08')
    else one.answer((bits & 8) === 0 ? '2.04' : '2.31', { Block1: block })
  }
  const sent = await client.send('large', 'x'.repeat(2_500))
  assert.equal(sent.kind, 'kept')
  assert.equal(peer.asked.length - asked, 2 + 3)
  assert.equal(tags.size, 2, 'another body is another tag')
})

test('what can never be taken is told, and the next one goes', async (t) => {
  const { peer, client } = await running(t)
  peer.serve = (one) => {
    const [code] = /[0-9]\.[0-9]{2}$/.exec(one.path) ?? []
    if (code === undefined) peer.welcome(one)
    else one.answer(code)
  }
  for (const [code, reason] of [
    ['4.00', 'refused'],
    ['4.04', 'unknown-channel'],
    ['4.09', 'stale-stamp'],
    ['4.13', 'too-large'],
  ] as const)
    assert.deepEqual(await client.send(`a-${code}`), { kind: 'failed', reason }, code)
  assert.equal((await client.send('good')).kind, 'kept')
})

test('silence ends a connection, not the session: the next observes by its token again', async (t) => {
  const made = await running(t)
  const { peer, client, clock, why } = made
  peer.serve = () => {}
  clock.advance(25_000)
  await until(() => peer.asked.at(-1)!.method === 'PUT', 'it beats')
  clock.advance(18_000)
  await until(() => client.state.kind !== 'running', 'it is lost')
  assert.deepEqual(why, ['the gateway fell silent'])
  const [before] = peer.observed.values()
  const asked = peer.asked.length
  peer.serve = (one) => peer.welcome(one)
  await again(made)
  assert.deepEqual(paths(peer.asked.slice(asked)), [
    'GET s/token/channels/main/commands ack=explicit',
  ])
  const [now] = peer.observed.values()
  assert.notDeepEqual(now, before, 'by another token: what was out is lost to us')
})

test('a session that the gateway does not know any more: a new one, by a proof', async (t) => {
  const made = await running(t)
  const { peer, client, clock } = made
  peer.serve = (one) => (one.path === 's/token' ? one.answer('4.01') : peer.welcome(one))
  clock.advance(25_000)
  await until(() => client.state.kind !== 'running', 'it hears so')
  const asked = peer.asked.length
  await again(made)
  assert.deepEqual(
    peer.asked.slice(asked).map(({ path }) => path),
    ['session', 'session', 's/token/channels/main/commands'],
  )
  // Of an earlier connection, and refused at once: made anew without a wait.
  peer.serve = () => {}
  clock.advance(25_000)
  await until(() => peer.asked.at(-1)!.method === 'PUT', 'it beats')
  clock.advance(18_000)
  await until(() => client.state.kind !== 'running', 'it is lost')
  let known = false
  peer.serve = (one) => {
    known ||= one.path === 'session'
    if (known) peer.welcome(one)
    else one.answer('4.01')
  }
  await again(made)
})

test('who is taken over waits as long as it is told, and is not gone for good', async (t) => {
  const { peer, client, clock, why } = await running(t)
  peer.notify('main', 'another link of this device is newer', { 'Max-Age': uintBytes(60) }, '5.03')
  await until(() => client.state.kind === 'waiting', 'it waits')
  assert.deepEqual(why, ['another link of this device is newer'])
  const { state } = client
  assert.ok(state.kind === 'waiting' && state.untilMs >= clock.nowMs() + 59_000, 'for a minute')
  await client.stop()
  assert.ok(
    peer.asked.every(({ method }) => method !== 'DELETE'),
    'no goodbye: the session is over',
  )
})

test('an observation the gateway lost is asked for again: it calls, or was silent for long', async (t) => {
  const { peer, clock } = await running(t)
  const asked = peer.asked.length
  peer.serve = (one) =>
    one.method === 'PUT' ? one.answer('2.04', {}, 'waiting=2') : peer.welcome(one)
  clock.advance(25_000)
  await until(() => peer.asked.length === asked + 2, 'it observes again')
  assert.ok(peer.asked.at(-1)!.option('Observe') !== undefined, 'that was none')
  peer.serve = (one) => peer.welcome(one)
  for (let n = 0; n < 11; n++) {
    await settled()
    clock.advance(25_000)
    await until(() => peer.asked.length === asked + 3 + n, 'it beats')
  }
  const beats = peer.asked.slice(asked + 2).map(({ method }) => method)
  assert.deepEqual([...new Set(beats)], ['PUT', 'GET'])
})

test('a command in blocks: one that came twice on the way does no harm, and what is gone is let go', async (t) => {
  const { peer, received } = await running(t)
  const body = `${line(peer, 1)}"${'x'.repeat(3_000)}"`
  const etag = Buffer.from('etag')
  const notify = () =>
    peer.notify('main', body.slice(0, 1_024), {
      ...{ ETag: etag, Block2: Buffer.from([0x0e]), Size2: uintBytes(body.length) },
    })
  let fetched = 0
  peer.serve = (one) => {
    const block = one.option('Block2')
    if (block === undefined) return peer.welcome(one)
    const number = block.readUIntBE(0, block.length) >> 4
    const more = (number + 1) * 1_024 < body.length
    const part = body.slice(number * 1_024, (number + 1) * 1_024)
    const options = { ETag: etag, Block2: uintBytes((number << 4) | (more ? 8 : 0) | 6) }
    one.answer('2.05', options, part)
    // The network doubles the first of them.
    if (fetched++ === 0) one.answer('2.05', options, part)
  }
  notify()
  await until(() => received.length === 1, 'it has come')
  assert.equal(received[0]!.json(), 'x'.repeat(3_000))
  await until(
    () => peer.asked.at(-1)!.query[0]?.startsWith('after=') === true,
    'it is acknowledged',
  )
  peer.serve = (one) =>
    one.option('Block2') === undefined ? peer.welcome(one) : one.answer('4.00')
  notify()
  await until(() => peer.asked.at(-1)!.option('Block2') !== undefined, 'the rest is asked for')
  peer.notify('main', line(peer, 2))
  await until(() => received.length === 2, 'the next is handed on')
})

test('a ping is reset, and whatever a port says, it only costs a connection', async (t) => {
  const made = await running(t)
  const { peer, client, clock, received } = made
  peer.send(generate({ code: '0.00', messageId: 7, confirmable: true }))
  await until(() => peer.empties.some((one) => one.messageId === 7 && one.reset), 'it is reset')
  const token = peer.observed.get('main')!
  const raw = (first: number, code: number, rest: Buffer): Buffer =>
    Buffer.concat([Buffer.from([first, code, 1, 2]), rest])
  const hostile = [
    Buffer.alloc(0),
    Buffer.from([0x40]),
    Buffer.from('ffffffffffff', 'hex'),
    raw(0x48, 0x45, Buffer.concat([token, Buffer.from('ff', 'hex')])),
    raw(0x48, 0x45, Buffer.concat([token, Buffer.from('d0', 'hex')])),
    // Block1 and Block2 of no length, and of five bytes.
    raw(0x48, 0x45, Buffer.concat([token, Buffer.from('d00a', 'hex'), Buffer.from('ff78', 'hex')])),
    raw(0x48, 0x45, Buffer.concat([token, Buffer.from('d50a0102030405ff78', 'hex')])),
    raw(0x58, 0x5f, Buffer.concat([token, Buffer.from('7f', 'hex')])),
  ]
  const bodies = ['', 'x', 'id=SZ-0042:main:k3:1\n', `${line(peer, 0)}`, 'id=&name=&expires=\n']
  const strangers = ['SZ-0043:main:k3:1', 'SZ-0042:urgent:k3:1', 'SZ-0042:main:0:1', '__proto__']
  for (const id of strangers) bodies.push(`id=${id}&name=open&expires=${peer.timeMs + 9_000}\n`)
  const tries: (() => void)[] = [
    ...hostile.map((bytes) => () => peer.send(bytes)),
    ...bodies.map((body) => () => void peer.notify('main', body)),
    () => void peer.notify('main', 'x'.repeat(1_024), { Block2: Buffer.from([0x0f]) }),
    () => void peer.notify('main', 'x'.repeat(1_024), { Block2: Buffer.alloc(4, 255) }),
    () => void peer.notify('main', 'x', { Block2: Buffer.from([0x0e]), Size2: uintBytes(9) }),
  ]
  for (const attempt of tries) {
    attempt()
    await turns(10)
    if (client.state.kind !== 'running') await again(made)
  }
  assert.equal(received.length, 0)
  peer.notify('main', line(peer, 1))
  await until(() => received.length === 1, 'it still serves')
  assert.ok(clock.nowMs() > 0, 'time went on')
})

test('an answer to a request that trips the library up, or has no end, only costs a connection', async (t) => {
  const made = await running(t)
  const { peer, client } = made
  const block = Buffer.from([0x0e])
  for (const answer of [
    (one: Asked) => one.answer('2.04', { Block1: Buffer.alloc(0) }),
    (one: Asked) => one.answer('2.04', { Block1: Buffer.alloc(5) }),
    (one: Asked) => one.answer('2.05', { Block2: Buffer.alloc(5) }),
    (one: Asked) => one.answer('2.05', { Block2: block }, Buffer.alloc(1_024)),
  ]) {
    peer.serve = (one) =>
      one.path === 's/token' || one.option('Block2') ? answer(one) : peer.welcome(one)
    made.clock.advance(25_000)
    await until(() => client.state.kind !== 'running', 'it is lost')
    peer.serve = (one) => peer.welcome(one)
    await again(made)
  }
})

test('a port where nobody listens is noticed at once', async (t) => {
  const made = await rig(t, { port: 1 })
  await until(() => made.client.state.kind === 'waiting', 'it waits')
  assert.match(made.why[0]!, /REFUSED/)
})

test('a server that is no gateway of ours, and one that asks without end', async (t) => {
  for (const [serve, why] of [
    [(one: Asked) => one.answer('4.04'), /no gateway/],
    [(one: Asked) => one.answer('4.01', { 252: Buffer.from('more') }), /again and again/],
    [(one: Asked) => one.answer('2.01'), /no gateway/],
    [(one: Asked) => one.answer('2.05'), /2\.05|no gateway|refused/],
  ] as const) {
    const made = await rig(t)
    made.peer.serve = serve
    await until(() => made.why.length > 0, 'it waits')
    assert.match(made.why[0]!, why)
    assert.ok(made.peer.asked.length <= 4, 'it asked too often')
  }
})
