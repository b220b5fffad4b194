import { createSocket, type Socket } from 'node:dgram'
import { Agent, type IncomingMessage, type ObserveReadStream, type OutgoingMessage } from 'coap'
import { smallChannel } from './asking.ts'
import { placeIn, readJson } from './ear.ts'
import type { AppReply, Report } from './journal.ts'
import { sleep } from './load.ts'
import { RawDevice, type RawOptions, type Said, type Uplink } from './raw-device.ts'

/** An answer that takes longer will not come: the same again, as another message. */
const timeoutMs = 8_000
const heartbeatMs = 3_000

interface Answer {
  readonly code: string
  readonly payload: Buffer
  /** Commands wait for who does not observe. */
  readonly hinted: boolean
}

const hint = 'waiting='

/**
 * Firmware on node-coap, which acknowledges a notification as it comes. Half of them keep their
 * session's token in flash; the others begin another one after each reboot.
 */
export class RawCoap extends RawDevice {
  readonly family = 'coap'
  readonly #keeps: boolean
  #agent: Agent | undefined
  #socket: Socket | undefined
  #port = 0
  #life = 0
  #path: string | undefined
  readonly #observed = new Map<string, ObserveReadStream | undefined>()
  readonly #aborts = new Set<() => void>()

  constructor(options: RawOptions) {
    super(options, true)
    this.#keeps = this.random.chance(0.5)
  }

  get state(): string {
    return `${this.#path === undefined ? 'no session' : 'session'}, observes ${[...this.#observed.keys()].join(' ')}`
  }

  protected override get canSpeak(): boolean {
    return this.#path !== undefined
  }

  protected connect(port: (listener: string) => number): void {
    this.#port = port('coap')
    // A socket of its own: an agent that observes never closes one that it made, and goes on
    // acknowledging what nobody listens to any more.
    const socket = createSocket('udp4')
    socket.on('error', () => {})
    this.#socket = socket
    this.#agent = new Agent({ type: 'udp4', socket })
    this.#agent.on('error', () => {})
    void this.#live(++this.#life)
  }

  protected async disconnect(): Promise<void> {
    this.#life++
    for (const abort of [...this.#aborts]) abort()
    this.#observed.clear()
    this.#agent = undefined
    this.#socket?.close()
    this.#socket = undefined
  }

  protected override forget(): void {
    if (!this.#keeps) this.#path = undefined
  }

  async #live(life: number): Promise<void> {
    if (this.#path !== undefined) this.ready()
    while (life === this.#life) {
      if (this.#path === undefined) await this.#login()
      else {
        for (const resource of ['commands', `channels/${smallChannel.name}/commands`]) {
          if (!this.#observed.has(resource)) await this.#observe(life, resource)
        }
        const answer = await this.#ask('PUT', this.#path)
        if (answer?.code === '4.01') this.#over()
        // Commands wait, and the gateway knows of no observation.
        else if (answer?.hinted === true) this.#unobserve()
      }
      const untilMs = Date.now() + (this.#observed.size < 2 ? 300 : heartbeatMs)
      while (life === this.#life && Date.now() < untilMs) await sleep(50)
    }
  }

  #over(): void {
    this.#path = undefined
    this.#unobserve()
  }

  #unobserve(): void {
    for (const stream of this.#observed.values()) stream?.close()
    this.#observed.clear()
  }

  async #login(): Promise<void> {
    const answer = await this.#ask('POST', 'session', `device=${this.name}`, this.secret)
    if (answer?.code === '2.01') {
      this.#path = answer.payload.toString()
      this.ready()
    } else if (answer?.code === '4.01') this.odd('device-refused', `4.01 ${answer.payload}`)
  }

  async #observe(life: number, resource: string): Promise<void> {
    const session = ++this.session
    this.#observed.set(resource, undefined)
    const answer = await this.#ask(
      'GET',
      `${this.#path}/${resource}`,
      undefined,
      undefined,
      (stream) => {
        if (life !== this.#life) return stream.close()
        this.#observed.set(resource, stream)
        stream.on('data', (payload: Buffer) => {
          if (life === this.#life) this.#notified(resource, session, stream, payload)
        })
      },
    )
    if (answer?.code === '2.05') return
    if (answer?.code === '4.01') this.#over()
    this.#observed.delete(resource)
  }

  #notified(resource: string, session: number, stream: ObserveReadStream, payload: Buffer): void {
    if (payload.length === 0) return
    const end = payload.indexOf('\n')
    const parts = payload.toString('utf8', 0, end).split('&')
    const value = (name: string): string | undefined =>
      parts.find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1)
    const id = value('id')
    if (id === undefined) {
      // An error is the last that comes of an observation
      // (RFC 7641 §4.2). Its client would go on acknowledging, and count from a number it made up.
      if (!stream.code.startsWith('2')) {
        stream.close()
        this.#observed.delete(resource)
      }
      return
    }
    const latest = this.session
    this.session = session
    const raw = this.act({
      id,
      offset: placeIn(id, value('at')).offset,
      payload: readJson(payload.subarray(end + 1)),
      repeated: parts.includes('again'),
      replyExpected: parts.includes('reply'),
      expiresAtMs: Number(value('expires')),
    })
    this.session = latest
    if (raw !== undefined) raw.acknowledgedAtMs = Date.now()
  }

  protected async say(uplink: Uplink): Promise<Said> {
    const path = this.#path
    if (path === undefined) return 'again'
    uplink.attempts++
    const { kind, made, type, payload, stamp } = uplink
    const query = [
      ...(stamp === undefined ? [] : [`stamp=${stamp}`]),
      ...(kind === 'reply' ? [`status=${type}`] : []),
    ].join('&')
    const { channel } = made as Report
    const events = channel === 'main' ? 'events' : `channels/${channel}/events`
    const resource = kind === 'reply' ? `replies/${(made as AppReply).id}` : `${events}/${type}`
    const body = JSON.stringify(payload)
    const answer = await this.#ask('POST', `${path}/${resource}`, query || undefined, body)
    switch (answer?.code) {
      case '2.04':
        return 'kept'
      case '4.01':
        this.#over()
        return 'again'
      case '4.00':
      case '4.04':
      case '4.09':
        this.odd('uplink-refused', `${kind} ${body} was answered ${answer.code} ${answer.payload}`)
        return 'gone'
      default:
        return 'again'
    }
  }

  /** @returns undefined: there was no answer. */
  #ask(
    method: 'GET' | 'POST' | 'PUT',
    pathname: string,
    query?: string,
    payload?: string,
    observed?: (stream: ObserveReadStream) => void,
  ): Promise<Answer | undefined> {
    const agent = this.#agent
    if (agent === undefined) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const asked: OutgoingMessage = agent.request({
        hostname: '127.0.0.1',
        port: this.#port,
        method,
        pathname,
        ...(query !== undefined && { query }),
        ...(observed !== undefined && { observe: true }),
      })
      let over = false
      const end = (answer: Answer | undefined): void => {
        if (over) return
        over = true
        clearTimeout(timer)
        this.#aborts.delete(abort)
        resolve(answer)
      }
      const abort = (): void => {
        if (!over) agent.abort(asked)
        end(undefined)
      }
      const timer = setTimeout(abort, timeoutMs)
      this.#aborts.add(abort)
      asked.on('error', () => end(undefined))
      asked.on('timeout', () => end(undefined))
      asked.on('response', (answer: IncomingMessage) => {
        if (observed !== undefined && 'append' in answer) observed(answer as ObserveReadStream)
        const hinted = answer.payload.toString().startsWith(hint)
        end({ code: answer.code, payload: answer.payload, hinted })
      })
      asked.end(payload)
    })
  }
}
