import { type ProtocolName, protocols } from '../../cli/protocols.ts'
import { sessions } from '../../cli/sessions.ts'
import { PikeClient } from '../../devices/client.ts'
import type { Command, CommandReply, Respond } from '../../devices/command.ts'
import { type DeviceStorage, memoryStorage, type StorageChange } from '../../devices/storage.ts'
import type { Random } from '../support/random.ts'
import { smallChannel } from './asking.ts'
import { fieldOf } from './http.ts'
import type { AppReply, Journal, Report } from './journal.ts'
import { idOf, isForLater } from './judge/facts.ts'
import { sleep } from './load.ts'
import type { WorldDevice } from './raw-device.ts'

const channels = ['main', 'urgent', smallChannel.name] as const

/** Events come in bursts of up to this many, so that some are always under way. */
const burstMax = 4
const burstPauseMs = [100, 900] as const
const rebootPauseMs = [3_000, 10_000] as const
/** Off for a moment, or long enough for commands to wait and to expire. */
const offMs = { short: [0, 500], long: [1_000, 5_000] } as const

export interface CrashDeviceOptions {
  readonly name: string
  readonly secret: string
  readonly journal: Journal
  readonly random: Random
  /** At each boot one of these. */
  readonly speaks: readonly ProtocolName[]
  /** It reports and reboots so many times less often than usual. */
  readonly seldom: number
}

/**
 * A device with an application that does what it is told, at its own pace, and writes down what it
 * was handed. Its storage outlives reboots; what is stored and what the gateway was heard to have
 * kept is written down where it is stored, so that no reboot loses an acknowledgement.
 */
export class CrashDevice implements WorldDevice {
  readonly name: string
  readonly secret: string
  readonly #journal: Journal
  readonly #random: Random
  readonly #storage: DeviceStorage
  /** Uplinks in the storage, by channel and sequence. */
  readonly #outboxes = new Map<string, Map<number, Report | AppReply>>()
  readonly #reports = new Map<string, Report>()
  readonly #counters = new Map<string, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #client: PikeClient | undefined
  readonly #speaks: readonly ProtocolName[]
  readonly #seldom: number
  #speech: ProtocolName
  #port: (listener: string) => number = () => 0
  /** Commands at the application: in the middle of one nobody pulls the plug. */
  #busy = 0
  #generation = 0
  #calm = false
  #ended = false

  constructor({ name, secret, journal, random, speaks, seldom }: CrashDeviceOptions) {
    this.#seldom = seldom
    this.#speaks = speaks
    this.#speech = speaks[0]!
    this.name = name
    this.secret = secret
    this.#journal = journal
    this.#random = random
    for (const channel of channels) this.#outboxes.set(channel, new Map())
    const memory = memoryStorage()
    this.#storage = {
      load: () => memory.load(),
      commit: (changes, settled) => {
        for (const change of changes) this.#stored(change)
        memory.commit(changes, settled)
      },
      close: () => memory.close(),
    }
  }

  /** Uplinks the gateway has not acknowledged. */
  get waiting(): number {
    let waiting = 0
    for (const outbox of this.#outboxes.values()) waiting += outbox.size
    return waiting
  }

  get state(): string {
    return `${this.#client?.state.kind ?? 'never started'} over ${this.#speech}`
  }

  start(port: (listener: string) => number): void {
    if (this.#client !== undefined) return
    this.#port = port
    this.#boot()
    this.#eachTime(burstPauseMs, () => this.#burst())
    this.#eachTime(rebootPauseMs, () => void this.#reboot())
  }

  /** No more events and reboots; it stays and answers. */
  calm(): void {
    this.#calm = true
  }

  async stop(): Promise<void> {
    this.#calm = true
    this.#ended = true
    this.#generation++
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#client?.stop()
  }

  #boot(): void {
    if (this.#speaks.length > 1) this.#speech = this.#random.pick(this.#speaks)
    const protocol = protocols[this.#speech]
    const client = new PikeClient({
      ...sessions[this.#speech],
      host: '127.0.0.1',
      port: this.#port(protocol.listener),
      device: this.name,
      secret: this.secret,
      channels,
      storage: this.#storage,
      reconnect: { baseMs: 200, maxMs: 1_000 },
      keepalive: { minS: 5, maxS: 20 },
      random: () => this.#random.next(),
    })
    client.on('receive', (command, respond) => this.#act(command, respond))
    client.on('stopped', (reason) => {
      if (reason.kind === 'asked' || reason.kind === 'not-started') return
      const why = reason.kind === 'refused' ? `${reason.code} ${reason.text}` : reason.text
      this.#journal.oddities.push({
        rule: 'device-refused',
        text: `${this.name} was told never to come back (${this.#speech}): ${why}`,
      })
    })
    client.on('fault', (error) => {
      this.#journal.oddities.push({
        rule: 'harness',
        text: `${this.name} (${this.#speech}): ${String(error)}`,
      })
    })
    this.#client = client
    client.start()
  }

  async #reboot(): Promise<void> {
    if (this.#calm) return
    while (this.#busy > 0) await sleep(10)
    // From here to the stop nothing else runs: no command comes in between.
    if (this.#calm) return
    this.#generation++
    await this.#client?.stop()
    const [min, max] = this.#random.chance(0.6) ? offMs.short : offMs.long
    await sleep(this.#random.int(min, max))
    if (this.#ended) return
    this.#boot()
    this.#eachTime(rebootPauseMs, () => void this.#reboot())
  }

  #eachTime([min, max]: readonly [number, number], run: () => void): void {
    this.#later([min * this.#seldom, max * this.#seldom], run)
  }

  #burst(): void {
    if (this.#calm) return
    this.#eachTime(burstPauseMs, () => this.#burst())
    const channel = this.#random.chance(0.3) ? 'urgent' : 'main'
    for (let left = this.#random.int(1, burstMax); left > 0; left--) {
      const u = (this.#counters.get(channel) ?? 0) + 1
      this.#counters.set(channel, u)
      void this.#client?.send(this.#random.pick(['door-opened', 'battery']), { u }, { channel })
    }
  }

  #act(command: Command, respond: Respond): Promise<void> | undefined {
    const { id, channel, repeated } = command
    // Of what was for later not every protocol says its place.
    const offset = isForLater(id) ? Number.NaN : command.offset
    const n = fieldOf(command.json(), 'n')
    this.#journal.receipts.push({
      device: this.name,
      channel,
      id,
      offset,
      n: typeof n === 'number' ? n : -1,
      atMs: Date.now(),
      repeated,
      over: this.#speech,
    })
    const draw = this.#random.next()
    if (!command.replyExpected) {
      return draw < 0.15 ? this.#working(this.#random.int(1, 80), () => {}) : undefined
    }
    const reply = this.#answer()
    if (draw < 0.5) {
      void respond(reply)
      return undefined
    }
    if (draw < 0.75) return this.#working(this.#random.int(1, 150), () => void respond(reply))
    if (draw < 0.95) {
      const generation = this.#generation
      this.#later([50, 500], () => {
        if (generation === this.#generation) void respond(reply)
      })
    }
    return undefined
  }

  async #working(ms: number, then: () => void): Promise<void> {
    this.#busy++
    await sleep(ms)
    then()
    // The client stores what was done in the turns after this one.
    setImmediate(() => setImmediate(() => this.#busy--))
  }

  #answer(): CommandReply {
    const draw = this.#random.next()
    if (draw < 0.8) return { status: 'done', payload: { ok: true } }
    return draw < 0.92
      ? { status: 'failed', reason: 'jammed' }
      : { status: 'rejected', reason: 'busy' }
  }

  /** What the storage is told is what the device knows. */
  #stored(change: StorageChange): void {
    const outbox = this.#outboxes.get(change.channel)!
    switch (change.kind) {
      case 'epoch':
        outbox.clear()
        return
      case 'uplink':
        outbox.set(change.uplink.sequence, this.#made(change.channel, change.uplink))
        return
      case 'kept':
        for (const [sequence, made] of outbox) {
          if (sequence > change.upTo) continue
          made.acknowledgedAtMs ??= Date.now()
          outbox.delete(sequence)
        }
        return
      case 'removed':
        outbox.delete(change.sequence)
    }
  }

  #made(
    channel: string,
    uplink: Extract<StorageChange, { kind: 'uplink' }>['uplink'],
  ): Report | AppReply {
    const base = { device: this.name, atMs: Date.now(), acknowledgedAtMs: undefined }
    if (uplink.kind === 'reply') {
      const id = idOf(this.name, channel, uplink.epoch, uplink.offset)
      const reply: AppReply = { ...base, id, status: uplink.status }
      this.#journal.replies.push(reply)
      return reply
    }
    const { u } = JSON.parse(Buffer.from(uplink.payload).toString()) as { u: number }
    // Numbered anew it is still the same event.
    const known = this.#reports.get(`${channel} ${u}`)
    if (known !== undefined) return known
    const report: Report = { ...base, channel, u }
    this.#reports.set(`${channel} ${u}`, report)
    this.#journal.reports.push(report)
    return report
  }

  #later([min, max]: readonly [number, number], run: () => void): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        run()
      },
      this.#random.int(min, max),
    )
    this.#timers.add(timer)
  }
}
