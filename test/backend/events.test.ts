import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CursorGone, PikeProblem, PikeUnreachable } from '../../src/backend/index.ts'
import { startGateway } from '../support/gateway-process.ts'
import { until } from '../support/turns.ts'
import { broken, fakeGateway, type Heard, problem } from './fake-gateway.ts'
import { pikeFor } from './pike.ts'

type Answer = Parameters<typeof fakeGateway>[0]

const event = (number: number) => ({
  id: `a-${number}`,
  type: 'presence',
  app: 'default',
  device: 'SZ-1',
  at: '2026-11-21T09:00:00.000Z',
  state: 'online',
})
const block = (number: number): string =>
  `id: a-${number}\nevent: presence\ndata: ${JSON.stringify(event(number))}\n\n`

/** Sends this much, and then nothing, or its end. */
const stream =
  (text: string, then: 'end' | 'silence'): Answer =>
  (_heard, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(text)
    if (then === 'end') response.end()
  }

const cursors = (heard: readonly Heard[]) => heard.map(({ headers }) => headers['last-event-id'])

test('a stream that breaks, ends, falls silent or is refused for a moment is opened again where it was', async (t) => {
  const fake = await fakeGateway(
    stream(`retry: 1000\nid: a-0\n\n${block(1)}`, 'end'),
    broken,
    problem(503, 'too-many-streams', {}, { 'retry-after': '0' }),
    stream(`${block(2)}: heartbeat\nid: a-5\n\n`, 'silence'),
    stream(`${block(6)}id: a-7\nevent: presence\ndata: {"cut`, 'end'),
    stream(block(7), 'silence'),
  )
  t.after(() => fake.stop())
  const reasons: string[] = []
  const follower = fake.pike().events({
    device: 'SZ-1',
    type: ['presence', 'reply'],
    tag: 'berlin',
    silentMs: 50,
    onReconnect: ({ error }) => reasons.push((error as Error).message),
  })
  const seen: string[] = []
  for await (const { id } of follower) {
    seen.push(id)
    if (id === 'a-7') break
  }
  assert.deepEqual(seen, ['a-1', 'a-2', 'a-6', 'a-7'])
  assert.deepEqual(cursors(fake.heard), [undefined, 'a-1', 'a-1', 'a-1', 'a-5', 'a-6'])
  assert.equal(fake.heard[0]!.path, '/v1/events?type=presence%2Creply&device=SZ-1&tag=berlin')
  assert.match(reasons.join('\n'), /ended\n.*did not answer.*\n.*refused.*\n.*nothing for 50 ms/)
})

test('the cursor is behind what was given out, and moves with what the filter hides', async (t) => {
  const fake = await fakeGateway(stream(`id: a-0\n\n${block(1)}${block(2)}id: a-9\n\n`, 'silence'))
  t.after(() => fake.stop())
  const follower = fake.pike().events()
  assert.equal(follower.cursor, undefined)
  await follower.open()
  const given: (string | undefined)[] = []
  const events = follower[Symbol.asyncIterator]()
  for (let count = 0; count < 2; count++) {
    await events.next()
    given.push(follower.cursor)
  }
  assert.deepEqual(given, ['a-1', 'a-2'])
  const waiting = events.next()
  await until(() => follower.cursor === 'a-9')
  follower.close()
  fake.handlers = [problem(401, 'unauthorized')]
  await assert.rejects(waiting, (error) => error instanceof PikeProblem && error.status === 401)
})

test('missed events are an error that names the oldest, before the stream and in the middle of it', async (t) => {
  const gone = { type: '/problems/cursor-gone', title: 'gone', status: 410, oldest: 'b-7' }
  const fake = await fakeGateway(
    problem(410, 'cursor-gone', { oldest: 'b-7' }),
    stream(`${block(1)}event: gone\ndata: ${JSON.stringify(gone)}\n\n`, 'end'),
  )
  t.after(() => fake.stop())
  const isGone = (error: unknown) => error instanceof CursorGone && error.oldest === 'b-7'
  await assert.rejects(fake.pike().events({ after: 'a-0' }).open(), isGone)
  const seen: string[] = []
  await assert.rejects(async () => {
    for await (const { id } of fake.pike().events({ after: 'a-0' })) seen.push(id)
  }, isGone)
  assert.deepEqual(seen, ['a-1'])
  fake.handlers = [problem(410, 'cursor-gone', { oldest: 'b-7' })]
  await assert.rejects(fake.pike().eventPage({ after: 'a-0' }), isGone)
})

test('an address nobody answers at is given up; a signal ends the waiting for it to come back', async (t) => {
  const fake = await fakeGateway(broken)
  t.after(() => fake.stop())
  const retry = { tries: 3, minMs: 1, maxMs: 1 }
  await assert.rejects(
    fake.pike({ retry }).events().open(),
    (error) => error instanceof PikeUnreachable,
  )
  assert.equal(fake.heard.length, 3)

  const controller = new AbortController()
  const why = new Error('enough')
  fake.handlers = [stream('id: a-0\n\n', 'end'), broken]
  const follower = fake.pike({ retry }).events({
    signal: controller.signal,
    onReconnect: () => fake.heard.length > 10 && controller.abort(why),
  })
  await assert.rejects(follower[Symbol.asyncIterator]().next(), why)
})

test('a follower goes on over a gateway that is killed and started again', async (t) => {
  let gateway = await startGateway()
  t.after(() => gateway.stop())
  const pike = pikeFor(gateway)
  await pike.devices.put('SZ-1')
  const send = () => pike.send('SZ-1', { name: 'open', delivery: 'now' })
  const follower = pike.events({ type: 'command.ended' })
  await follower.open()
  const sent = [(await send()).id]
  const seen: string[] = []
  const events = follower[Symbol.asyncIterator]()
  const next = async () => {
    const { value } = await events.next()
    if (value?.type === 'command.ended') seen.push(value.command)
  }
  await next()
  await gateway.kill()
  const { dataDir, ports } = gateway
  gateway = await startGateway({ dataDir, ports })
  sent.push((await send()).id, (await send()).id)
  await next()
  await next()
  assert.deepEqual(seen, sent)
  await events.return(undefined)
})
