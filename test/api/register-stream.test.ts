import assert from 'node:assert/strict'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, test } from 'node:test'
import { apiBounds } from '../../src/api/bounds.ts'
import { turn, turns, until } from '../support/turns.ts'
import { World } from './world.ts'

let world: World
const calls: Call[] = []
beforeEach(async () => {
  world = await World.open({ lineCallsMax: 4 })
  await world.app.listen({ port: 0, host: '127.0.0.1' })
})
afterEach(async () => {
  for (const call of calls.splice(0)) call.request.destroy()
  await world.close()
})

interface Answer {
  readonly line: number
  readonly status: number
  readonly secret?: string
  readonly problem?: { readonly type: string }
}

/** A back end that writes lines and reads answers as it likes. */
class Call {
  readonly request: ClientRequest
  readonly answers: Answer[] = []
  readonly response: Promise<IncomingMessage>
  over = false
  #rest = ''

  constructor({ key = 'key-all', type = 'application/x-ndjson', reads = true } = {}) {
    const { port } = world.app.server.address() as AddressInfo
    this.request = request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/v1/devices',
      agent: false,
      headers: { authorization: `Bearer ${key}`, 'content-type': type },
    })
    this.request.on('error', () => {})
    this.request.flushHeaders()
    this.response = new Promise((resolve) => {
      this.request.on('response', (response) => {
        if (reads) this.read(response)
        resolve(response)
      })
    })
    calls.push(this)
  }

  read(response: IncomingMessage): void {
    response.setEncoding('utf8')
    response.on('data', (text: string) => {
      const whole = (this.#rest + text).split('\n')
      this.#rest = whole.pop()!
      for (const line of whole) this.answers.push(JSON.parse(line) as Answer)
    })
    response.on('error', () => {})
    response.on('close', () => {
      this.over = true
    })
  }

  line(device: string, more: object = {}): boolean {
    return this.request.write(`${JSON.stringify({ device, ...more })}\n`)
  }

  statuses(): number[] {
    return this.answers.map(({ status }) => status)
  }
}

test('each line is answered once it is kept, while the next is not written yet', async () => {
  const call = new Call()
  const response = await call.response
  assert.equal(response.headers['content-type'], 'application/x-ndjson')
  for (let i = 1; i <= 3; i++) {
    call.line(`d${i}`)
    await until(() => call.answers.length === i)
    assert.ok(world.engine.names.device('default', `d${i}`))
  }
  call.request.write('{"device":"cut off"')
  call.request.end()
  await until(() => call.over)
  assert.deepEqual(call.statuses(), [201, 201, 201, 400])
})

test('rows of CSV are answered as they come, also when they come byte by byte', async () => {
  const call = new Call({ type: 'text/csv' })
  const text = '\ufeffdevice,attributes.site\r\na,"x\ny"\r\nb,\r\n'
  for (const byte of Buffer.from(text)) {
    call.request.write(Buffer.from([byte]))
    await turn()
  }
  await until(() => call.answers.length === 2)
  call.request.end('c,z')
  await until(() => call.over)
  assert.deepEqual(call.statuses(), [201, 201, 201])
  assert.deepEqual(world.engine.names.device('default', 'a')!.attributes, { site: 'x\ny' })
})

test('what a caller who leaves has begun to write is not taken for a whole line', async () => {
  for (const [type, begun] of [
    ['text/csv', 'device\nwhole\ncut'],
    ['application/x-ndjson', '{"device":"whole2"}\n{"device":"cut"}'],
  ] as const) {
    const call = new Call({ type })
    call.request.write(begun)
    await until(() => call.answers.length === 1)
    call.request.destroy()
    await until(() => world.app.server.listening)
    await new Promise<void>((closed) => {
      const check = () =>
        world.app.server.getConnections((_, count) =>
          count === 0 ? closed() : setImmediate(check),
        )
      check()
    })
    assert.equal(world.engine.names.device('default', 'cut'), undefined)
  }
})

test('a caller who does not take its answers is not read on, and nobody else waits for it', async () => {
  const call = new Call({ reads: false })
  const lines =
    `${JSON.stringify({ device: 'same', attributes: { x: 'y'.repeat(200) } })}\n`.repeat(500)
  const problems = '{"device":"no good"}\n'.repeat(2_000)
  let written = 0
  let full = false
  // Until both directions are full: the caller's own buffer does not drain any more.
  while (!full && written < 400) {
    written++
    if (call.request.write(lines + problems)) continue
    full = await Promise.race([
      new Promise<boolean>((go) => call.request.once('drain', () => go(false))),
      stuck().then(() => true),
    ])
  }
  assert.ok(full, 'it was read to the end')
  assert.equal((await world.call('PUT', '/v1/devices/other')).status, 201)
  call.read(await call.response)
  call.request.end()
  await until(() => call.over)
  assert.equal(call.answers.length, written * 2_500)
  call.answers.forEach(({ line }, index) => {
    assert.equal(line, index + 1)
  })
})

test('a key that is revoked ends its call with its next line', async () => {
  await world.key('default', 'leaving', ['devices'])
  const call = new Call({ key: 'key-leaving' })
  call.line('a')
  await until(() => call.answers.length === 1)
  await world.call('DELETE', '/v1/apps/default/keys/leaving')
  call.line('b')
  call.line('c')
  await until(() => call.over)
  assert.deepEqual(call.answers.at(-1)!.problem!.type, '/problems/unauthorized')
  assert.deepEqual([call.answers.at(-1)!.line, call.answers.length], [2, 2])
  assert.equal(world.engine.names.device('default', 'b'), undefined)
})

test('so does one that lost its scope', async () => {
  await world.key('default', 'demoted', ['devices'])
  const call = new Call({ key: 'key-demoted' })
  call.line('a')
  await until(() => call.answers.length === 1)
  const body = { scopes: ['events'] }
  await world.call('PUT', '/v1/apps/default/keys/demoted', { body })
  call.line('b')
  await until(() => call.over)
  assert.deepEqual(call.statuses(), [201, 401])
})

test('when the gateway stops, what is kept is answered and the last line says from where on nothing is', async () => {
  const call = new Call()
  call.line('a')
  await until(() => call.answers.length === 1)
  const closing = world.app.close()
  await until(() => call.over)
  assert.deepEqual(call.statuses(), [201, 503])
  assert.equal(call.answers[1]!.line, 2)
  call.request.destroy()
  await closing
})

test('a call lasts as long as something comes, and ends where it stands when nothing does', async () => {
  const call = new Call()
  for (let i = 1; i <= 5; i++) {
    call.line(`d${i}`)
    await until(() => call.answers.length === i)
    world.clock.advance(apiBounds.lineIdleTimeoutMs / 2)
  }
  world.clock.advance(apiBounds.lineIdleTimeoutMs + 2 * apiBounds.timeoutsCheckMs)
  await until(() => call.over)
  assert.deepEqual(call.statuses(), [201, 201, 201, 201, 201, 408])
  assert.equal(call.answers.at(-1)!.line, 6)
})

test('as many calls at once as may be, of one app half of them', async () => {
  const open = [new Call(), new Call()]
  for (const call of open) await call.response
  const third = await new Call().response
  assert.equal(third.statusCode, 503)
  const others = [new Call({ key: 'key-other' }), new Call({ key: 'key-other' })]
  for (const call of others) assert.equal((await call.response).statusCode, 200)
  open[0]!.request.end()
  await until(() => open[0]!.over)
  const fourth = new Call()
  assert.equal((await fourth.response).statusCode, 200)
})

/** Nothing moves any more: many turns without a change. */
async function stuck(): Promise<void> {
  await turns(2_000)
}
