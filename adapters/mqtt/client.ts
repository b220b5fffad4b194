import type { CommandId, Intake, Reason, Source, Stamp, Trail } from '../../src/contract/index.ts'
import type { House } from './house.ts'
import { OnceNames } from './once.ts'
import { contentTypeOf, nothing, octets, own } from './payload.ts'
import { Receiver } from './receiver.ts'
import { Silence } from './silence.ts'
import type { Meaning } from './topics.ts'
import { uplinkOf } from './uplink.ts'
import type { Wire } from './wire.ts'

/** Who a client is, once it has proved itself. */
export interface Who {
  readonly app: string
  readonly device: string
  readonly clientId: string
  /** Nothing is left of what this client id did before. */
  readonly isClean: boolean
  /** It may come back to what it leaves (MQTT 5). Left out: not, if it `isClean`. */
  readonly lasts?: boolean
  /** As it asked for; 0: it says nothing of itself while it is silent. */
  readonly keepaliveMs: number
  /** Said for it when it goes without a goodbye. */
  readonly will?: Incoming | undefined
}

/** A publish of a device. */
export interface Incoming {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  /** 0 at QoS 0. */
  readonly messageId: number
  readonly dup: boolean
  /** Left out: by what the payload looks like. */
  readonly contentType?: string | undefined
  readonly stamp?: Stamp | undefined
  /** Of an event, where its topic cannot say it. */
  readonly name?: string | undefined
  /** Of a reply, where its topic does not say it: which command, and how it went. */
  readonly command?: CommandId | undefined
  readonly status?: string | undefined
  readonly reason?: string | undefined
}

/**
 * How a publish went. 'kept': acknowledge it. 'stale', 'unknown' (a reply to a command nobody has):
 * not kept, and it would not be if it came again. The rest is a refusal.
 */
export type Published =
  | 'kept'
  | 'stale'
  | 'unknown'
  | 'foreign-topic'
  | 'bad-name'
  | 'too-large'
  | 'unknown-channel'
  | 'unavailable'

/**
 * One connected client, whatever its version: who it is, what it says, what it is subscribed to.
 *
 *     publish ─────▶ topics ─▶ intake.receive | intake.reply ─▶ settled ─▶ PUBACK
 *     subscribe, PUBACK ──▶ receiver
 *     the end ─────▶ will ─▶ intake.leave, session.detach
 * Holds no socket; what it writes goes through its {@link Wire}.
 */
export class MqttClient implements Source {
  readonly house: House
  readonly who: Who
  readonly key: string
  readonly stays = true
  readonly trail: Trail
  readonly #wire: Wire
  /** What it is subscribed to, and what comes down to it. */
  readonly receiver: Receiver
  #intake: Intake | undefined
  #once: OnceNames | undefined
  readonly silence: Silence
  #held = false
  #over = false
  /** The client before, which gives way. */
  #older: MqttClient | undefined
  #olderUntilMs = Number.POSITIVE_INFINITY
  #isGivingWay = false

  constructor(house: House, wire: Wire, who: Who, token: string) {
    this.house = house
    this.who = who
    // Joined it is one piece; put together it would be held in five.
    this.key = [who.app, who.device, who.clientId].join('/')
    this.#wire = wire
    this.trail = wire.proved(who.app, who.device)
    this.receiver = new Receiver(this, wire, token)
    this.silence = new Silence(who.keepaliveMs, house.core.clock.nowMs())
  }

  get app(): string {
    return this.who.app
  }

  get device(): string {
    return this.who.device
  }

  get protocol(): string {
    return this.#wire.protocol
  }

  get peer(): string {
    return this.#wire.peer
  }

  get isOver(): boolean {
    return this.#over
  }

  /**
   * Let it in; an older client of the same id is out by then [MQTT-3.1.4-2].
   * @returns why not.
   */
  async enter(): Promise<{ readonly reason: Reason; readonly retryAfterMs?: number } | undefined> {
    const { who } = this
    if (who.will !== undefined && this.#meaning(who.will) === undefined) {
      this.house.counts.foreignTotal++
      return { reason: 'protocol-error' }
    }
    const admitted = await this.house.core.admit(this)
    if (admitted.kind === 'refused') return admitted
    if (this.#over) {
      admitted.intake.leave(false)
      return { reason: 'normal' }
    }
    this.#intake = admitted.intake
    const older = this.house.clients.get(this.key)
    if (older !== undefined) {
      this.house.counts.takeoversTotal++
      this.#older = older
      this.#olderUntilMs = this.silence.fromMs + yieldMaxMs
      older.giveWay()
    }
    this.house.enter(this)
    return undefined
  }

  // What the client says.

  /** Anything arrived. */
  touch(): void {
    this.silence.heard(this.house.core.clock.nowMs())
    this.#intake?.touch()
    this.receiver.touch()
  }

  /** `settled` is called once, perhaps at once. */
  publish(message: Incoming, settled: (outcome: Published) => void): void {
    const intake = this.#intake
    if (intake === undefined || this.#over) {
      settled('unavailable')
      return
    }
    const { topic, messageId, payload, command, stamp, dup } = message
    const sequence = stamp?.sequence ?? (messageId || undefined)
    const seen = { name: topic, sequence, command, payload, reason: dup ? 'dup' : undefined }
    this.trail.frame('in', 'PUBLISH', 0, seen)
    const meaning = this.#meaning(message)
    if (meaning === undefined) {
      this.house.counts.foreignTotal++
      this.trail.note('refused', { reason: 'foreign-topic', name: message.topic })
      settled('foreign-topic')
      return
    }
    const { limits } = this.house.core
    if (message.payload.length > limits.payloadMaxBytes) {
      settled('too-large')
      return
    }
    if (meaning.kind === 'reply') this.#reply(intake, meaning, message, settled)
    else this.#event(intake, meaning, message, settled)
    this.#pace(intake)
  }

  /** PUBREL: `settled` once its packet id may be used anew. */
  release(messageId: number, settled: (outcome: 'kept' | 'unavailable') => void): void {
    if (this.#intake === undefined) settled('unavailable')
    else this.#onceNames().release(this.#intake, messageId, settled)
  }

  /**
   * The client refused the message of a command (PUBACK of MQTT 5): it is rejected.
   * @returns false: no such packet id is out.
   */
  reject(messageId: number, reason: string): boolean {
    const id = this.receiver.downlinks.reject(messageId)
    if (id === undefined) return false
    const reply = { status: 'rejected', reason, payload: nothing, contentType: octets } as const
    this.#intake?.reply(id, reply, (outcome) => {
      if (outcome === 'unavailable') this.close('unavailable')
    })
    return true
  }

  /** The connection is gone. `graceful`: the client said goodbye, and its will is void. */
  end(graceful: boolean): void {
    if (this.#over || this.#isGivingWay) return
    this.#over = true
    this.inherit()
    this.house.leave(this)
    this.receiver.end(graceful)
    const intake = this.#intake
    const { will } = this.who
    if (intake === undefined) return
    const leave = (): void => {
      if (graceful || will === undefined) intake.leave(graceful)
      else this.#sayWill(intake, will)
    }
    const { isClean, lasts = false } = this.who
    // Else clients that are never heard of again would use up the names there may be.
    if (this.#once === undefined || !isClean || lasts) leave()
    else this.#once.end(intake, leave)
  }

  /**
   * A newer client of its id is here [MQTT-3.1.4-2]: its connection ends. Its channels stay until
   * that one asks for them: to the core a take-over, so that it knows when two fight (rule 18).
   */
  giveWay(): void {
    if (this.#over) return
    this.silence.ended('taken-over')
    this.house.leave(this)
    this.#isGivingWay = this.receiver.isSubscribed
    this.#wire.close('taken-over')
    if (!this.#isGivingWay) this.end(false)
  }

  /** Nobody came for them. */
  gaveWay(): void {
    this.#isGivingWay = false
    this.end(false)
  }

  // What the core does.

  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#over) return
    this.#wire.close(reason, retryAfterMs)
    this.gaveWay()
  }

  /**
   * Is its time over? While it is not read the silence is ours.
   */
  watched(nowMs: number): void {
    if (this.#held) this.silence.fromMs = nowMs
    if (nowMs > this.#olderUntilMs) this.inherit()
    if (!this.silence.isOver(nowMs, this.house.core.limits.keepaliveMaxMs)) return
    this.silence.ended('keepalive-expired')
    this.close('keepalive-expired')
  }

  #meaning({ topic }: Incoming): Meaning | undefined {
    return this.house.topics.meaning(this, topic)
  }

  #event(
    intake: Intake,
    meaning: Meaning & { readonly kind: 'event' },
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    const { channel, stamp } = meaning
    const name = message.name || meaning.name
    const stamped = stamp === undefined ? message : { ...message, stamp }
    const { nameMaxBytes } = this.house.core.limits
    if (name.length * 3 > nameMaxBytes && Buffer.byteLength(name) > nameMaxBytes) {
      settled('bad-name')
      return
    }
    const once = message.qos === 2 ? this.#onceNames().name(intake, channel, message) : undefined
    intake.receive(channel, [uplinkOf(name, stamped, once)], settled)
  }

  #reply(
    intake: Intake,
    meaning: Meaning & { readonly kind: 'reply' },
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    const id = meaning.id ?? message.command ?? this.receiver.downlinks.oldestUnanswered()
    if (id === undefined) {
      settled('unknown')
      return
    }
    const { contentType, payload, stamp = meaning.stamp } = message
    const reason = meaning.reason ?? message.reason
    const { nameMaxBytes } = this.house.core.limits
    if (reason !== undefined && Buffer.byteLength(reason) > nameMaxBytes) {
      settled('bad-name')
      return
    }
    this.receiver.downlinks.answered(id)
    intake.reply(
      id,
      {
        status: statusOf(message.status) ?? meaning.status,
        ...(reason !== undefined && { reason }),
        payload: own(payload),
        contentType: contentType ?? contentTypeOf(payload),
        ...(stamp !== undefined && { stamp }),
      },
      (outcome) => {
        if (outcome === 'kept') this.receiver.downlinks.ended(id)
        settled(outcome)
      },
    )
  }

  /** Read no more while too much of it is on its way into the store. */
  #pace(intake: Intake): void {
    if (this.#held || this.#over) return
    const wants = intake.wants(() => {
      this.#held = false
      this.touch()
      if (!this.#over) this.#wire.hold(false)
    })
    if (wants) return
    this.#held = true
    this.#wire.hold(true)
  }

  #onceNames(): OnceNames {
    this.#once ??= new OnceNames(this.who)
    return this.#once
  }

  /** Whoever was here before has no channels any more. */
  inherit(): void {
    const older = this.#older
    this.#older = undefined
    this.#olderUntilMs = Number.POSITIVE_INFINITY
    older?.gaveWay()
  }

  /** Kept before it counts as gone, so that it is told in this order. */
  #sayWill(intake: Intake, will: Incoming): void {
    const meaning = this.#meaning(will)
    if (meaning?.kind !== 'event') {
      intake.leave(false)
      return
    }
    const uplink = uplinkOf(meaning.name, will, undefined)
    intake.receive(meaning.channel, [uplink], () => intake.leave(false))
  }
}

/** For its successor to subscribe. */
const yieldMaxMs = 5_000

const statusOf = (text: string | undefined): 'done' | 'failed' | 'rejected' | undefined =>
  text === 'done' || text === 'failed' || text === 'rejected' ? text : undefined
