import assert from 'node:assert/strict'
import { test } from 'node:test'
import { httpRig } from './rig.ts'

const names = (answer: { readonly items: readonly { readonly name: string }[] }) =>
  answer.items.map(({ name }) => name)

test('a first poll without `after` acknowledges nothing; what was handed over comes again, marked (rule 24)', async (t) => {
  const { rig, poll } = await httpRig(t)
  const id = await rig.submit({ name: 'one' })
  const first = await poll('channel=main&wait=5')
  assert.deepEqual(names(first), ['one'])
  assert.equal(first.items[0]!.repeated, undefined)
  const again = await poll('channel=main&wait=5')
  assert.deepEqual([names(again), again.items[0]!.repeated], [['one'], true])
  assert.equal((await rig.status(id))?.kind, 'open')
  await poll(`channel=main&epoch=${again.epoch}&after=${again.after}`)
  assert.equal((await rig.ended(id)).status, 'delivered')
})

test('a repeated batch omits `now`, which is in doubt by that (rules 5, 24)', async (t) => {
  const { rig, poll } = await httpRig(t)
  await poll('channel=main')
  const now = await rig.submit({ name: 'now', delivery: 'now' })
  const queued = await rig.submit({ name: 'queued' })
  const first = await poll('channel=main&wait=5')
  assert.equal(first.items[0]!.name, 'now')
  const again = await poll('channel=main&wait=5')
  assert.deepEqual(names(again), ['queued'])
  assert.equal((await rig.ended(now)).status, 'in-doubt')
  await poll(`channel=main&epoch=${again.epoch}&after=${again.after}`)
  assert.equal((await rig.ended(queued)).status, 'delivered')
})

test('`after` beyond what was sent is 409, and says where it stands (rule 24)', async (t) => {
  const { rig, poll, ask } = await httpRig(t)
  const { epoch } = await poll('channel=main')
  const id = await rig.submit()
  const answer = await poll('channel=main&wait=5')
  const far = Number(answer.after) + 7
  const refused = await ask(`/device/v1/commands?channel=main&epoch=${answer.epoch}&after=${far}`)
  assert.equal(refused.status, 409)
  const problem = refused.json() as { type: string; epoch: string }
  assert.equal(problem.type, '/problems/not-sent')
  assert.equal(problem.epoch, answer.epoch)
  assert.equal((await rig.status(id))?.kind, 'open', epoch)
})

test('an answer given up for lost that comes after all counts, whatever was handed over since', async (t) => {
  const { rig, poll } = await httpRig(t)
  const ids = [await rig.submit({ name: 'one' }), await rig.submit({ name: 'two' })]
  const late = await poll('channel=main')
  assert.deepEqual(names(late), ['one', 'two'])
  assert.deepEqual(names(await poll('channel=main&max=1')), ['one'])
  const { epoch, after } = late
  assert.deepEqual(names(await poll(`channel=main&max=1&epoch=${epoch}&after=${after}`)), [])
  for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
})

test('a device whose answer got lost is no new one: it is answered where new ones are sent away', async (t) => {
  const { rig, poll, ask } = await httpRig(t)
  await rig.submit({ name: 'one' })
  await poll('channel=main')
  rig.hub.press(1)
  assert.deepEqual(names(await poll('channel=main')), ['one'])
  assert.equal((await ask('/device/v1/commands?channel=urgent')).status, 503)
  rig.hub.press(0)
})

test('an answer is of one channel, and its epoch names it; copied back, it is understood', async (t) => {
  const { rig, poll } = await httpRig(t)
  await poll()
  const main = await rig.submit({ name: 'main' })
  const urgent = await rig.submit({ name: 'urgent', channel: 'urgent' })
  const got: string[] = []
  let position = ''
  for (let i = 0; i < 3; i++) {
    const answer = await poll(`wait=1${position}`)
    got.push(...names(answer))
    const last = answer.items.at(-1)
    // What a device does that has read no more than the first page of the documents.
    if (last !== undefined) position = `&epoch=${answer.epoch}&after=${last.offset}`
  }
  assert.deepEqual(got.sort(), ['main', 'urgent'])
  for (const id of [main, urgent]) assert.equal((await rig.ended(id)).status, 'delivered')
})

test('a device that acknowledges nothing still gets what another channel has', async (t) => {
  const { rig, poll } = await httpRig(t)
  await rig.submit({ name: 'urgent', channel: 'urgent' })
  await rig.submit({ name: 'main' })
  const got = new Set([...names(await poll('wait=1')), ...names(await poll('wait=1'))])
  assert.deepEqual([...got].sort(), ['main', 'urgent'])
})

test('positions of two channels, said at once, go on in both', async (t) => {
  const { rig, poll } = await httpRig(t)
  const ids = [await rig.submit({ name: 'a' }), await rig.submit({ name: 'b', channel: 'urgent' })]
  const one = await poll('wait=1')
  const two = await poll(`wait=1&epoch=${one.epoch}&after=${one.after}`)
  await rig.pass(6_000)
  await poll(`epoch=${one.epoch},${two.epoch}&after=${one.after},${two.after}`)
  for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
})

test('between polls it is online for 5 s, then offline; a `now` finds no link then (rules 5, 22)', async (t) => {
  const { rig, poll } = await httpRig(t)
  await poll()
  const state = () => rig.hub.presence('default', 'locker').state
  await rig.pass(3_000)
  assert.equal(state(), 'online')
  await rig.pass(3_000)
  assert.equal(state(), 'offline')
  assert.equal((await rig.ended(await rig.submit({ delivery: 'now' }))).reason, 'no-link')
})

test('a command that lies in hand past its deadline is never handed over (rule 2)', async (t) => {
  const { rig, poll } = await httpRig(t)
  await poll('channel=main')
  // Nobody waits: it is taken for the next poll.
  const id = await rig.submit({ ttlMs: 1_000 })
  await rig.pass(2_000)
  assert.deepEqual(names(await poll('channel=main&wait=1')), [])
  const ended = await rig.ended(id)
  assert.ok(['expired', 'in-doubt'].includes(ended.status), ended.status)
})

test('the first of two polls is told that it was taken over, and when to come back (rule 18)', async (t) => {
  const { rig, client, poll } = await httpRig(t)
  const first = client.ask('/device/v1/commands?channel=main&wait=30')
  let answered: Awaited<typeof first> | undefined
  first.then(
    (said) => {
      answered = said
    },
    () => {},
  )
  await rig.until('it waits', () => rig.hub.presence('default', 'locker').state === 'online')
  const second = poll('channel=main&wait=3')
  await rig.until('the first is told', () => answered !== undefined)
  assert.equal(answered!.status, 409)
  assert.equal((answered!.json() as { type: string }).type, '/problems/taken-over')
  assert.equal(answered!.headers['retry-after'], '60')
  await second
})

test('a late goodbye names its receiver, and ends no newer one', async (t) => {
  const { rig, poll, ask } = await httpRig(t)
  const bye = async (receiver: string) => {
    const query = `receiver=${encodeURIComponent(receiver)}`
    assert.equal((await ask(`/device/v1/commands?${query}`, { method: 'DELETE' })).status, 204)
    return rig.hub.presence('default', 'locker').state
  }
  const older = await poll('wait=0')
  assert.equal((await poll('wait=0')).receiver, older.receiver, 'it goes on')
  await rig.pass(6_000)
  const newer = await poll('wait=0')
  assert.notEqual(newer.receiver, older.receiver)
  assert.equal(await bye(older.receiver), 'online')
  assert.equal(await bye('__proto__'), 'online')
  assert.equal(await bye(''), 'online')
  assert.equal(await bye(newer.receiver), 'offline')
  assert.equal(await bye(newer.receiver), 'offline')
})

test('`max` bounds an answer; acks between polls count; goodbye is at once', async (t) => {
  const { rig, poll, ask } = await httpRig(t)
  const ids = [await rig.submit({ name: 'a' }), await rig.submit({ name: 'b' })]
  const one = await poll('channel=main&wait=1&max=1')
  assert.deepEqual(names(one), ['a'])
  const post = { method: 'POST' }
  const ack = `/device/v1/acks?epoch=${one.epoch}&upTo=${one.after}`
  assert.equal((await ask(ack, post)).status, 204)
  assert.equal((await rig.ended(ids[0]!)).status, 'delivered')
  const two = await poll(`channel=main&wait=1&max=1`)
  assert.deepEqual(names(two), ['b'])
  assert.equal((await ask('/device/v1/acks?epoch=1&upTo=99', post)).status, 409)
  assert.equal((await ask('/device/v1/acks', post)).status, 204)
  assert.equal((await ask('/device/v1/commands', { method: 'DELETE' })).status, 204)
  assert.equal(rig.hub.presence('default', 'locker').state, 'offline')
  assert.equal((await ask(ack, post)).status, 409)
})
