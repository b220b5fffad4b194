import type {
  Admitted,
  Attached,
  Core,
  Credential,
  DeviceReply,
  Downlink,
  Hello,
  KeptCommand,
  Limits,
  Link,
  Offset,
  Session,
  Shelf,
  TakenHere,
  Uplink,
  Verifier,
} from '../../../src/contract/index.ts'
import { channelId, commandId, limits } from '../../../src/contract/index.ts'
import { FlightRecorder } from '../../../src/hub/recorder/recorder.ts'
import { kdfFor, makeCredential } from '../../../src/secrets/secrets.ts'
import { ManualClock } from '../../support/manual-clock.ts'

export const strongSecret = 'c2VjcmV0LW9mLWEtbG9ja2Vy'

/** Secrets of nobody. */
const madeUp = { hkdf: 'made-up-for-nobody-at-all', scrypt: 'nobody' } as const

type Outcome = 'kept' | 'unavailable' | 'unknown' | 'stale'
type Settle = (outcome: Outcome) => void

/** A session that writes down what it is told and settles when it is told to. */
export class FakeSession implements Session {
  readonly hello: Hello
  readonly link: Link
  readonly channel: string
  readonly resumed: Session['resumed']
  position = { epoch: 7, offset: 0 }
  uplinkKept = 0
  keepaliveMs = 240_000
  windowMaxCommands = 16

  started = 0
  touched = 0
  drains = 0
  detached: boolean[] = []
  readonly uplinks: Uplink[] = []
  /** How many came in each call. */
  readonly calls: number[] = []
  readonly replies: DeviceReply[] = []
  readonly acks: Offset[] = []
  /** Answers not given yet. */
  readonly waiting: Settle[] = []
  /** 'kept' at once; undefined: wait for `settle`. */
  answer: Outcome | undefined = 'kept'
  sentUpTo = 0

  constructor(link: Link, hello: Hello) {
    this.link = link
    this.hello = hello
    this.channel = channelId(hello.app, hello.device, hello.channel)
    this.resumed = hello.resumeFrom === undefined ? 'fresh' : 'resumed'
    if (hello.resumeFrom) this.position = hello.resumeFrom
  }

  /** What the client can be told with the next PONG. */
  nextKeepaliveMs = 240_000

  renewKeepalive(): number {
    this.keepaliveMs = this.nextKeepaliveMs
    return this.keepaliveMs
  }

  start(): void {
    this.started++
  }
  receive(uplinks: readonly Uplink[], settled: (outcome: TakenHere) => void): void {
    this.uplinks.push(...uplinks)
    this.calls.push(uplinks.length)
    this.#settleLater((outcome) => settled(outcome === 'unknown' ? 'kept' : outcome))
  }
  reply(reply: DeviceReply, settled: Settle): void {
    this.replies.push(reply)
    this.#settleLater(settled)
  }
  acknowledge(): 'ok' | 'unknown' {
    return 'ok'
  }
  acknowledgeUpTo(offset: Offset): 'ok' | 'unknown' {
    if (offset > Math.max(this.sentUpTo, this.position.offset)) return 'unknown'
    this.acks.push(offset)
    return 'ok'
  }
  touch(): void {
    this.touched++
  }
  drained(): void {
    this.drains++
  }
  detach(graceful: boolean): void {
    this.detached.push(graceful)
  }

  settle(outcome: Outcome = 'kept', count = this.waiting.length): void {
    for (const settled of this.waiting.splice(0, count)) settled(outcome)
  }

  /** Push a command down the link. */
  deliver(offset: Offset, command: Partial<KeptCommand> = {}, repeated = false) {
    this.sentUpTo = Math.max(this.sentUpTo, offset)
    const downlink: Downlink = { repeated, command: this.#command(offset, command) }
    return this.link.deliver(downlink)
  }

  carries(offset: Offset, command: Partial<KeptCommand>): boolean {
    return this.link.carries(this.#command(offset, command))
  }

  #command(offset: Offset, command: Partial<KeptCommand>): KeptCommand {
    const epoch = command.epoch ?? this.position.epoch
    return {
      name: 'open',
      payload: Buffer.from('{"door":7}'),
      contentType: 'application/json',
      delivery: 'queue',
      expect: 'ack',
      acceptedAtMs: 0,
      expiresAtMs: 0,
      replyTimeoutMs: 60_000,
      askedBy: 'test',
      id: commandId(this.channel, epoch, offset),
      channel: this.channel,
      epoch,
      offset,
      ...command,
    }
  }

  #settleLater(settled: Settle): void {
    if (this.answer === undefined) this.waiting.push(settled)
    else settled(this.answer)
  }
}

/** A core without a store: devices in a list, sessions that write down. */
export class FakeCore implements Core {
  readonly clock = new ManualClock()
  readonly limits: Limits
  readonly sessions: FakeSession[] = []
  readonly wrong: string[] = []
  readonly asked: string[] = []
  limited = false
  /** Wrong secrets, over all devices, after which everybody is limited. */
  wrongSecretsMax = Number.POSITIVE_INFINITY
  /** Set: every attach is refused so. */
  refusal: Exclude<Attached, { kind: 'session' }> | undefined
  /** Set: the store is away. */
  broken = false
  /** Called with each new session before the adapter gets it. */
  prepare: ((session: FakeSession) => void) | undefined
  readonly #credentials = new Map<string, Promise<Credential>>()
  #devices = new Map<string, { secrets: string[]; disabled: boolean }>()

  constructor(change: Partial<Limits> = {}) {
    this.limits = { ...limits, ...change }
    this.add('SZ-0042')
  }

  /** `before`: valid still, as during a rotation. */
  add(
    device: string,
    {
      app = 'default',
      secret = strongSecret,
      before = [],
      disabled = false,
    }: { app?: string; secret?: string; before?: string[]; disabled?: boolean } = {},
  ): void {
    this.#devices.set(`${app}/${device}`, { secrets: [secret, ...before], disabled })
  }

  async verifier(
    app: string,
    device: string,
    kdf: Credential['kdf'],
    peer: string,
  ): Promise<Verifier> {
    this.asked.push(`${app}/${device} by ${kdf} from ${peer}`)
    if (this.broken) throw new Error('the store is away')
    const known = this.#devices.get(`${app}/${device}`)
    const fitting = (known?.secrets ?? []).filter((secret) => kdfFor(secret) === kdf)
    const secrets = fitting.length > 0 ? fitting : [madeUp[kdf]]
    return {
      admits: fitting.length > 0 && !known!.disabled,
      limited: this.limited || this.wrong.length >= this.wrongSecretsMax,
      credentials: await Promise.all(
        secrets.map((secret) => this.#credential(secret, app, device)),
      ),
    }
  }

  /** Made once, like those of a store. */
  #credential(secret: string, app: string, device: string): Promise<Credential> {
    const key = `${app}/${device} ${secret}`
    const made = this.#credentials.get(key) ?? makeCredential(secret, app, device)
    this.#credentials.set(key, made)
    return made
  }

  wrongSecret(app: string, device: string): void {
    this.wrong.push(`${app}/${device}`)
  }

  /** `gateway>device` */
  readonly granted = new Set<string>()

  async grants(_app: string, gateway: string, device: string): Promise<boolean> {
    return this.granted.has(`${gateway}>${device}`)
  }

  async attach(link: Link, hello: Hello): Promise<Attached> {
    if (this.refusal !== undefined) return this.refusal
    const session = new FakeSession(link, hello)
    this.prepare?.(session)
    this.sessions.push(session)
    return { kind: 'session', session }
  }

  /** Pike has no need of it: its devices speak where they receive. */
  async admit(): Promise<Admitted> {
    return { kind: 'refused', reason: 'unsupported' }
  }

  async pulse(): Promise<undefined> {}

  async waiting(): Promise<number> {
    return 0
  }

  readonly recorder = new FlightRecorder(this.clock, limits)

  get shelf(): Shelf {
    throw new Error('Pike keeps nothing on a shelf')
  }

  /** The newest session. */
  get last(): FakeSession {
    const last = this.sessions.at(-1)
    if (last === undefined) throw new Error('no session')
    return last
  }
}
