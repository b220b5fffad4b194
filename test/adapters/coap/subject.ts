import { coapAdapter } from '../../../adapters/coap/index.ts'
import type { Adapter, Stamp, Timer } from '../../../src/contract/index.ts'
import type {
  AdapterSubject,
  Door,
  ExamCommand,
  ExamDevice,
  ExamReply,
  Identity,
  Said,
} from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type { GatewayDoor } from '../../support/gateway-subject.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { type Answer, CoapClient, type Notification, readCommand } from './client.ts'

/** CoAP through real sockets, with a small client that can keep its acknowledgements back. */
export const coapSubject = (engine: EngineSubject): AdapterSubject => ({
  name: 'coap',
  engine,
  can: { posts: true, stamps: true, repliesById: true, sleeps: true },
  async start(core, clock) {
    const adapter = coapAdapter({ host: '127.0.0.1', port: 0 })
    const [listener] = await adapter.start(core)
    return new CoapDoor(listener!.port, clock, adapter)
  },
})

export class CoapDoor implements GatewayDoor {
  readonly port: number
  readonly clock: ManualClock
  readonly #adapter: Adapter
  readonly devices: CoapDevice[] = []

  constructor(port: number, clock: ManualClock, adapter: Adapter) {
    this.port = port
    this.clock = clock
    this.#adapter = adapter
  }

  figures(): Readonly<Record<string, number>> {
    return this.#adapter.figures()
  }

  device(identity: Identity): ExamDevice {
    const device = new CoapDevice(this, identity)
    this.devices.push(device)
    return device
  }

  async kill(): Promise<void> {
    for (const device of this.devices) await device.drop()
    await this.#adapter.stop(0)
  }

  stop(): Promise<void> {
    return this.#adapter.stop(1_000)
  }
}

const heartbeatMs = 4_000
/** The shortest there is, so that a cut is noticed while a story is told. */
const keepaliveS = 5

class CoapDevice implements ExamDevice {
  readonly received: ExamCommand[] = []
  act: (command: ExamCommand) => Promise<ExamReply | undefined> = async () => undefined
  attached = false
  readonly #identity: Identity
  #door: CoapDoor
  #client: CoapClient | undefined
  #token: string | undefined
  #heartbeat: Timer | undefined

  constructor(door: CoapDoor, identity: Identity) {
    this.#door = door
    this.#identity = identity
  }

  move(door: Door): void {
    this.#door = door as CoapDoor
    this.#door.devices.push(this)
    this.#client?.close()
    this.#client = undefined
  }

  async connect(): Promise<'attached' | 'refused'> {
    // Each channel observed by itself, so that none waits for another.
    for (const channel of ['main', 'urgent']) {
      const answer = await this.#withSession((client, token) =>
        client.observe(`s/${token}/channels/${channel}/commands`, (one) =>
          this.#notified(channel, one),
        ),
      )
      if (answer?.code !== '2.05') {
        this.attached = false
        return 'refused'
      }
    }
    this.attached = true
    this.#beat()
    return 'attached'
  }

  async event(name: string, payload: unknown): Promise<boolean> {
    return (await this.post(name, payload)) === 'kept'
  }

  async post(name: string, payload: unknown, stamp?: Stamp): Promise<Said> {
    const query = stamp === undefined ? '' : `?stamp=${stamp.epoch}.${stamp.sequence}`
    const [body, format] = Buffer.isBuffer(payload)
      ? [payload, 42]
      : [Buffer.from(JSON.stringify(payload)), 50]
    for (;;) {
      const answer = await this.#withSession((client, token) =>
        client.post(`s/${token}/events/${name}${query}`, body, [[12, format]]),
      )
      if (answer?.code !== '5.03') return saidOf(answer)
      await this.#pause()
    }
  }

  async reply(id: string, reply: ExamReply): Promise<Said> {
    const { status, reason, payload } = reply
    const query = `?status=${status}${reason === undefined ? '' : `&reason=${reason}`}`
    const body = Buffer.from(payload === undefined ? '' : JSON.stringify(payload))
    return saidOf(
      await this.#withSession((client, token) =>
        client.post(`s/${token}/replies/${id}${query}`, body, [[12, 50]]),
      ),
    )
  }

  /** No goodbye: the other end finds out by itself. */
  async drop(): Promise<void> {
    this.#silence()
    this.#client?.close()
    this.#client = undefined
  }

  async leave(): Promise<void> {
    this.#silence()
    await this.#client?.ask('DELETE', `s/${this.#token}`)
    this.#token = undefined
  }

  async sleep(forMs: number): Promise<void> {
    this.#silence()
    await this.#client?.ask('PUT', `s/${this.#token}?sleep=${Math.floor(forMs / 1000)}`)
  }

  mute(): void {
    this.#client?.mute()
  }

  stall(): void {
    this.#client?.stall()
  }

  unstall(): void {
    this.#client?.unstall()
  }

  /** By the session it has, or a new one where that is none any more. */
  async #withSession(
    ask: (client: CoapClient, token: string) => Promise<Answer>,
  ): Promise<Answer | undefined> {
    const client = await this.#open()
    if (this.#token !== undefined) {
      const answer = await ask(client, this.#token)
      if (answer.code !== '4.01') return answer
    }
    const { app = 'default', device, secret } = this.#identity
    const query = `device=${device}&app=${app}&keepalive=${keepaliveS}`
    const login = await client.ask('POST', `session?${query}`, { payload: secret })
    if (login.code !== '2.01') return login
    this.#token = login.all
      .filter(([number]) => number === 8)
      .at(-1)![1]
      .toString()
    return ask(client, this.#token)
  }

  async #open(): Promise<CoapClient> {
    this.#client ??= new CoapClient(this.#door.port, this.#door.clock)
    await this.#client.open()
    return this.#client
  }

  async #notified(channel: string, one: Notification): Promise<void> {
    if (one.code !== '2.05') {
      one.acknowledge()
      this.#silence()
      return
    }
    const client = this.#client!
    const path = `s/${this.#token}/channels/${channel}/commands`
    let body = one.payload
    const isLarge = (one.options.get(23)?.length ?? 0) > 0
    if (isLarge) {
      one.acknowledge()
      body = await client.fetch(path, one)
    }
    const { fields, payload } = readCommand(body)
    const command: ExamCommand = {
      id: fields.get('id')!,
      channel,
      name: fields.get('name')!,
      payload,
      now: fields.has('now'),
      replyExpected: fields.has('reply'),
    }
    this.received.push(command)
    const reply = await this.act(command)
    if (!isLarge) one.acknowledge()
    if (reply !== undefined) await this.reply(command.id, reply)
    else if (isLarge) await client.ask('GET', `${path}?after=${command.id}`)
  }

  #beat(): void {
    this.#heartbeat?.cancel()
    const { clock } = this.#door
    this.#heartbeat = clock.at(clock.nowMs() + heartbeatMs, 'heartbeat', () => {
      void this.#client?.ask('PUT', `s/${this.#token}`).then(({ code }) => {
        if (code === '4.01') this.#silence()
      })
      this.#beat()
    })
  }

  #silence(): void {
    this.#heartbeat?.cancel()
    this.attached = false
  }

  #pause(): Promise<void> {
    const { clock } = this.#door
    return new Promise((resolve) => {
      clock.at(clock.nowMs() + 1_000, 'again', resolve)
    })
  }
}

function saidOf(answer: Answer | undefined): Said {
  switch (answer?.code) {
    case '2.04':
      return 'kept'
    case '4.09':
      return 'stale'
    case '4.04':
      return 'unknown'
    default:
      return 'refused'
  }
}
