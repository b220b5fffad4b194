import type {
  Admitted,
  AppId,
  CommandId,
  DeviceId,
  LinkId,
  Reason,
  Source,
  Trail,
} from '../../src/contract/index.ts'
import type { MqttClient } from './client.ts'
import type { Downlinks } from './downlinks.ts'
import type { House } from './house.ts'
import { Receiver, type ReceiverHost } from './receiver.ts'
import type { Incoming, Published } from './said.ts'
import type { Meaning } from './topics.ts'
import { notePublish } from './trace.ts'
import { type Publisher, Voice, type VoiceHost } from './voice.ts'
import type { Wire } from './wire.ts'

/** What a ward asks of those it is one of. */
export interface WardHost {
  readonly client: MqttClient
  hasRoom(channels: number): boolean
  /** The core ends it. */
  close(ward: Ward, reason: Reason, retryAfterMs?: number): void
}

interface Said {
  readonly meaning: Meaning
  readonly message: Incoming
  readonly settled: (outcome: Published) => void
}

/**
 * One device that a client speaks for: a voice and a receiver of its own, on the client's connection.
 * Whether it may is looked at by the core, at the first word and at each channel, and ends it at once
 * when it may no more.
 */
export class Ward implements Source, VoiceHost, ReceiverHost {
  readonly device: DeviceId
  readonly trail: Trail
  readonly receiver: Receiver
  /** It is there by what it receives: what it says is a sign of life, no more. */
  readonly stays = false
  readonly #host: WardHost
  voice: Voice | undefined
  /** What waits until it is known whether it may be said. */
  #line: Said[] | undefined
  #over = false

  constructor(host: WardHost, device: DeviceId, wire: Wire) {
    this.#host = host
    this.device = device
    this.trail = host.client.trail.as(host.client.app, device)
    this.receiver = new Receiver(this, wire)
  }

  get app(): AppId {
    return this.#host.client.app
  }

  get via(): DeviceId {
    return this.#host.client.device
  }

  get house(): House {
    return this.#host.client.house
  }

  get protocol(): string {
    return this.#host.client.protocol
  }

  get peer(): string {
    return this.#host.client.peer
  }

  ended(): Reason | undefined {
    return this.#host.client.ended()
  }

  get downlinks(): Downlinks {
    return this.#host.client.downlinks
  }

  get isOver(): boolean {
    return this.#over
  }

  get isAsking(): boolean {
    return this.#line !== undefined
  }

  /** It neither receives nor speaks. */
  get isIdle(): boolean {
    return this.receiver.isEmpty && this.voice === undefined && !this.isAsking
  }

  /** Its names are not those of that device's own clients. No client id has U+0000 in it. */
  get publisher(): Publisher {
    const { clientId, isClean } = this.#host.client.who
    return { clientId: `${this.via}\u0000${clientId}`, isClean }
  }

  say(meaning: Meaning, message: Incoming, settled: (outcome: Published) => void): void {
    notePublish(this.trail, message)
    if (this.voice !== undefined) this.voice.say(meaning, message, settled)
    else if (this.#line !== undefined) this.#line.push({ meaning, message, settled })
    else {
      this.#line = [{ meaning, message, settled }]
      void this.#ask()
    }
  }

  reject(id: CommandId, reason: string, settled: (kept: boolean) => void): void {
    const meaning = { kind: 'reply', id, status: 'rejected', reason, stamp: undefined } as const
    const message = { topic: '', payload: nothing, qos: 1, messageId: 0, dup: false } as const
    this.say(meaning, message, (outcome) => settled(outcome !== 'unavailable'))
  }

  end(graceful: boolean): void {
    this.#over = true
    this.receiver.end(graceful)
    const { voice } = this
    this.voice = undefined
    voice?.leave(graceful, this.#host.client.comesBack)
  }

  /** Anything came over its connection. */
  touch(): void {
    this.voice?.intake.touch()
    this.receiver.touch()
  }

  hold(held: boolean): void {
    this.#host.client.hold(held)
  }

  makeLinkId(): LinkId {
    return this.#host.client.makeLinkId()
  }

  hasRoom(channels: number): boolean {
    return this.#host.hasRoom(channels)
  }

  inherit(): void {
    this.#host.client.inheritWard(this.device)
  }

  // What the core does.

  leave(spreadMs: number): void {
    if (!this.#over) this.#host.client.leave(spreadMs)
  }

  close(reason: Reason, retryAfterMs?: number): void {
    if (!this.#over) this.#host.close(this, reason, retryAfterMs)
  }

  /** Meanwhile nothing is read, so no more wait than came together. */
  async #ask(): Promise<void> {
    this.hold(true)
    const admitted = await this.house.core.admit(this)
    this.hold(false)
    const line = this.#line ?? []
    this.#line = undefined
    const refused = this.#refusal(admitted)
    for (const { meaning, message, settled } of line) {
      if (refused === 'unauthorized') this.#host.client.foreign(this.trail, message, settled)
      else if (this.voice === undefined) settled('unavailable')
      else this.voice.say(meaning, message, settled)
    }
  }

  #refusal(admitted: Admitted): Reason | undefined {
    if (admitted.kind === 'refused') return admitted.reason
    if (this.#over) admitted.intake.leave(false)
    else this.voice = new Voice(this, admitted.intake)
    return undefined
  }
}

const nothing = new Uint8Array(0)
