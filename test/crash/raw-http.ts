import { Agent, type ClientRequest, request } from 'node:http'
import { readJson } from './ear.ts'
import { fieldOf, numberOf, textOf, timeOf } from './http.ts'
import type { AppReply, Raw, Report } from './journal.ts'
import { sleep } from './load.ts'
import { RawDevice, type RawOptions, rawChannels, type Said, type Uplink } from './raw-device.ts'

const base = '/device/v1/'
const waitS = 5
const timeoutMs = 9_000

interface Answer {
  readonly status: number
  readonly body: unknown
}

interface Standing {
  readonly epoch: string
  readonly after: number
}

/**
 * Firmware with an HTTP client: a long poll, in which it says where it stands. Half of them keep that
 * in flash; the others begin anew after each reboot, and get again what they have not said they had.
 */
export class RawHttp extends RawDevice {
  readonly family = 'http'
  readonly #keeps: boolean
  /** Its two ways: one asks for commands, one speaks. */
  #agents: readonly Agent[] = []
  readonly #under = new Set<ClientRequest>()
  /** By channel. */
  readonly #standings = new Map<string, Standing>()
  /** Acted on, and not said yet that they arrived. */
  readonly #unsaid = new Map<string, { readonly offset: number; readonly raw: Raw | undefined }[]>()
  #port = 0
  #life = 0

  constructor(options: RawOptions) {
    super(options, true)
    this.#keeps = this.random.chance(0.5)
    // Who keeps its place is never given anything twice.
    this.session = 1
  }

  get state(): string {
    return this.isOn ? 'polling' : 'off'
  }

  protected connect(port: (listener: string) => number): void {
    this.#port = port('http')
    const life = ++this.#life
    this.#agents = [new Agent({ keepAlive: true }), new Agent({ keepAlive: true })]
    void this.#poll(life)
    this.ready()
  }

  protected async disconnect(): Promise<void> {
    this.#life++
    for (const asked of this.#under) asked.destroy()
    for (const agent of this.#agents) agent.destroy()
  }

  protected override forget(): void {
    if (this.#keeps) return
    this.#standings.clear()
    this.#unsaid.clear()
    this.session++
  }

  protected async say(uplink: Uplink): Promise<Said> {
    uplink.attempts++
    const { kind, made, type, payload, stamp } = uplink
    const headers: Record<string, string> = stamp === undefined ? {} : { 'pike-stamp': stamp }
    const answer =
      kind === 'event'
        ? await this.#ask(
            1,
            'POST',
            `events/${type}?channel=${(made as Report).channel}`,
            payload,
            headers,
          )
        : await this.#ask(
            1,
            'POST',
            `replies/${(made as AppReply).id}`,
            { status: type, ...payload },
            headers,
          )
    switch (answer?.status) {
      case 204:
        return 'kept'
      case 404:
      case 400:
        this.odd(
          'uplink-refused',
          `${kind} ${JSON.stringify(payload)} was answered ${answer.status}`,
        )
        return 'gone'
      default:
        return 'again'
    }
  }

  async #poll(life: number): Promise<void> {
    while (life === this.#life) {
      const said = [...this.#standings.values()]
      const at =
        said.length === 0
          ? ''
          : `&epoch=${said.map(({ epoch }) => epoch).join(',')}&after=${said.map(({ after }) => after).join(',')}`
      const channels = rawChannels.join(',')
      const asking = this.#ask(0, 'GET', `commands?wait=${waitS}&channel=${channels}${at}`)
      // From the moment it is written the gateway may know.
      for (const [channel, unsaid] of this.#unsaid) {
        const { after = 0 } = this.#standings.get(channel) ?? {}
        for (const { offset, raw } of unsaid) {
          if (offset <= after && raw !== undefined) raw.acknowledgedAtMs ??= Date.now()
        }
        this.#unsaid.set(channel, [])
      }
      const answer = await asking
      if (life !== this.#life) return
      if (answer?.status === 200) await this.#take(answer.body)
      else if (answer?.status === 409 && /not-sent/.test(textOf(answer.body, 'type') ?? '')) {
        this.odd('tail-lost', `stood at a place the gateway did not know: ${at}`)
        this.#standings.clear()
      } else if (answer?.status === 401) {
        this.odd('device-refused', 'a poll was answered 401')
        await sleep(1_000)
      } else await sleep(this.random.int(100, 800))
    }
  }

  async #take(body: unknown): Promise<void> {
    const items = fieldOf(body, 'items')
    const epoch = textOf(body, 'epoch') ?? ''
    const after = Number(textOf(body, 'after'))
    const channel = epoch.split('.')[1] ?? 'main'
    if (!Array.isArray(items)) return
    const unsaid = this.#unsaid.get(channel) ?? []
    this.#unsaid.set(channel, unsaid)
    for (const item of items) {
      const offset = numberOf(item, 'offset') ?? Number.NaN
      const raw = this.act({
        id: textOf(item, 'id') ?? '',
        offset,
        payload: fieldOf(item, 'payload'),
        repeated: fieldOf(item, 'repeated') === true,
        replyExpected: textOf(item, 'expect') === 'reply',
        expiresAtMs: timeOf(item, 'expiresAt'),
      })
      unsaid.push({ offset, raw })
    }
    // Acted on and stored at once: no power cut of ours comes in between.
    this.#standings.set(channel, { epoch, after })
    if (items.length > 0 && this.random.chance(0.3)) await sleep(this.random.int(1, 200))
  }

  /** @returns undefined: there was no answer. */
  #ask(
    way: 0 | 1,
    method: string,
    path: string,
    payload?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer | undefined> {
    const body = payload === undefined ? undefined : JSON.stringify(payload)
    return new Promise((resolve) => {
      const asked = request(
        {
          host: '127.0.0.1',
          port: this.#port,
          method,
          path: base + path,
          agent: this.#agents[way]!,
          auth: `${this.name}:${this.secret}`,
          headers: {
            ...(body !== undefined && { 'content-type': 'application/json' }),
            ...headers,
          },
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', () => end(undefined))
          answer.on('aborted', () => end(undefined))
          answer.on('end', () => {
            end({ status: answer.statusCode ?? 0, body: readJson(Buffer.concat(chunks)) })
          })
        },
      )
      const end = (answer: Answer | undefined): void => {
        clearTimeout(timer)
        this.#under.delete(asked)
        resolve(answer)
      }
      const timer = setTimeout(() => asked.destroy(), timeoutMs)
      asked.on('error', () => end(undefined))
      asked.on('close', () => end(undefined))
      this.#under.add(asked)
      asked.end(body)
    })
  }
}
