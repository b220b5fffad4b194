import { httpAdapter } from '../../../adapters/http/index.ts'
import type { Adapter, Stamp } from '../../../src/contract/index.ts'
import type {
  AdapterSubject,
  Door,
  ExamCommand,
  ExamDevice,
  ExamReply,
  Identity,
  Said,
  Ways,
} from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type { GatewayDoor } from '../../support/gateway-subject.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { HttpClient } from './http-client.ts'
import { EventReader } from './sse.ts'

type Way = 'poll' | 'stream'

const ways: Readonly<Record<Way, Ways>> = {
  poll: { posts: true, stamps: true, repliesById: true, sleeps: true },
  stream: { posts: true, stamps: true, repliesById: true, acknowledgesOne: true },
}

/** HTTP through real sockets, with Node's client at the device's end; by polls or by a stream. */
export const httpSubject = (way: Way, engine: EngineSubject): AdapterSubject => ({
  name: `http ${way}`,
  engine,
  can: ways[way],
  async start(core, clock) {
    const adapter = httpAdapter({ host: '127.0.0.1', port: 0 })
    const [listener] = await adapter.start(core)
    return new HttpDoor(way, listener!.port, clock, adapter)
  },
})

export class HttpDoor implements GatewayDoor {
  readonly way: Way
  readonly port: number
  readonly clock: ManualClock
  readonly #adapter: Adapter
  readonly #devices: HttpDevice[] = []

  constructor(way: Way, port: number, clock: ManualClock, adapter: Adapter) {
    this.way = way
    this.port = port
    this.clock = clock
    this.#adapter = adapter
  }

  figures(): Readonly<Record<string, number>> {
    return this.#adapter.figures()
  }

  device(identity: Identity): ExamDevice {
    const device = new HttpDevice(this, identity)
    this.#devices.push(device)
    return device
  }

  /** Even a poll that waits for nothing takes a moment, which in virtual time nobody else lets pass. */
  async meanwhile<T>(promise: Promise<T>): Promise<T> {
    let settled = false
    const done = (): void => {
      settled = true
    }
    promise.then(done, done)
    while (!settled) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      this.clock.advance(5)
    }
    return promise
  }

  async kill(): Promise<void> {
    for (const device of this.#devices) await device.drop()
    await this.#adapter.stop(0)
  }

  stop(): Promise<void> {
    return this.#adapter.stop(1_000)
  }
}

interface Item {
  readonly channel: string
  readonly epoch: string
  readonly offset: number
  readonly id: string
  readonly name: string
  readonly payload?: unknown
  readonly payloadBase64?: string
  readonly delivery: string
  readonly expect: string
}

interface Place {
  epoch: string
  after: number
}

class HttpDevice implements ExamDevice {
  readonly received: ExamCommand[] = []
  act: (command: ExamCommand) => Promise<ExamReply | undefined> = async () => undefined
  attached = false
  readonly #client: HttpClient
  readonly #way: Way
  readonly #door: HttpDoor
  /** Where it stands, by channel; kept over connections. */
  readonly #places = new Map<string, Place>()
  readonly #items = new Map<string, Item>()
  /** Counts connections: what belongs to an older one is over. */
  #life = 0
  #holding = false
  readonly #uplinkEpoch = 1 + Math.floor(Math.random() * 1e9)
  #sequence = 0
  /** One after the other, so that they arrive in order. */
  #events: Promise<unknown> = Promise.resolve()
  #connected: (() => void)[] = []

  constructor(door: HttpDoor, { app, device, secret }: Identity) {
    const user = app === undefined || app === 'default' ? device : `${app}/${device}`
    this.#client = new HttpClient(door.port, user, secret)
    this.#way = door.way
    this.#door = door
  }

  move(door: Door): void {
    this.#client.port = (door as HttpDoor).port
  }

  async connect(): Promise<'attached' | 'refused'> {
    const life = ++this.#life
    const attached = await this.#door.meanwhile(
      this.#way === 'poll' ? this.#polls(life) : this.#streams(life),
    )
    if (life !== this.#life) return 'refused'
    this.attached = attached
    if (!attached) return 'refused'
    for (const go of this.#connected.splice(0)) go()
    return 'attached'
  }

  event(name: string, payload: unknown): Promise<boolean> {
    const stamp = { epoch: this.#uplinkEpoch, sequence: ++this.#sequence }
    const sent = this.#events.then(async () => {
      for (;;) {
        if ((await this.post(name, payload, stamp)) === 'kept') return true
        await new Promise<void>((go) => this.#connected.push(go))
      }
    })
    this.#events = sent
    return sent
  }

  async post(name: string, payload: unknown, stamp?: Stamp): Promise<Said> {
    const bytes = payload instanceof Uint8Array
    const headers = {
      'content-type': bytes ? 'application/octet-stream' : 'application/json',
      ...(stamp && { 'pike-stamp': `${stamp.epoch}.${stamp.sequence}` }),
    }
    const body = bytes ? payload : JSON.stringify(payload)
    return this.#say(`/device/v1/events/${encodeURIComponent(name)}`, body, headers)
  }

  reply(id: string, reply: ExamReply, stamp?: Stamp): Promise<Said> {
    const headers = {
      'content-type': 'application/json',
      ...(stamp && { 'pike-stamp': `${stamp.epoch}.${stamp.sequence}` }),
    }
    return this.#say(`/device/v1/replies/${id}`, JSON.stringify(reply), headers)
  }

  async drop(): Promise<void> {
    this.#life++
    this.attached = false
    await this.#client.cut()
  }

  async leave(): Promise<void> {
    this.#life++
    this.attached = false
    await this.#client.ask('/device/v1/commands', { method: 'DELETE' }).catch(() => {})
    await this.#client.cut()
  }

  async sleep(forMs: number): Promise<void> {
    await this.drop()
    const path = `/device/v1/commands?wait=0&sleep=${forMs / 1000}${this.#positions()}`
    await this.#door.meanwhile(this.#client.ask(path))
    await this.#client.cut()
  }

  mute(): void {
    this.#client.mute()
  }

  stall(): void {
    this.#client.stall()
  }

  unstall(): void {
    this.#client.unstall()
  }

  hold(): void {
    this.#holding = true
  }

  acknowledge(id: string): void {
    const { epoch, offset } = this.#items.get(id)!
    const path = `/device/v1/acks?epoch=${epoch}&offset=${offset}`
    this.#client.ask(path, { method: 'POST' }).catch(() => {})
  }

  /** One loop a channel, so that what one holds up does not hold up the other. */
  async #polls(life: number): Promise<boolean> {
    for (const channel of ['main', 'urgent'])
      if (!(await this.#poll(channel, life, 0).catch(() => false))) return false
    for (const channel of ['main', 'urgent']) void this.#loop(channel, life)
    return true
  }

  async #loop(channel: string, life: number): Promise<void> {
    for (;;) {
      const goes = await this.#poll(channel, life, 30).catch(() => false)
      if (life !== this.#life) return
      if (goes) continue
      this.attached = false
      return
    }
  }

  async #poll(channel: string, life: number, waitS: number): Promise<boolean> {
    const place = this.#places.get(channel)
    const said = place === undefined ? '' : `&epoch=${place.epoch}&after=${place.after}`
    const path = `/device/v1/commands?channel=${channel}&wait=${waitS}${said}`
    const { status, json } = await this.#client.ask(path)
    if (status !== 200) return false
    const { epoch, after, items } = json() as { epoch: string; after: string; items: Item[] }
    if (life !== this.#life) return false
    this.#places.set(channel, { epoch, after: place?.after ?? Number(items[0] ? 0 : after) })
    for (const item of items) {
      if (!(await this.#handOn(item, life))) return false
      this.#places.set(channel, { epoch: item.epoch, after: item.offset })
    }
    return true
  }

  #streams(life: number): Promise<boolean> {
    return new Promise((resolve) => {
      const reader = new EventReader((event, data) => {
        if (life !== this.#life) return
        if (event === 'start') {
          const { channels } = JSON.parse(data) as {
            channels: { channel: string; epoch: string; after: string }[]
          }
          for (const { channel, epoch, after } of channels)
            this.#places.set(channel, { epoch, after: Number(after) })
          resolve(true)
        } else if (event === 'command') this.#streamed(JSON.parse(data) as Item, life)
      })
      const headers = { accept: 'text/event-stream' }
      const over = (): void => {
        if (life === this.#life) this.attached = false
        resolve(false)
      }
      this.#client
        .ask(`/device/v1/commands?${this.#positions()}`, {
          headers,
          stream: (chunk) => reader.read(chunk),
        })
        .then(over, over)
    })
  }

  /** What comes while the one before is acted on waits for it, channel by channel. */
  readonly #queues = new Map<string, Promise<unknown>>()
  #streamed(item: Item, life: number): void {
    this.#items.set(item.id, item)
    const before = this.#queues.get(item.channel) ?? Promise.resolve()
    const mine = before.then(async () => {
      if (life !== this.#life || !(await this.#handOn(item, life)) || this.#holding) return
      this.#places.set(item.channel, { epoch: item.epoch, after: item.offset })
      const path = `/device/v1/acks?epoch=${item.epoch}&upTo=${item.offset}`
      await this.#client.ask(path, { method: 'POST' }).catch(() => {})
    })
    this.#queues.set(item.channel, this.#holding ? Promise.resolve() : mine)
  }

  async #handOn(item: Item, life: number): Promise<boolean> {
    const command: ExamCommand = {
      id: item.id,
      channel: item.channel,
      name: item.name,
      payload:
        item.payloadBase64 === undefined
          ? Buffer.from(JSON.stringify(item.payload ?? null))
          : Buffer.from(item.payloadBase64, 'base64'),
      now: item.delivery === 'now',
      replyExpected: item.expect === 'reply',
    }
    this.received.push(command)
    const reply = await this.act(command)
    if (life !== this.#life) return false
    if (reply !== undefined) await this.reply(item.id, reply).catch(() => {})
    return life === this.#life
  }

  #positions(): string {
    const known = [...this.#places.values()].filter(({ after }) => after > 0)
    if (known.length === 0) return ''
    const epochs = known.map(({ epoch }) => epoch).join(',')
    return `&epoch=${epochs}&after=${known.map(({ after }) => after).join(',')}`
  }

  async #say(
    path: string,
    body: string | Uint8Array,
    headers: Record<string, string>,
  ): Promise<Said> {
    const answer = await this.#client.ask(path, { method: 'POST', headers, body }).catch(() => {})
    if (answer?.status === 204) return 'kept'
    if (answer?.status === 404) return 'unknown'
    if (answer?.status === 409) return 'stale'
    return 'refused'
  }
}
