import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { proofTranscript } from '../../../adapters/coap/login.ts'
import { deriveKeys, makeProof } from '../../../src/secrets/secrets.ts'
import { secretOf } from '../../support/adapter-subject.ts'
import {
  type Answer,
  type CoapClient,
  type Notification,
  readCommand,
  uintBytes,
  uintOf,
} from './client.ts'
import { Stage } from './stage.ts'

const nameOf = (one: Answer): string | null => readCommand(one.payload).fields.get('name')
const idOf = (one: Answer): string => readCommand(one.payload).fields.get('id')!
const nothing = Buffer.alloc(0)

/** What is notified, acknowledged at once unless told otherwise. */
function observer(acknowledges = true) {
  const heard: Notification[] = []
  const take = (one: Notification): void => {
    heard.push(one)
    if (acknowledges) one.acknowledge()
  }
  return { heard, take }
}

/** The locker, logged in. */
async function loggedIn(t: TestContext) {
  const stage = await Stage.make(t)
  const { client, line } = stage.client()
  return { stage, rig: stage.rig, client, line, session: await stage.login(client) }
}

/** And observing what is for it. */
async function observing(t: TestContext, acknowledges = true) {
  const locker = await loggedIn(t)
  const { heard, take } = observer(acknowledges)
  await locker.stage.answer(locker.client.observe(`${locker.session}/commands`, take))
  return { ...locker, heard }
}

test('the answer to a registration carries no command; each command is one notification, the next after its acknowledgement', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const first = await rig.submit({ name: 'one' })
  await rig.submit({ name: 'two' })
  const { heard, take } = observer(false)
  const answer = await stage.answer(client.observe(`${session}/commands`, take))
  assert.equal(answer.code, '2.05')
  assert.equal(answer.payload.length, 0)
  assert.ok(answer.options.has(6), 'it says that it is observed')
  await rig.until('the first is notified', () => heard.length === 1)
  await rig.calm()
  assert.deepEqual(heard.map(nameOf), ['one'])
  const status = await rig.status(first)
  assert.equal(status?.kind === 'open' && status.status, 'sent')
  heard[0]!.acknowledge()
  assert.equal((await rig.ended(first)).status, 'delivered')
  await rig.until('the second is notified', () => heard.length === 2)
  assert.deepEqual(heard.map(nameOf), ['one', 'two'])
  const [a, b] = heard.map(({ options }) => uintOf(options.get(6)))
  assert.ok((b! - a! + 2 ** 24) % 2 ** 24 > 0, 'Observe grows')
})

test('a command that was notified and not acknowledged is marked when another observation brings it', async (t) => {
  const { stage, client, session } = await loggedIn(t)
  const [before, after] = [observer(false), observer()]
  await stage.answer(client.observe(`${session}/commands`, before.take))
  const id = await stage.rig.submit()
  await stage.rig.until('it is notified', () => before.heard.length === 1)
  await stage.answer(client.observe(`${session}/commands`, after.take))
  assert.equal((await stage.rig.ended(id)).status, 'delivered')
  const all = [...before.heard, ...after.heard]
  const marks = all.map(({ payload }) => readCommand(payload).fields.has('again'))
  assert.deepEqual(marks, [false, true])
})

test('who registers again by the same token is not told a newer number than what is on its way has', async (t) => {
  const { stage, client, session } = await loggedIn(t)
  const { heard, take } = observer(false)
  const token = Buffer.from('same')
  const register = () => stage.answer(client.observe(`${session}/commands`, take, { token }))
  await register()
  const id = await stage.rig.submit()
  await stage.rig.until('it is notified', () => heard.length === 1)
  await stage.rig.pass(1_000)
  const told = uintOf((await register()).options.get(6))
  const onItsWay = uintOf(heard[0]!.options.get(6))
  assert.ok((onItsWay - told + 2 ** 24) % 2 ** 24 < 2 ** 23, `${told} looks newer than ${onItsWay}`)
  assert.notEqual(told, onItsWay)
  heard[0]!.acknowledge()
  assert.equal((await stage.rig.ended(id)).status, 'delivered')
})

test('a command that was lost on its way and has expired holds up no other, and does not mean that nobody is there', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const heard: string[] = []
  await stage.answer(
    client.observe(`${session}/commands`, (one) => {
      heard.push(nameOf(one)!)
      if (nameOf(one) !== 'lost') one.acknowledge()
    }),
  )
  const lost = await rig.submit({ name: 'lost', ttlMs: 1_000 })
  await rig.until('it is notified', () => heard.length === 1)
  const urgent = await rig.submit({ name: 'urgent', channel: 'urgent' })
  await rig.pass(500)
  assert.deepEqual(heard, ['lost'], 'one at a time')
  await rig.pass(2_600)
  assert.equal((await rig.ended(urgent)).status, 'delivered')
  assert.equal((await rig.ended(lost)).status, 'in-doubt')
  const again = await rig.submit({ name: 'lost', ttlMs: 1_000 })
  for (let i = 0; i < 10; i++) {
    await rig.pass(10_000)
    assert.equal((await stage.ask(client, 'PUT', session)).code, '2.04')
  }
  assert.equal((await rig.ended(again)).status, 'in-doubt')
  const last = await rig.submit({ name: 'last' })
  assert.equal((await rig.ended(last)).status, 'delivered')
  assert.deepEqual(heard, ['lost', 'urgent', 'lost', 'last'])
})

test('a command that was answered needs no acknowledgement before the next one goes', async (t) => {
  const { stage, rig, client, session, heard } = await observing(t, false)
  const first = await rig.submit({ name: 'first', expect: 'reply' })
  const second = await rig.submit({ name: 'second', channel: 'urgent' })
  await rig.until('the first is notified', () => heard.length === 1)
  const reply = `${session}/replies/${idOf(heard[0]!)}?status=done`
  assert.equal((await stage.ask(client, 'POST', reply)).code, '2.04')
  assert.equal((await rig.ended(first)).status, 'done')
  await rig.pass(500)
  assert.equal(heard.length, 2)
  heard[1]!.acknowledge()
  assert.equal((await rig.ended(second)).status, 'delivered')
})

test('a device whose address changes between notification and acknowledgement gets it once', async (t) => {
  const { stage, rig, client, line, session, heard } = await observing(t, false)
  const id = await rig.submit()
  await rig.until('it is notified', () => heard.length === 1)
  line.move('192.0.2.99')
  heard[0]!.acknowledge()
  await rig.calm()
  assert.equal((await rig.status(id))?.kind, 'open', 'nobody knows that address')
  assert.equal((await stage.ask(client, 'PUT', session)).code, '2.04')
  assert.equal((await rig.ended(id)).status, 'delivered')
  assert.equal(heard.length, 1)
  const next = await rig.submit({ name: 'next' })
  await rig.until('it follows', () => heard.length === 2)
  heard[1]!.acknowledge()
  assert.equal((await rig.ended(next)).status, 'delivered')
})

test('what was on its way to the address before is sent to the new one as soon as that is proven', async (t) => {
  const { stage, rig, client, line, session, heard } = await observing(t, false)
  await rig.submit({ payload: Buffer.alloc(600, 'x') })
  const large = () => stage.network.sentTo(line.peer).filter(({ length }) => length > 600).length
  // Sent at once, and after 2 to 3 s; the next would be 4 to 6 s later.
  await rig.pass(3_100)
  assert.deepEqual([heard.length, large()], [1, 2])
  line.move('192.0.2.99')
  assert.equal((await stage.ask(client, 'PUT', session)).code, '2.04')
  await rig.pass(500)
  assert.equal(large(), 1, 'three times what came from there would not have held it')
})

test('notifications go on after a restart, by the same token, and nobody asked', async (t) => {
  const { stage, rig, client, session, heard } = await observing(t)
  await rig.ended(await rig.submit({ name: 'before' }))
  await rig.crash()
  const id = await rig.submit({ name: 'after' })
  assert.equal((await rig.ended(id)).status, 'delivered')
  assert.deepEqual(heard.map(nameOf), ['before', 'after'])
  const [a, b] = heard.map(({ options }) => uintOf(options.get(6)))
  const ahead = (b! - a! + 2 ** 24) % 2 ** 24
  assert.ok(ahead > 0 && ahead < 2 ** 23, 'Observe grows over the restart')
  assert.equal((await stage.ask(client, 'PUT', session)).code, '2.04', 'the session is known')
})

test('when the gateway stops, who waits is told, what was reported is answered, and observers are left alone', async (t) => {
  const stage = await Stage.make(t)
  const { rig } = stage
  await rig.register('poller')
  const { client } = stage.client()
  const session = await stage.login(client)
  const { heard, take } = observer()
  await stage.answer(client.observe(`${session}/commands`, take))
  const other = stage.client('192.0.2.2').client
  const polling = await stage.login(other, '', 'poller')
  const polled = other.ask('GET', `${polling}/commands?wait=30`)
  await rig.calm()
  const reported = client.ask('POST', `${session}/events/door`, { payload: '{}' })
  await rig.until('it came', () => stage.figures.requests_total! >= 5)
  let stopped = false
  void stage.adapter.stop(1_000).then(() => {
    stopped = true
  })
  assert.equal((await stage.answer(reported)).code, '2.04')
  const { code, options } = await stage.answer(polled)
  assert.deepEqual([code, uintOf(options.get(14)) <= 1], ['5.03', true])
  await rig.until('it has stopped', () => stopped)
  assert.equal(heard.length, 0)
  assert.equal((await rig.events('event')).length, 1)
})

test('a reset ends the observation, and the command stays queued for who asks again', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const { heard, take } = observer(false)
  await stage.answer(client.observe(`${session}/commands`, take))
  const id = await rig.submit()
  await rig.until('it is notified', () => heard.length === 1)
  heard[0]!.reset()
  await rig.until('nobody listens', () => rig.hub.figures().sessions === 0)
  assert.equal((await rig.status(id))?.kind, 'open')
  const again = observer()
  await stage.answer(client.observe(`${session}/commands`, again.take))
  assert.equal((await rig.ended(id)).status, 'delivered')
  assert.ok(readCommand(again.heard[0]!.payload).fields.has('again'), 'it may have come before')
})

test('who stops observing gets nothing more', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const { heard, take } = observer()
  const token = Buffer.from('0badcafe', 'hex')
  await stage.answer(client.observe(`${session}/commands`, take, { token }))
  const options = [[6, uintBytes(1)]] as const
  const answer = await stage.answer(client.ask('GET', `${session}/commands`, { token, options }))
  assert.deepEqual([answer.code, answer.payload.length, answer.options.has(6)], ['2.05', 0, false])
  await rig.submit()
  await rig.calm()
  assert.equal(heard.length, 0)
  assert.equal(rig.hub.presence('default', 'locker').state, 'offline')
})

test('a silent observer gets at most twelve datagrams in a minute, is suspect, then offline, and goes on when it speaks', async (t) => {
  const { stage, rig, client, line, session } = await loggedIn(t)
  const { heard, take } = observer()
  await stage.answer(client.observe(`${session}/channels/main/commands`, take))
  await stage.answer(client.observe(`${session}/channels/urgent/commands`, take))
  client.mute()
  const before = stage.network.sentTo(line.peer).length
  const ids = [await rig.submit(), await rig.submit({ channel: 'urgent' })]
  const states = new Set<string>()
  for (let i = 0; i < 60; i++) {
    await rig.pass(1_000)
    states.add(rig.hub.presence('default', 'locker').state)
  }
  assert.deepEqual([...states], ['online', 'suspect', 'offline'])
  const sent = stage.network.sentTo(line.peer).length - before
  assert.ok(sent <= 12, `${sent} datagrams`)
  client.unmute()
  await stage.ask(client, 'PUT', session)
  for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
  assert.equal(heard.length, 2)
})

test('a command larger than a block counts by `after` or its reply, not by the first block', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const path = `${session}/commands`
  const { heard, take } = observer()
  await stage.answer(client.observe(path, take))
  const payload = Buffer.from(JSON.stringify('x'.repeat(3_000)))
  const large = await rig.submit({ name: 'large', payload })
  await rig.until('its first block is there', () => heard.length === 1)
  await rig.calm()
  assert.equal((await rig.status(large))?.kind, 'open')
  assert.equal(
    uintOf(heard[0]!.options.get(28)),
    heard[0]!.payload.length + 3_002 - (1_024 - (heard[0]!.payload.indexOf('\n') + 1)),
  )
  const fetched: { body?: Buffer } = {}
  void client.fetch(path, heard[0]!).then((body) => {
    fetched.body = body
  })
  await rig.until('it is fetched', () => fetched.body !== undefined)
  assert.ok(readCommand(fetched.body!).payload.equals(payload), 'unharmed')
  assert.equal((await rig.status(large))?.kind, 'open')
  await stage.ask(client, 'GET', `${path}?after=${large}`)
  assert.equal((await rig.ended(large)).status, 'delivered')
  const replied = await rig.submit({ name: 'replied', payload, expect: 'reply' })
  await rig.until('the next is there', () => heard.length === 2)
  assert.notDeepEqual(heard[0]!.options.get(4), heard[1]!.options.get(4), 'another ETag')
  await stage.ask(client, 'POST', `${session}/replies/${replied}`)
  assert.equal((await rig.ended(replied)).status, 'done')
  const next = await rig.submit({ name: 'next' })
  assert.equal((await rig.ended(next)).status, 'delivered')
})

test('who asked for explicit acknowledgement says by itself what it has, over a restart too', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const path = `${session}/channels/main/commands`
  const { heard, take } = observer()
  const wrong = await stage.answer(client.observe(`${path}?ack=later`, take))
  assert.equal(wrong.code, '4.00')
  const askedAtMs = rig.clock.nowMs()
  const told = await stage.answer(client.observe(`${path}?ack=explicit`, take))
  const timeMs = told.options.get(65_008)!.readUIntBE(0, 6)
  assert.ok(timeMs >= Math.floor(askedAtMs) && timeMs <= rig.clock.nowMs(), 'it tells the time')
  const ids = [await rig.submit({ name: 'one' }), await rig.submit({ name: 'two' })]
  await rig.until('the first is notified', () => heard.length === 1)
  await rig.calm()
  for (let seconds = 0; seconds < 120; seconds += 2) {
    rig.clock.advance(2_000)
    await rig.calm()
  }
  // The stack has acknowledged it, which is no word of the application: nothing is repeated, nothing delivered.
  assert.deepEqual(heard.map(nameOf), ['one'])
  const status = await rig.status(ids[0]!)
  assert.equal(status?.kind === 'open' && status.status, 'sent')
  await stage.ask(client, 'GET', `${path}?after=${ids[0]}`)
  assert.equal((await rig.ended(ids[0]!)).status, 'delivered')
  await rig.until('the second is notified', () => heard.length === 2)
  await rig.crash()
  await rig.until('it comes again', () => heard.length === 3)
  await rig.calm()
  assert.deepEqual(heard.map(nameOf), ['one', 'two', 'two'])
  assert.equal(
    (await rig.status(ids[1]!))?.kind,
    'open',
    'the gateway forgot how it is acknowledged',
  )
  const replied = await rig.submit({ name: 'three', expect: 'reply' })
  await stage.ask(client, 'GET', `${path}?after=${ids[1]}`)
  assert.equal((await rig.ended(ids[1]!)).status, 'delivered')
  await rig.until('the third is notified', () => heard.length === 4)
  await stage.ask(client, 'POST', `${session}/replies/${replied}`)
  assert.equal((await rig.ended(replied)).status, 'done')
})

test('a scheduled command says where it lies, and is answered by that too', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const path = `${session}/channels/main/commands`
  const { heard, take } = observer()
  await stage.answer(client.observe(`${path}?ack=explicit`, take))
  const plain = await rig.submit({ name: 'plain' })
  await rig.until('a plain one is notified', () => heard.length === 1)
  assert.ok(!readCommand(heard[0]!.payload).fields.has('at'), 'its id says it')
  await stage.ask(client, 'GET', `${path}?after=${plain}`)
  const notBeforeMs = rig.clock.nowMs() + 5_000
  const first = await rig.submit({ name: 'later', notBeforeMs })
  const second = await rig.submit({ name: 'later', expect: 'reply', notBeforeMs })
  rig.clock.advance(5_000)
  await rig.until('it is notified', () => heard.length === 2)
  const placed = (one: Notification) => `locker:main:${readCommand(one.payload).fields.get('at')}`
  assert.notEqual(placed(heard[1]!), first)
  await stage.ask(client, 'GET', `${path}?after=${placed(heard[1]!)}`)
  assert.equal((await rig.ended(first)).status, 'delivered')
  await rig.until('the next is notified', () => heard.length === 3)
  await stage.ask(client, 'POST', `${session}/replies/${placed(heard[2]!)}`)
  assert.equal((await rig.ended(second)).status, 'done')
  const last = await rig.submit({ name: 'last' })
  await rig.until('the channel goes on', () => heard.length === 4)
  await stage.ask(client, 'GET', `${path}?after=${last}`)
  assert.equal((await rig.ended(last)).status, 'delivered')
})

test('a device that asks for small blocks gets them', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const { heard, take } = observer()
  const options = [[23, uintBytes(2)]] as const
  await stage.answer(client.observe(`${session}/commands`, take, { options }))
  await rig.submit({ payload: Buffer.from('"'.padEnd(200, 'x')) })
  await rig.until('it is there', () => heard.length === 1)
  assert.equal(heard[0]!.payload.length, 64)
})

test('a device that polls gets one after the other, the same again until it says after', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const path = `${session}/commands`
  assert.equal((await stage.ask(client, 'GET', path)).payload.length, 0)
  const ids = [await rig.submit({ name: 'one' }), await rig.submit({ name: 'two' })]
  const one = await stage.ask(client, 'GET', path)
  assert.equal(nameOf(one), 'one')
  const again = await stage.ask(client, 'GET', path)
  assert.equal(idOf(again), ids[0])
  const marks = [one, again].map(({ payload }) => readCommand(payload).fields.has('again'))
  assert.deepEqual(marks, [false, true], 'the second time it says that it came before')
  assert.notDeepEqual(one.options.get(4), again.options.get(4), 'its ETag is that of its body')
  const two = await stage.ask(client, 'GET', `${path}?after=${ids[0]}`)
  assert.equal(nameOf(two), 'two')
  assert.equal((await rig.ended(ids[0]!)).status, 'delivered')
  await rig.crash()
  const rest = await stage.ask(client, 'GET', `${path}?after=${ids[1]}`)
  assert.equal(rest.payload.length, 0, 'what was acknowledged over a restart does not come again')
  assert.equal((await rig.ended(ids[1]!)).status, 'delivered')
  await rig.pass(6_000)
  assert.equal(rig.hub.presence('default', 'locker').state, 'offline')
})

test('a poll that waits is answered when a command comes, and a sleeping one is asleep', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const asked = client.ask('GET', `${session}/commands?wait=20&sleep=300`)
  await rig.pass(3_000)
  const id = await rig.submit()
  assert.equal(idOf(await stage.answer(asked)), id)
  await rig.pass(6_000)
  assert.equal(rig.hub.presence('default', 'locker').state, 'asleep')
})

test('a `now` that was given once to a poll is not given again', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const asked = client.ask('GET', `${session}/commands?wait=20`)
  await rig.calm()
  const id = await rig.submit({ delivery: 'now' })
  assert.equal(idOf(await stage.answer(asked)), id)
  assert.equal((await stage.ask(client, 'GET', `${session}/commands`)).payload.length, 0)
})

test('a device that only reports hears how many commands wait', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const report = async () =>
    (await stage.ask(client, 'POST', `${session}/events/door`, '{}')).payload.toString()
  assert.equal(await report(), '')
  await rig.submit()
  await rig.submit()
  await rig.pass(1_000)
  assert.equal(await report(), 'waiting=2')
  assert.equal((await stage.ask(client, 'PUT', session)).payload.toString(), 'waiting=2')
  const refused = await stage.ask(client, 'POST', `${session}/replies/none?status=perhaps`, '{}')
  assert.match(refused.payload.toString(), /^\?status= is/, 'what is wrong is said instead')
  await stage.answer(client.observe(`${session}/commands`, observer().take))
  await rig.pass(1_000)
  assert.equal(await report(), '', 'who observes knows')
})

test('a device that owes a reply is not called for it', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  const id = await rig.submit({ expect: 'reply' })
  const given = await stage.ask(client, 'GET', `${session}/commands`)
  assert.equal(idOf(given), id)
  await stage.ask(client, 'GET', `${session}/commands?after=${id}`)
  await rig.pass(1_000)
  const answer = await stage.ask(client, 'PUT', session)
  assert.equal(answer.payload.toString(), '', 'it has all there is')
})

test('both channels come over one observation, one notification after the other', async (t) => {
  const { rig, heard } = await observing(t, false)
  await rig.submit({ name: 'main' })
  await rig.until('one is there', () => heard.length === 1)
  await rig.submit({ name: 'urgent', channel: 'urgent' })
  await rig.submit({ name: 'later' })
  await rig.calm()
  assert.equal(heard.length, 1)
  heard[0]!.acknowledge()
  await rig.until('the next is there', () => heard.length === 2)
  assert.equal(nameOf(heard[1]!), 'urgent', 'the urgent one goes first')
  heard[1]!.acknowledge()
  await rig.until('the last is there', () => heard.length === 3)
})

test('from elsewhere a secret is not taken: a proof over an Echo is (rule 32)', async (t) => {
  const stage = await Stage.make(t, false)
  const { client, line } = stage.client('192.0.2.7')
  const path = 'session?device=locker'
  const bare = await stage.ask(client, 'POST', path, secretOf('locker'))
  assert.equal(bare.code, '4.01')
  const echo = bare.options.get(252)!
  const keys = await deriveKeys(secretOf('locker'), 'default', 'locker', 'hkdf')
  const proof = makeProof(keys, proofTranscript('default', 'locker', echo))
  const ask = (payload: Buffer, value: Buffer) =>
    stage.ask(client, 'POST', `${path}&proof=hkdf`, payload, [[252, value]])
  assert.equal((await ask(Buffer.alloc(32), echo)).code, '4.01', 'a proof that is none')
  line.move('192.0.2.8')
  assert.ok((await ask(proof, echo)).options.has(252), 'an Echo of another address: a new one')
  line.move('192.0.2.7')
  assert.equal((await ask(proof, echo)).code, '2.01')
  await stage.rig.pass(61_000)
  assert.ok((await ask(proof, echo)).options.has(252), 'one that is too old: a new one')
  const here = stage.client('127.0.0.1')
  assert.equal((await stage.ask(here.client, 'POST', path, secretOf('locker'))).code, '2.01')
})

test('an address that proved nothing gets at most three times what came from it', async (t) => {
  const stage = await Stage.make(t, true)
  const { rig, network } = stage
  const { client, line } = stage.client('198.51.100.1')
  const total = () => network.sentTo(line.peer).reduce((sum, { length }) => sum + length, 0)
  const session = await stage.login(client)
  await stage.answer(client.observe(`${session}/commands`, observer(false).take))
  client.mute()
  const payload = Buffer.from(JSON.stringify('x'.repeat(900)))
  await rig.submit({ payload })
  await rig.pass(120_000)
  assert.ok(total() <= 3 * line.sentBytes, `${total()} bytes for ${line.sentBytes}`)
  for (const path of ['.well-known/core', 'nothing', 's/none/commands', 'session?device=locker']) {
    const stranger = stage.client(`198.51.100.${path.length}`)
    void stranger.client.ask('GET', path, { confirmable: false })
    await rig.calm()
    const sent = network.sentTo(stranger.line.peer).reduce((sum, { length }) => sum + length, 0)
    assert.ok(sent > 0 && sent <= 3 * stranger.line.sentBytes, `${path}: ${sent}`)
  }
})

test('what is answered later goes again to an address that proved nothing within three times, too', async (t) => {
  const stage = await Stage.make(t)
  const { rig, network } = stage
  const { client, line } = stage.client('198.51.100.1')
  const session = await stage.login(client)
  // Somebody who has the token says to be the victim.
  line.move('198.51.100.2')
  line.sentBytes = 0
  void client.ask('GET', `${session}/commands?wait=20`)
  client.mute()
  await rig.pass(1_000)
  await rig.submit({ payload: Buffer.from(JSON.stringify('x'.repeat(20))) })
  await rig.pass(120_000)
  const sent = network.sentTo(line.peer).reduce((sum, { length }) => sum + length, 0)
  assert.ok(sent > line.sentBytes && sent <= 3 * line.sentBytes, `${sent} for ${line.sentBytes}`)
})

test('one device that begins many bodies leaves room for those of others', async (t) => {
  const { stage, client, session } = await loggedIn(t)
  const begin = (who: CoapClient, path: string, tag: number) =>
    stage.ask(who, 'POST', `${path}/events/large`, Buffer.alloc(1_024), [
      [27, uintBytes(0x0e)],
      [292, uintBytes(tag)],
    ])
  for (let tag = 1; tag <= 20; tag++) assert.equal((await begin(client, session, tag)).code, '2.31')
  assert.equal(stage.figures.uploads, 8, 'the oldest of its own go')
  const last = await stage.ask(client, 'POST', `${session}/events/large`, 'end', [
    [27, uintBytes(0x16)],
    [292, uintBytes(20)],
  ])
  assert.equal(last.code, '2.04')
  const first = await stage.ask(client, 'POST', `${session}/events/large`, 'end', [
    [27, uintBytes(0x16)],
    [292, uintBytes(1)],
  ])
  assert.equal(first.code, '4.08')
})

test('a new address is asked for proof before it gets much, and gets it then', async (t) => {
  const { rig, heard } = await observing(t)
  const id = await rig.submit({ payload: Buffer.from(JSON.stringify('x'.repeat(900))) })
  assert.equal((await rig.ended(id)).status, 'delivered')
  assert.equal(heard.length, 1)
})

test('a session ends with the secret it was made by, with its device, and with its goodbye', async (t) => {
  const { stage, rig, client, session } = await loggedIn(t)
  assert.equal((await stage.ask(client, 'DELETE', session)).code, '2.02')
  assert.equal((await stage.ask(client, 'PUT', session)).code, '4.01')
  const second = await stage.login(client)
  await rig.hub.removeDevice('default', 'locker')
  await rig.register()
  const made = await rig.engine.names.device('default', 'locker')
  await rig.engine.names.putDevice({ ...made!, credentials: [] })
  assert.equal((await stage.ask(client, 'POST', `${second}/events/x`, '1')).code, '4.01')
})

test('a device keeps four sessions; the longest silent goes', async (t) => {
  const stage = await Stage.make(t)
  const { client } = stage.client()
  const sessions: string[] = []
  for (let i = 0; i < 6; i++) {
    sessions.push(await stage.login(client))
    await stage.rig.pass(1_000)
  }
  assert.equal(stage.figures.sessions, 4)
  assert.equal((await stage.ask(client, 'PUT', sessions[0]!)).code, '4.01')
  assert.equal((await stage.ask(client, 'PUT', sessions[5]!)).code, '2.04')
})

test('a session that was silent for a week is forgotten', async (t) => {
  const stage = await Stage.make(t)
  const { client } = stage.client()
  await stage.login(client)
  await stage.rig.pass(7 * 24 * 3_600_000 + 10_000)
  await stage.rig.pass(10_000)
  assert.equal(stage.figures.sessions, 0)
  const left = await stage.rig.hub.shelf.list('adapters/coap/sessions', { limit: 10 })
  assert.deepEqual(left.items, [])
})

test('what is wrong is said in the words of CoAP', async (t) => {
  const { stage, client, session } = await loggedIn(t)
  const cases: readonly (readonly [
    code: string,
    method: string,
    path: string,
    payload?: Buffer | string,
    options?: readonly (readonly [number, Buffer | string | number])[],
  ])[] = [
    ['4.04', 'GET', 'nowhere'],
    ['4.05', 'GET', 'session?device=locker'],
    ['4.00', 'POST', 'session?device=no/device'],
    ['4.00', 'POST', 'session?device=locker&keepalive=soon', 'x'],
    ['4.01', 'POST', 'session?device=locker', 'wrong'],
    ['4.01', 'GET', 's/AAAAAAAAAAAAAAAAAAAAAA/commands'],
    ['4.02', 'PUT', session, '', [[13, 'critical']]],
    ['2.04', 'PUT', session, '', [[14, 'elective and far too long']]],
    ['4.02', 'PUT', session, '', [[5, '']]],
    [
      '4.02',
      'GET',
      `${session}/commands`,
      '',
      [
        [27, uintBytes(6)],
        [27, uintBytes(6)],
      ],
    ],
    ['4.02', 'GET', `${session}/commands`, '', [[23, Buffer.alloc(4, 1)]]],
    ['5.05', 'GET', `${session}/commands`, '', [[35, 'coap://elsewhere/']]],
    ['4.00', 'GET', `${session}/commands`, '', [[23, uintBytes(7)]]],
    ['4.00', 'GET', `${session}/commands`, '', [[23, uintBytes(0x16)]]],
    ['4.00', 'GET', `${session}/commands?after=nothing`],
    ['4.00', 'GET', `${session}/commands?after=other:main:1:1`],
    ['4.06', 'GET', `${session}/commands`, '', [[17, uintBytes(50)]]],
    ['4.04', 'GET', `${session}/channels/media/commands`],
    ['4.04', 'POST', `${session}/channels/media/events/x`, '1'],
    ['4.04', 'POST', `${session}/channels/__proto__/events/x`, '1'],
    ['4.05', 'PUT', `${session}/commands`],
    ['4.05', 'GET', `${session}/events/x`],
    ['4.00', 'POST', `${session}/events/${'x'.repeat(129)}`, '1'],
    ['4.00', 'POST', `${session}/events/x?stamp=1`, '1'],
    ['4.00', 'POST', `${session}/replies/locker:main:1:1?status=well`, '1'],
    ['4.04', 'POST', `${session}/replies/locker:main:1:1`, '1'],
    ['4.15', 'POST', `${session}/events/x`, '1', [[12, uintBytes(9_999)]]],
    ['4.08', 'POST', `${session}/events/x`, 'x', [[27, uintBytes(0x16)]]],
    ['4.00', 'POST', `${session}/events/x`, 'x', [[27, uintBytes(0x0e)]]],
    [
      '4.13',
      'POST',
      `${session}/events/x`,
      Buffer.alloc(1_024),
      [
        [27, uintBytes(0x0e)],
        [60, uintBytes(50_000)],
      ],
    ],
    ['4.13', 'POST', `${session}/events/x`, Buffer.alloc(50_000)],
    ['4.05', 'PATCH', session],
    ['4.05', 'FETCH', `${session}/commands`],
  ]
  for (const [code, method, path, payload = nothing, options = []] of cases) {
    const answer = await stage.ask(client, method, path, payload, options)
    assert.equal(answer.code, code, `${method} ${path}: ${answer.payload}`)
  }
  assert.equal((await stage.ask(client, 'PUT', session)).code, '2.04')
  assert.equal(stage.figures.failed_total, 0)
})

test('an event in blocks is kept once, whatever is sent again, and its blocks need no token', async (t) => {
  const { stage, client, session } = await loggedIn(t)
  const path = `${session}/events/large`
  const body = Buffer.alloc(2_500, 'b')
  const send = (index: number, tag: number) =>
    stage.ask(client, 'POST', path, body.subarray(index * 1_024, (index + 1) * 1_024), [
      [27, uintBytes((index << 4) | (index < 2 ? 8 : 0) | 6)],
      [292, uintBytes(tag)],
    ])
  assert.equal((await send(0, 1)).code, '2.31')
  assert.equal((await send(0, 2)).code, '2.31', 'another body beside it')
  assert.equal((await send(1, 1)).code, '2.31')
  assert.equal((await send(1, 1)).code, '2.31', 'its answer was lost')
  assert.equal((await send(2, 2)).code, '4.08', 'a block is missing')
  assert.equal((await send(2, 1)).code, '2.04')
  const [event] = await stage.rig.events('event')
  assert.ok(event?.kind === 'event' && body.equals(event.payload), 'unharmed')
  await send(0, 3)
  assert.equal(stage.figures.uploads, 1)
  await stage.rig.pass(93_000)
  assert.equal(stage.figures.uploads, 0)
  assert.equal(stage.figures.uploads_bytes, 0)
})
