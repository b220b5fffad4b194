import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generate, type ParsedPacket, parse } from 'coap-packet'
import { secretOf } from '../../support/adapter-subject.ts'
import { CoapClient, type Line } from './client.ts'
import { Stage } from './stage.ts'

/** A device that is a server, on a line of a stage. */
class Server implements Line {
  readonly client: CoapClient
  readonly requests: ParsedPacket[] = []
  readonly #line: Line
  #heard: ((bytes: Buffer) => void) | undefined
  /** What a request is answered with; nothing: it is acknowledged and answered later. */
  answer: (request: ParsedPacket) => { code: string; payload?: Buffer } | undefined = () => ({
    code: '2.04',
  })

  constructor(stage: Stage) {
    this.#line = stage.client().line
    this.#line.listen((bytes) => this.#take(bytes))
    this.client = new CoapClient(0, stage.rig.clock, this)
  }

  send(bytes: Buffer): void {
    this.#line.send(bytes)
  }

  listen(heard: (bytes: Buffer) => void): void {
    this.#heard = heard
  }

  #take(bytes: Buffer): void {
    const packet = parse(bytes)
    if (!packet.code.startsWith('0.') || packet.code === '0.00') {
      this.#heard?.(bytes)
      return
    }
    const { messageId, token } = packet
    this.requests.push(packet)
    const answer = this.answer(packet)
    const { code = '0.00', payload = Buffer.alloc(0) } = answer ?? {}
    const said = answer === undefined ? {} : { token, payload }
    this.send(generate({ code, ack: true, messageId, ...said }))
  }
}

const queryOf = ({ options }: ParsedPacket): string[] =>
  options.filter(({ name }) => name === 'Uri-Query').map(({ value }) => value.toString())

async function register(stage: Stage, server: Server): Promise<string> {
  const path = 'session?device=locker&server=coap'
  const answer = await stage.ask(server.client, 'POST', path, secretOf('locker'))
  assert.equal(answer.code, '2.01')
  return answer.all
    .filter(([number]) => number === 8)
    .map(([, value]) => value.toString())
    .join('/')
}

test('a device with a server gets commands as requests, and what it answers is the reply', async (t) => {
  const stage = await Stage.make(t)
  const { rig } = stage
  const server = new Server(stage)
  await register(stage, server)
  const answers = {
    works: { code: '2.04', payload: Buffer.from('{"door":7}') },
    refuses: { code: '4.03' },
    jams: { code: '5.00' },
  }
  server.answer = ({ options }) =>
    answers[
      options
        .filter(({ name }) => name === 'Uri-Path')
        .at(-1)!
        .value.toString() as 'works'
    ]
  const ends: string[] = []
  for (const name of Object.keys(answers)) {
    const ended = await rig.ended(await rig.submit({ name, expect: 'reply' }))
    ends.push(`${name} ${ended.status} ${ended.reason}`)
    if (name === 'works') assert.equal(String(Buffer.from(ended.reply!.payload)), '{"door":7}')
  }
  assert.deepEqual(ends, ['works done undefined', 'refuses rejected 4.03', 'jams failed 5.00'])
  const [request] = server.requests
  assert.equal(request!.confirmable, true)
  assert.equal(request!.payload.toString(), '{"door":7}')
  assert.ok(queryOf(request!).includes('reply'), 'it says that a reply is expected')
})

test('where no reply is expected an answer without words is the acknowledgement', async (t) => {
  const stage = await Stage.make(t)
  const server = new Server(stage)
  await register(stage, server)
  assert.equal((await stage.rig.ended(await stage.rig.submit())).status, 'delivered')
  server.answer = () => ({ code: '4.04' })
  assert.equal((await stage.rig.ended(await stage.rig.submit())).status, 'rejected')
})

test('an acknowledgement is delivered, and the answer that comes later is the reply', async (t) => {
  const stage = await Stage.make(t)
  const { rig } = stage
  const server = new Server(stage)
  await register(stage, server)
  server.answer = () => undefined
  const id = await rig.submit({ expect: 'reply' })
  await rig.until('it is delivered', async () => {
    const status = await rig.status(id)
    return status?.kind === 'open' && status.status === 'delivered'
  })
  const next = await rig.submit({ name: 'next' })
  assert.equal((await rig.ended(next)).status, 'delivered', 'others need not wait for it')
  const { token } = server.requests[0]!
  const payload = Buffer.from('{}')
  const late = generate({ code: '2.05', confirmable: true, messageId: 4_711, token, payload })
  server.send(late)
  assert.equal((await rig.ended(id)).status, 'done')
  const before = stage.network.sent.length
  server.send(late)
  await rig.until('its repeat is acknowledged', () => stage.network.sent.length > before)
  const last = parse(stage.network.sent.at(-1)!.bytes)
  assert.deepEqual([last.ack, last.messageId], [true, 4_711])
})

test('a device that resets a request has no server', async (t) => {
  const stage = await Stage.make(t)
  const { client } = stage.client()
  const path = 'session?device=locker&server=coap'
  await stage.ask(client, 'POST', path, secretOf('locker'))
  const original = client.received.length
  assert.ok(original > 0, 'it was answered')
  const id = await stage.rig.submit()
  await stage.rig.until('nobody listens', () => stage.rig.hub.figures().sessions === 0)
  assert.equal((await stage.rig.status(id))?.kind, 'open')
})

test('a server is found again after a restart of the gateway', async (t) => {
  const stage = await Stage.make(t)
  const server = new Server(stage)
  await register(stage, server)
  await stage.rig.crash()
  assert.equal((await stage.rig.ended(await stage.rig.submit())).status, 'delivered')
})

test('a command larger than a datagram of a server is undeliverable', async (t) => {
  const stage = await Stage.make(t)
  await register(stage, new Server(stage))
  const ended = await stage.rig.ended(await stage.rig.submit({ payload: Buffer.alloc(2_000) }))
  assert.equal(`${ended.status} ${ended.reason}`, 'undeliverable too-large')
})
