import { BackEnd } from './back-end.ts'
import type { Bystander, Happenings, Place } from './bystander.ts'
import { CoapBystander } from './coap.ts'
import { HttpBystander } from './http.ts'
import { MqttBystander } from './mqtt.ts'
import { PikeBystander } from './pike.ts'

/** How one honest device fared since the last look. */
export interface Fared {
  readonly protocol: string
  /** 0: the times are 0 too, and say nothing. */
  readonly rounds: number
  /** Of a command from the back end's call to its outcome, and of an event to its acknowledgement. */
  readonly medianMs: number
  readonly worstMs: number
  /** What took so long. */
  readonly worstOf: string
}

export interface Watched {
  readonly fared: readonly Fared[]
  /** Whatever was missed, cut off, or came out of order. */
  readonly harms: readonly string[]
}

const harmsMax = 20

/** One honest device, and what it and its back end expect to happen. */
class Guarded {
  readonly bystander: Bystander
  readonly #backEnd: BackEnd
  readonly #harmed: (why: string) => void
  readonly #lateMs: number
  #asked = 0
  #commanded = 0
  #reported = 0
  #heard = 0
  #times: number[] = []
  #worst = { ms: 0, of: '' }
  #busySinceMs: number | undefined
  #busyWith = ''

  constructor(
    make: (happenings: Happenings) => Bystander,
    backEnd: BackEnd,
    harmed: (why: string) => void,
    lateMs: number,
  ) {
    this.#backEnd = backEnd
    this.#lateMs = lateMs
    this.bystander = make({
      commanded: (n) => this.#took(n),
      harmed: (why) => this.#harmed(why),
    })
    this.#harmed = (why) => harmed(`${this.bystander.protocol}: ${why}`)
  }

  /** One command and one event, unless the last are still on their way. */
  beat(): void {
    if (this.#busySinceMs === undefined) void this.#round()
    else if (performance.now() - this.#busySinceMs > this.#lateMs) {
      this.#harmed(`${this.#busyWith} took longer than ${this.#lateMs} ms`)
      this.#busySinceMs = performance.now()
    }
  }

  /** An event as the back end got it. */
  heard(n: number): void {
    if (n !== this.#heard + 1) this.#harmed(`event ${n} came after ${this.#heard}`)
    this.#heard = n
  }

  get isIdle(): boolean {
    return this.#busySinceMs === undefined && this.#heard === this.#reported
  }

  get standing(): string {
    return `${this.bystander.protocol}: reported ${this.#reported}, heard ${this.#heard}, asked ${this.#asked}, taken ${this.#commanded}, busy ${this.#busySinceMs !== undefined}`
  }

  look(): Fared {
    const times = this.#times.sort((a, b) => a - b)
    const worst = this.#worst
    this.#times = []
    this.#worst = { ms: 0, of: '' }
    return {
      protocol: this.bystander.protocol,
      rounds: Math.floor(times.length / 2),
      medianMs: times[times.length >> 1] ?? 0,
      worstMs: worst.ms,
      worstOf: worst.of,
    }
  }

  async #round(): Promise<void> {
    try {
      await this.#timed('a command', () => this.#command())
      await this.#timed('an event', () => this.bystander.report(++this.#reported))
    } catch (error) {
      this.#harmed(`${this.#busyWith}: ${(error as Error).message}`)
    }
    this.#busySinceMs = undefined
  }

  async #timed(what: string, run: () => Promise<void>): Promise<void> {
    const startMs = performance.now()
    this.#busySinceMs = startMs
    this.#busyWith = what
    await run()
    const ms = performance.now() - startMs
    this.#times.push(ms)
    if (ms > this.#worst.ms) this.#worst = { ms, of: `${this.bystander.protocol}: ${what}` }
  }

  async #command(): Promise<void> {
    const n = ++this.#asked
    const path = `/v1/devices/${this.bystander.device}/commands`
    const { status, body } = await this.#backEnd.ask(
      'POST',
      path,
      { name: 'open', payload: { n } },
      { prefer: 'wait=60' },
    )
    const outcome = (body as { status?: unknown }).status
    if (status !== 200 || outcome !== 'delivered')
      this.#harmed(`command ${n} was answered ${status} ${JSON.stringify(body)}`)
  }

  #took(n: number): void {
    if (n !== this.#commanded + 1) this.#harmed(`command ${n} came after ${this.#commanded}`)
    this.#commanded = n
  }
}

/** An honest device on each protocol, and the honest back end they belong to. */
export class Watch {
  readonly #backEnd: BackEnd
  readonly #guarded: readonly Guarded[]
  #harms: string[] = []
  #timer: NodeJS.Timeout | undefined
  #everyMs = 0

  /** @param lateMs whatever takes longer was missed. */
  constructor(place: Place, lateMs: number) {
    this.#backEnd = new BackEnd(place)
    const makers: ((happenings: Happenings) => Bystander)[] = [
      (happenings) => new PikeBystander(place, happenings),
      (happenings) => new MqttBystander(place, happenings, 4),
      (happenings) => new MqttBystander(place, happenings, 5),
      (happenings) => new CoapBystander(place, happenings),
      (happenings) => new HttpBystander(place, happenings),
    ]
    this.#guarded = makers.map(
      (make) => new Guarded(make, this.#backEnd, (why) => this.#harm(why), lateMs),
    )
  }

  async start(everyMs: number): Promise<void> {
    const byDevice = new Map(this.#guarded.map((one) => [one.bystander.device, one]))
    await this.#backEnd.listen(
      (device, n) => byDevice.get(device)?.heard(n),
      (why) => this.#harm(why),
    )
    for (const { bystander } of this.#guarded) await bystander.start()
    this.#everyMs = everyMs
    this.go()
  }

  /** The first round is now: none is so short that there would be none. */
  go(): void {
    const beat = (): void => {
      for (const one of this.#guarded) one.beat()
    }
    this.#timer = setInterval(beat, this.#everyMs)
    beat()
  }

  /**
   * Waits for what is on its way, and has nothing more be done until `go`; what does not come in time
   * was missed.
   */
  async rest(patienceMs: number): Promise<Watched> {
    clearInterval(this.#timer)
    const endMs = performance.now() + patienceMs
    while (this.#guarded.some((one) => !one.isIdle) && performance.now() < endMs)
      await new Promise((resolve) => setTimeout(resolve, 20))
    for (const one of this.#guarded) if (!one.isIdle) this.#harm(`missed: ${one.standing}`)
    const harms = this.#harms
    this.#harms = []
    return { fared: this.#guarded.map((one) => one.look()), harms }
  }

  async stop(patienceMs: number): Promise<Watched> {
    const watched = await this.rest(patienceMs)
    for (const { bystander } of this.#guarded) bystander.stop()
    this.#backEnd.stop()
    return watched
  }

  #harm(why: string): void {
    if (this.#harms.length < harmsMax) this.#harms.push(why)
  }
}
