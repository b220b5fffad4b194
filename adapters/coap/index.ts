import { randomBytes } from 'node:crypto'
import type { Adapter, Core, LinkId, Listener, Timer } from '../../src/contract/index.ts'
import type { Message } from './codec.ts'
import { type Datagrams, type Peer, UdpDatagrams } from './datagrams.ts'
import type { Exchange } from './exchange.ts'
import type { House } from './house.ts'
import { Login } from './login.ts'
import { Messages, type MessageUser } from './messages.ts'
import { refusal } from './reasons.ts'
import { Resources } from './resources.ts'
import type { Serving } from './serving.ts'
import type { CoapSession } from './session.ts'
import { credentialMark, Sessions } from './sessions.ts'
import { Uploads } from './uploads.ts'

export interface CoapOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number | 'off'
  /** Take a bare secret from any address, not only from this machine (rule 32). */
  readonly bareSecrets?: boolean
  /** What carries the messages; left out: UDP on host and port. */
  readonly datagrams?: Datagrams
}

const housekeepingMs = 5_000
/** After a goodbye: a thousand a second come back elsewhere, not all at once. */
const spreadMinMs = 1_000
/** A device that has not reported for so long is admitted anew when it does. */
const restMs = 60_000
/** Sessions of before a restart, attached side by side. */
const revivedAtOnce = 32

/** CoAP over UDP. What devices send and get is in `docs/coap.md`. */
export const coapAdapter = (options: CoapOptions): Adapter => new CoapAdapter(options)

class CoapAdapter implements Adapter {
  readonly name = 'coap'
  readonly #options: CoapOptions
  #running: Running | undefined

  constructor(options: CoapOptions) {
    this.#options = options
  }

  async start(core: Core): Promise<readonly Listener[]> {
    const { host, port, datagrams, bareSecrets = false } = this.#options
    if (port === 'off' && datagrams === undefined) return []
    const carrier = datagrams ?? new UdpDatagrams(host, port === 'off' ? 0 : port)
    const running = new Running(core, carrier, bareSecrets)
    await running.sessions.restore()
    const at = await carrier.open((bytes, peer) => running.take(bytes, peer))
    this.#running = running
    running.start()
    return [{ name: 'coap', ...at }]
  }

  sendAway(max: number, spreadMs: number): number {
    return this.#running?.sendAway(max, spreadMs) ?? 0
  }

  stays(): void {
    this.#running?.stays()
  }

  async stop(graceMs: number): Promise<void> {
    const running = this.#running
    this.#running = undefined
    await running?.stop(graceMs)
  }

  figures(): Readonly<Record<string, number>> {
    return this.#running?.figures() ?? {}
  }
}

/** One adapter from its start to its stop. */
class Running implements House, MessageUser {
  readonly core: Core
  readonly messages: Messages
  readonly sessions: Sessions
  readonly #datagrams: Datagrams
  readonly #login: Login
  readonly #uploads: Uploads
  readonly #resources: Resources
  /** New for every start, so that a name is never used twice. */
  readonly #prefix = randomBytes(5).toString('hex')
  /** By the tokens of requests to devices' servers. */
  readonly #calls = new Map<string, Serving>()
  #made = 0
  #housekeeping: Timer | undefined
  #stopped = false
  #failedTotal = 0

  constructor(core: Core, datagrams: Datagrams, bareSecrets: boolean) {
    const { limits, clock } = core
    this.core = core
    this.#datagrams = datagrams
    this.messages = new Messages(clock, datagrams, this, {
      dedupeMax: limits.coapDedupeMax,
      peersMax: limits.coapSessionsMax,
      piggybackMs: limits.coapPiggybackMs,
    })
    this.sessions = new Sessions(this, limits.coapSessionsMax)
    this.#login = new Login(this, this.sessions, {
      loginsMax: limits.coapLoginsMax,
      bareSecrets,
    })
    this.#uploads = new Uploads(clock, {
      uploadsMax: limits.coapUploadsMax,
      uploadsMaxBytes: limits.coapUploadsMaxBytes,
      uploadTimeoutMs: limits.coapUploadTimeoutMs,
      bodyMaxBytes: limits.payloadMaxBytes,
    })
    this.#resources = new Resources(this, this.sessions, this.#login, this.#uploads)
  }

  start(): void {
    this.#keepHouse()
    void this.#reviveAll()
  }

  sendAway(max: number, spreadMs: number): number {
    let told = 0
    for (const session of this.sessions.all()) {
      if (told >= max) break
      if (!session.isAttached) continue
      session.suspend(Math.random() * spreadMs)
      told++
    }
    return told
  }

  stays(): void {
    void this.#reviveAll()
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopped = true
    this.#housekeeping?.cancel()
    const spreadMs = Math.max(spreadMinMs, this.sessions.size)
    // Observers are not told: the gateway that comes back knows them, and they need not ask again.
    for (const session of this.sessions.all()) session.suspend(Math.random() * spreadMs)
    await this.#settled(graceMs)
    for (const session of this.sessions.all()) session.spoken?.stop()
    await this.sessions.flush()
    this.messages.stop()
    this.#uploads.stop()
    await this.#datagrams.close()
  }

  figures(): Readonly<Record<string, number>> {
    const { counts } = this.messages
    return {
      sessions: this.sessions.size,
      uploads: this.#uploads.size,
      uploads_bytes: this.#uploads.bytes,
      failed_total: this.#failedTotal,
      logins_failed_total: this.#login.failedTotal,
      ungranted_total: this.#login.ungrantedTotal,
      datagrams_in_total: counts.datagramsInTotal,
      datagrams_out_total: counts.datagramsOutTotal,
      bytes_in_total: counts.bytesInTotal,
      bytes_out_total: counts.bytesOutTotal,
      malformed_total: counts.malformedTotal,
      repeated_total: counts.repeatedTotal,
      requests_total: counts.requestsTotal,
      ...this.messages.figures,
    }
  }

  /** Whatever a datagram does, it does to nobody else: a mistake of ours in it ends here, and is counted. */
  take(bytes: Buffer, peer: Peer): void {
    try {
      this.messages.receive(bytes, peer)
    } catch {
      this.#failedTotal++
    }
  }

  // What the message layer brings.

  request(exchange: Exchange): void {
    // Without words: nobody has proved the address.
    if (this.#stopped) exchange.respond(refusal('going-away', undefined, ''))
    else this.#resources.take(exchange)
  }

  response(_peer: Peer, message: Message, acknowledge: () => void): boolean {
    const serving = this.#calls.get(message.token.toString('hex'))
    return serving?.answered(message, acknowledge) ?? false
  }

  heard(peer: Peer): void {
    this.sessions.at(peer)?.touch()
  }

  // What sessions need.

  makeLinkId(): LinkId {
    this.#made++
    // Joined it is one piece; put together it would be held in three.
    return [this.#prefix, this.#made.toString(36)].join('-')
  }

  async isWelcome({ identity, address }: CoapSession): Promise<boolean> {
    const { app, device: of, via: device = of, kdf, credential } = identity
    const { admits, credentials } = await this.core.verifier(app, device, kdf, address)
    return admits && credentials.some((one) => credentialMark(one) === credential)
  }

  keep(session: CoapSession): Promise<void> {
    return this.sessions.keep(session)
  }

  keepSoon(session: CoapSession): void {
    this.sessions.keepSoon(session)
  }

  forget(session: CoapSession): void {
    this.sessions.forget(session)
  }

  call(token: string, serving: Serving): void {
    this.#calls.set(token, serving)
  }

  uncall(token: string): void {
    this.#calls.delete(token)
  }

  moved(session: CoapSession, fromKey: string): void {
    this.sessions.moved(session, fromKey)
  }

  /** What was reported is answered, or the time is over. */
  async #settled(graceMs: number): Promise<void> {
    const reports = [...this.sessions.all()].map(({ spoken }) => spoken?.settled())
    if (graceMs <= 0 || reports.every((one) => one === undefined)) return
    const { clock } = this.core
    await new Promise<void>((resolve) => {
      const over = clock.at(clock.nowMs() + graceMs, 'coap-stop', resolve)
      void Promise.all(reports).then(() => {
        over.cancel()
        resolve()
      })
    })
  }

  /** Observers of before the restart, who do not know of it (rule 25). */
  async #reviveAll(): Promise<void> {
    const all = [...this.sessions.all()].filter((one) => one.revival.isDue)
    const worker = async (): Promise<void> => {
      for (let next = all.pop(); next !== undefined && !this.#stopped; next = all.pop()) {
        await next.revival.run()
      }
    }
    await Promise.all(Array.from({ length: revivedAtOnce }, worker))
  }

  #keepHouse(): void {
    if (this.#stopped) return
    const { clock, limits } = this.core
    const nowMs = clock.nowMs()
    this.messages.sweep(nowMs)
    for (const session of this.sessions.all()) {
      const silentMs = nowMs - Math.max(session.heardAtMs, session.sleepUntilMs)
      if (silentMs < session.keepaliveMs && silentMs < restMs) continue
      if (silentMs >= limits.coapSessionKeptMs) this.sessions.forget(session)
      else {
        if (silentMs >= restMs) session.spoken?.rest()
        if (silentMs >= session.keepaliveMs && session.isListening) session.ping()
      }
    }
    void this.sessions.flush()
    this.#housekeeping = clock.at(nowMs + housekeepingMs, 'coap-housekeeping', () =>
      this.#keepHouse(),
    )
  }
}
