import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { NewEvent } from '../../src/contract/index.ts'
import { until } from '../support/turns.ts'
import { World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open()
})
afterEach(() => world.close())

const uplink = (name: string, more: Partial<Record<string, unknown>> = {}): NewEvent =>
  ({
    kind: 'event',
    app: 'default',
    device: 'SZ-0042',
    channel: 'main',
    atMs: world.clock.nowMs(),
    name,
    payload: Buffer.from('{"door": 7}'),
    contentType: 'application/json',
    ...more,
  }) as NewEvent

const keep = (...events: NewEvent[]): Promise<unknown> =>
  new Promise((settled) => world.engine.events.append(events, settled))

const read = async (query = '', key?: string) =>
  (await world.call('GET', `/v1/events${query}`, key === undefined ? {} : { key })).body
const names = (page: { items: { name: string }[] }) => page.items.map(({ name }) => name)

test('a page starts at the oldest kept and goes on from its next', async () => {
  await keep(uplink('a'), uplink('b'), uplink('c'))
  const first = await read('?limit=2')
  assert.deepEqual([names(first), first.caughtUp], [['a', 'b'], false])
  const second = await read(`?after=${first.next}`)
  assert.deepEqual([names(second), second.caughtUp], [['c'], true])
  const third = await read(`?after=${second.next}`)
  assert.deepEqual([names(third), third.next], [[], second.next])
  await keep(uplink('d'))
  assert.deepEqual(names(await read(`?after=${third.next}`)), ['d'])
})

test('an uplink is told with its stamp, its payload as it was, and maybe as a repeat', async () => {
  await keep(uplink('door-opened', { stamp: { epoch: 9, sequence: 4 }, maybeRepeat: true }))
  const answer = await world.call('GET', '/v1/events')
  const { id, at, ...event } = answer.body.items[0]
  assert.match(id, /^[0-9a-z]+-[0-9a-z]{10}$/)
  assert.equal(Date.parse(at), world.clock.nowMs())
  assert.deepEqual(event, {
    type: 'event',
    app: 'default',
    device: 'SZ-0042',
    channel: 'main',
    name: 'door-opened',
    stamp: { epoch: 9, sequence: 4 },
    maybeRepeat: true,
    payload: { door: 7 },
  })
  assert.ok(answer.text.includes('"payload":{"door": 7}'))
})

test('a payload that claims to be JSON and is not cannot break the page it stands on', async () => {
  const broken = [
    '{"a":',
    '"}',
    `${'['.repeat(3_000)}${']'.repeat(3_000)}`,
    '\xff\xfe',
    '1 2',
    '{}}',
  ]
  await keep(
    ...broken.map((text) => uplink('bad', { payload: Buffer.from(text, 'latin1') })),
    uplink('empty', { payload: Buffer.alloc(0) }),
    uplink('lines', { payload: Buffer.from('{\n"a":\r\n1}') }),
    uplink('bytes', { payload: Buffer.from([0, 255]), contentType: 'image/png' }),
    uplink('"}],\u2028\ud800', { payload: Buffer.from('"\u2028"') }),
  )
  const { items } = await read()
  for (const [index, text] of broken.entries()) {
    assert.equal(Buffer.from(items[index].payloadBase64, 'base64').toString('latin1'), text)
    assert.equal(items[index].contentType, 'application/json')
    assert.equal('payload' in items[index], false)
  }
  const [empty, lines, bytes, quoted] = items.slice(broken.length)
  assert.deepEqual(['payload' in empty, 'payloadBase64' in empty], [false, false])
  assert.deepEqual(lines.payload, { a: 1 })
  assert.deepEqual([bytes.payloadBase64, bytes.contentType], ['AP8=', 'image/png'])
  assert.equal(quoted.payload, '\u2028')
})

test('rule 9: an outcome tells who asked, and its timeline', async () => {
  await world.device()
  const { body } = await world.send({ name: 'open', expect: 'reply' }, { key: 'key-commands' })
  await world.gateway.end('default', body.id, 'failed', {
    status: 'failed',
    reason: 'jammed',
    payload: Buffer.from('[1]'),
    contentType: 'application/json',
  })
  const { items } = await read('?type=command.ended')
  assert.equal(items.length, 1)
  assert.deepEqual(
    [items[0].command, items[0].name, items[0].status, items[0].askedBy],
    [body.id, 'open', 'failed', 'commands'],
  )
  assert.equal(items[0].timeline.at(-1).status, 'failed')
})

test('every kind of event fits its description', async () => {
  const about = { app: 'default', device: 'SZ-0042', atMs: 1_000 }
  const reply = {
    status: 'done' as const,
    reason: 'ok',
    payload: Buffer.from('{}'),
    contentType: 'application/json',
  }
  await keep(
    {
      ...about,
      channel: 'main',
      kind: 'reply',
      command: 'c',
      reply,
      stamp: { epoch: 1, sequence: 2 },
    },
    { ...about, kind: 'presence', state: 'online', protocol: 'pike' },
    { ...about, kind: 'presence', state: 'offline', reason: 'unresponsive' },
    { ...about, kind: 'command.late', command: 'c', proof: 'acknowledged' },
    { ...about, kind: 'command.late', command: 'c', proof: 'reply', reply },
    { ...about, kind: 'session.conflict', holdMs: 60_000 },
    { ...about, kind: 'position.unknown', claimed: { epoch: 5, offset: 6 } },
  )
  const { items } = await read()
  assert.deepEqual(
    items.map(({ id, app, device, at, ...rest }: Record<string, unknown>) => rest),
    [
      {
        type: 'reply',
        channel: 'main',
        command: 'c',
        status: 'done',
        reason: 'ok',
        payload: {},
        stamp: { epoch: 1, sequence: 2 },
      },
      { type: 'presence', state: 'online', protocol: 'pike' },
      { type: 'presence', state: 'offline', reason: 'unresponsive' },
      { type: 'command.late', command: 'c', proof: 'acknowledged' },
      {
        type: 'command.late',
        command: 'c',
        proof: 'reply',
        status: 'done',
        reason: 'ok',
        payload: {},
      },
      { type: 'session.conflict', hold: 60 },
      { type: 'position.unknown', claimed: { epoch: 5, offset: 6 } },
    ],
  )
})

test('filters: by device, by type, repeated or joined; the cursor passes over the rest', async () => {
  const presence = { kind: 'presence', state: 'online' } as const
  await keep(
    uplink('a'),
    uplink('b', { device: 'SZ-0043' }),
    { ...presence, app: 'default', device: 'SZ-0043', atMs: 0 },
    { kind: 'session.conflict', app: 'default', device: 'x', atMs: 0, holdMs: 1 },
  )
  const types = async (query: string) =>
    (await read(query)).items.map(({ type }: { type: string }) => type)
  assert.deepEqual(names(await read('?device=SZ-0042')), ['a'])
  assert.deepEqual(await types('?device=SZ-0043'), ['event', 'presence'])
  assert.deepEqual(await types('?type=presence'), ['presence'])
  assert.deepEqual(await types('?type=event&type=presence'), ['event', 'event', 'presence'])
  assert.deepEqual(await types('?type=event,session.conflict&device=x'), ['session.conflict'])
  const none = await read('?device=nobody')
  const all = await read()
  assert.deepEqual([none.items, none.next], [[], all.next])
})

test("rule 30: another app's events are not seen", async () => {
  await keep(uplink('mine'), uplink('theirs', { app: 'other' }))
  assert.deepEqual(names(await read('', 'key-other')), ['theirs'])
  assert.deepEqual(names(await read()), ['mine'])
})

test('rule 33: a cursor behind the oldest is 410 with the oldest, from which one may go on', async () => {
  await keep(uplink('a'))
  const { next } = await read()
  world.clock.advance(1_000)
  await keep(uplink('b'), uplink('c', { atMs: world.clock.nowMs() + 1 }))
  await world.engine.events.purge(world.clock.nowMs() + 1)
  const gone = await world.call('GET', `/v1/events?after=${next}`)
  assert.deepEqual([gone.status, gone.body.type], [410, '/problems/cursor-gone'])
  assert.deepEqual(names(await read(`?after=${gone.body.oldest}`)), ['c'])
  const unknown = await world.call('GET', '/v1/events?after=zz-0000000001')
  assert.equal(unknown.status, 410)
})

test('a long poll answers as soon as something matches', async () => {
  const { next } = await read()
  const asked = read(`?after=${next}&wait=30&device=SZ-0042`)
  await held()
  await keep(uplink('other', { device: 'SZ-0043' }))
  await keep(uplink('mine', { app: 'other' }))
  await held()
  await keep(uplink('a'))
  assert.deepEqual(names(await asked), ['a'])
  assert.deepEqual(world.clock.waiting(), [])
})

test('a long poll is over when its time is, capped, and leaves nothing behind', async () => {
  const asked = read('?wait=86400')
  await held()
  assert.deepEqual(
    world.clock.waiting().map(({ atMs }) => atMs - world.clock.nowMs()),
    [60_000],
  )
  world.clock.advance(60_000)
  assert.deepEqual((await asked).items, [])
  assert.equal(world.app.figures().calls_held, 0)
})

test('a long poll with something to tell does not wait', async () => {
  await keep(uplink('a'))
  assert.deepEqual(names(await read('?wait=60')), ['a'])
})

test('closing ends long polls', async () => {
  const asked = read('?wait=60')
  await held()
  await world.app.close()
  assert.deepEqual((await asked).items, [])
})

test('a page of large events ends early and its next goes on', async () => {
  const payload = Buffer.from(JSON.stringify('x'.repeat(48 * 1024 - 2)))
  for (let i = 0; i < 100; i++) await keep(uplink(`e${i}`, { payload }))
  const seen: string[] = []
  let pages = 0
  for (let after = '', caughtUp = false; !caughtUp; pages++) {
    const page = await read(`?limit=1000${after}`)
    seen.push(...names(page))
    after = `&after=${page.next}`
    caughtUp = page.caughtUp
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, i) => `e${i}`),
  )
  assert.equal(pages, 2)
})

/** Until a call is held. */
async function held(): Promise<void> {
  await until(() => world.app.figures().calls_held !== 0)
}
