import type { Random } from '../support/random.ts'
import { smallChannel } from './asking.ts'
import { numberOf } from './http.ts'
import type { AppReply, Family, Journal, Raw, Report } from './journal.ts'
import { channelOfId } from './judge/facts.ts'
import { sleep } from './load.ts'

/** What a world asks of a device, whatever it is made of. */
export interface WorldDevice {
  readonly name: string
  readonly secret: string
  /** Uplinks the gateway has not acknowledged. */
  readonly waiting: number
  readonly state: string
  /** @param port of a listener, by its name. */
  start(port: (listener: string) => number): void
  /** No more events and reboots; it stays and answers. */
  calm(): void
  stop(): Promise<void>
}

export const rawChannels = ['main', 'urgent', smallChannel.name] as const

const burstPauseMs = [300, 1_500] as const
const burstMax = 3
const rebootPauseMs = [3_000, 10_000] as const
const offMs = [0, 1_500] as const
const outboxMax = 64

export interface RawOptions {
  readonly name: string
  readonly secret: string
  readonly journal: Journal
  readonly random: Random
  /** It reports and reboots so many times less often than usual. */
  readonly seldom: number
}

/** An event or a reply, until somebody says that it is kept. */
export interface Uplink {
  readonly made: Report | AppReply
  readonly kind: 'event' | 'reply'
  readonly type: string
  readonly payload: Readonly<Record<string, unknown>>
  /** `epoch.sequence`, where this device stamps. */
  readonly stamp: string | undefined
  attempts: number
}

/** How one uplink went. `gone`: it will never be taken. */
export type Said = 'kept' | 'gone' | 'again'

/** A command as it came, in whatever form. */
export interface Got {
  readonly id: string
  readonly offset: number
  readonly payload: unknown
  readonly repeated: boolean
  readonly replyExpected: boolean
  /** NaN where the message does not say. */
  readonly expiresAtMs: number
}

/**
 * The simplest firmware that the page of a protocol allows. It acts on every command it gets and
 * remembers none, so whatever comes twice is done twice; it has one uplink on its way at a time, and
 * sends it until it is told that it is kept. Its uplinks are in flash and outlive its reboots.
 */
export abstract class RawDevice implements WorldDevice {
  readonly name: string
  readonly secret: string
  abstract readonly family: Family
  protected readonly journal: Journal
  protected readonly random: Random
  /** Grows with whatever ends what this protocol's devices cannot get twice. */
  protected session = 0
  /** Whether it stamps its events; then they are kept once. */
  protected readonly stamps: boolean
  readonly #outbox: Uplink[] = []
  readonly #counters = new Map<string, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #stampEpoch: number
  readonly #seldom: number
  #sequence = 0
  #sending = false
  #calm = false
  #started = false
  #ended = false
  protected isOn = false

  constructor({ name, secret, journal, random, seldom }: RawOptions, mayStamp: boolean) {
    this.name = name
    this.secret = secret
    this.journal = journal
    this.random = random
    this.#seldom = seldom
    this.stamps = mayStamp && random.chance(0.5)
    this.#stampEpoch = random.int(1, 0x7fff_ffff)
  }

  abstract get state(): string
  protected abstract connect(port: (listener: string) => number): void
  protected abstract disconnect(): Promise<void>
  /** Say it once. Resolves when it is answered, or when nobody will. */
  protected abstract say(uplink: Uplink): Promise<Said>
  /** Power was off: what is in its memory is gone. */
  protected forget(): void {}

  get waiting(): number {
    return this.#outbox.length
  }

  start(port: (listener: string) => number): void {
    if (this.#started) return
    this.#started = true
    this.isOn = true
    this.connect(port)
    this.#eachTime(burstPauseMs, () => this.#burst())
    this.#eachTime(rebootPauseMs, () => void this.#reboot(port))
  }

  calm(): void {
    this.#calm = true
  }

  async stop(): Promise<void> {
    this.#calm = true
    this.#ended = true
    this.isOn = false
    for (const timer of this.#timers) clearTimeout(timer)
    if (this.#started) await this.disconnect()
  }

  /** Its connection is there: what waits may go. */
  protected ready(): void {
    void this.#send()
  }

  /**
   * Act on a command.
   * @returns how it came, to say when it was acknowledged; undefined: it is late, and refused.
   */
  protected act(got: Got): Raw | undefined {
    const { id, offset, payload, repeated, replyExpected, expiresAtMs } = got
    if (expiresAtMs <= Date.now()) {
      this.#reply(id, 'rejected', 'late')
      return undefined
    }
    const n = numberOf(payload, 'n') ?? -1
    const raw: Raw = {
      family: this.family,
      session: this.session,
      blind: Number.isNaN(expiresAtMs),
      acknowledgedAtMs: undefined,
    }
    const channel = channelOfId(id)
    const { name: device } = this
    this.journal.receipts.push({ device, channel, id, offset, n, atMs: Date.now(), repeated, raw })
    if (!replyExpected || n % 20 === 7) return raw
    // The same to the same command, each time it comes: it knows no better.
    const status = n % 10 === 3 ? 'failed' : n % 10 === 4 ? 'rejected' : 'done'
    if (n % 3 === 0) this.later([1, 300], () => this.#reply(id, status))
    else this.#reply(id, status)
    return raw
  }

  #reply(id: string, status: string, reason?: string): void {
    const { name: device } = this
    const made: AppReply = { device, id, status, atMs: Date.now(), acknowledgedAtMs: undefined }
    this.journal.replies.push(made)
    this.#keep({ kind: 'reply', made, type: status, payload: { ...(reason && { reason }) } })
  }

  #eachTime([min, max]: readonly [number, number], run: () => void): void {
    this.later([min * this.#seldom, max * this.#seldom], run)
  }

  #burst(): void {
    if (this.#calm) return
    this.#eachTime(burstPauseMs, () => this.#burst())
    if (this.#outbox.length > outboxMax) return
    const { name: device, family } = this
    const channel = this.random.chance(0.3) ? 'urgent' : 'main'
    for (let left = this.random.int(1, burstMax); left > 0; left--) {
      const u = (this.#counters.get(channel) ?? 0) + 1
      this.#counters.set(channel, u)
      const made: Report = {
        device,
        channel,
        u,
        atMs: Date.now(),
        acknowledgedAtMs: undefined,
        ...(!this.stamps && { unstamped: family }),
      }
      this.journal.reports.push(made)
      this.#keep({ kind: 'event', made, type: 'door-opened', payload: { u, device } })
    }
  }

  #keep(uplink: Omit<Uplink, 'stamp' | 'attempts'>): void {
    const stamp = this.stamps ? `${this.#stampEpoch}.${++this.#sequence}` : undefined
    this.#outbox.push({ ...uplink, stamp, attempts: 0 })
    void this.#send()
  }

  async #send(): Promise<void> {
    if (this.#sending) return
    this.#sending = true
    try {
      for (let next = this.#outbox[0]; next !== undefined && this.isOn; next = this.#outbox[0]) {
        const said = await this.say(next)
        if (said === 'again') {
          // Whoever is ready next calls again.
          if (!this.isOn || !this.canSpeak) return
          await sleep(200)
          continue
        }
        if (said === 'kept') next.made.acknowledgedAtMs = Date.now()
        this.#outbox.shift()
      }
    } finally {
      this.#sending = false
    }
  }

  protected get canSpeak(): boolean {
    return true
  }

  async #reboot(port: (listener: string) => number): Promise<void> {
    if (this.#calm) return
    this.isOn = false
    await this.disconnect()
    this.forget()
    await sleep(this.random.int(offMs[0], offMs[1]))
    if (this.#ended) return
    this.isOn = true
    this.connect(port)
    this.#eachTime(rebootPauseMs, () => void this.#reboot(port))
  }

  protected later([min, max]: readonly [number, number], run: () => void): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        run()
      },
      this.random.int(min, max),
    )
    this.#timers.add(timer)
  }

  protected odd(rule: string, text: string): void {
    this.journal.oddities.push({ rule, text: `${this.name}: ${text}` })
  }
}
