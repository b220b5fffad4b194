import type { DeviceId, LinkId, Reason, Source, Trail } from '../../src/contract/index.ts'
import { Downlinks } from './downlinks.ts'
import type { House } from './house.ts'
import { Receiver, type ReceiverHost, type Subscribed } from './receiver.ts'
import type { Incoming, Published, Who } from './said.ts'
import { Silence } from './silence.ts'
import { notePublish } from './trace.ts'
import { Voice, type VoiceHost } from './voice.ts'
import { Wards } from './wards.ts'
import type { Wire } from './wire.ts'

/**
 * One connected client, whatever its version: who it is, what it says, what it is subscribed to.
 *
 *     publish ─────▶ topics ─┬▶ its own: voice ─▶ settled ─▶ PUBACK
 *                            ╰▶ of another device: wards
 *     subscribe ───▶ topics ─┬▶ its own: receiver
 *                            ╰▶ wards
 *     the end ─────▶ will ─▶ intake.leave, session.detach
 * Holds no socket; what it writes goes through its {@link Wire}.
 */
export class MqttClient implements Source, VoiceHost, ReceiverHost {
  readonly house: House
  readonly who: Who
  readonly key: string
  readonly stays = true
  readonly trail: Trail
  readonly #wire: Wire
  readonly #token: string
  readonly downlinks: Downlinks
  /** What it is subscribed to for itself, and what comes down to it. */
  readonly receiver: Receiver
  #voice: Voice | undefined
  /** Devices that it speaks for. */
  #wards: Wards | undefined
  readonly silence: Silence
  #links = 0
  /** Who wants it to be read no more. */
  #holds = 0
  #over = false
  /** The client before, which gives way. */
  #older: MqttClient | undefined
  #olderUntilMs = Number.POSITIVE_INFINITY
  #isGivingWay = false

  /** @param token names the connection; its links are named after it. */
  constructor(house: House, wire: Wire, who: Who, token: string) {
    this.house = house
    this.who = who
    // Joined it is one piece; put together it would be held in five.
    this.key = [who.app, who.device, who.clientId].join('/')
    this.#wire = wire
    this.#token = token
    this.trail = wire.proved(who.app, who.device)
    this.downlinks = new Downlinks(wire, house.core.clock)
    this.receiver = new Receiver(this, wire)
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

  ended(): Reason | undefined {
    const { why } = this.#wire
    return why === 'lost' ? undefined : why
  }

  get publisher(): Who {
    return this.who
  }

  /**
   * Let it in; an older client of the same id is out by then [MQTT-3.1.4-2].
   * @returns why not.
   */
  async enter(): Promise<{ readonly reason: Reason; readonly retryAfterMs?: number } | undefined> {
    const { who } = this
    if (who.will !== undefined && this.house.topics.meaning(this, who.will.topic) === undefined) {
      this.house.counts.foreignTotal++
      return { reason: 'protocol-error' }
    }
    const admitted = await this.house.core.admit(this)
    if (admitted.kind === 'refused') return admitted
    if (this.#over) {
      admitted.intake.leave(false)
      return { reason: 'normal' }
    }
    this.#voice = new Voice(this, admitted.intake)
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
    this.#voice?.intake.touch()
    this.receiver.touch()
  }

  /** `settled` is called once, perhaps at once. */
  publish(message: Incoming, settled: (outcome: Published) => void): void {
    const voice = this.#voice
    if (voice === undefined || this.#over) {
      settled('unavailable')
      return
    }
    const { topics } = this.house
    const meaning = topics.meaning(this, message.topic)
    if (meaning !== undefined) {
      notePublish(this.trail, message)
      voice.say(meaning, message, settled)
      return
    }
    const other = topics.meaningForAnother(this, message.topic)
    if (other === undefined) {
      notePublish(this.trail, message)
      this.foreign(this.trail, message, settled)
    } else {
      this.#wards ??= new Wards(this, this.#wire)
      this.#wards.publish(other, message, settled)
    }
  }

  /** No topic of a device that it may speak for. */
  foreign(trail: Trail, { topic }: Incoming, settled: (outcome: Published) => void): void {
    this.house.counts.foreignTotal++
    trail.note('refused', { reason: 'foreign-topic', name: topic })
    settled('foreign-topic')
  }

  /** @param qos the most it wants; at most 1 is granted. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<Subscribed> {
    const { topics, counts } = this.house
    const wanted = topics.wanted(this, filter)
    if (wanted !== undefined) return this.receiver.subscribe(filter, qos, wanted)
    this.#wards ??= new Wards(this, this.#wire)
    const subscribed = await this.#wards.subscribe(filter, qos)
    if (subscribed !== undefined) return subscribed
    counts.foreignTotal++
    return { kind: 'refused', reason: 'unauthorized' }
  }

  /** @returns false: it was not subscribed to that. */
  async unsubscribe(filter: string): Promise<boolean> {
    return (
      (await this.receiver.unsubscribe(filter)) || (await this.#wards?.unsubscribe(filter)) === true
    )
  }

  /** PUBACK of a command. @returns false: no such packet id is out. */
  acknowledge(messageId: number): boolean {
    return this.downlinks.acknowledge(messageId)
  }

  /** There is room again after the wire was full. */
  drained(): void {
    this.receiver.drained()
    this.#wards?.drained()
  }

  /** PUBREL: `settled` once its packet id may be used anew. */
  release(messageId: number, settled: (outcome: 'kept' | 'unavailable') => void): void {
    const voice = this.#wards?.voiceOf(messageId) ?? this.#voice
    if (voice === undefined) settled('unavailable')
    else voice.release(messageId, settled)
  }

  /**
   * The client refused the message of a command (PUBACK of MQTT 5): it is rejected.
   * @returns false: no such packet id is out.
   */
  reject(messageId: number, reason: string): boolean {
    const out = this.downlinks.reject(messageId)
    if (out === undefined) return false
    const settled = (kept: boolean): void => {
      if (!kept) this.close('unavailable')
    }
    if (out.channel.via === undefined) this.#voice?.reject(out.id, reason, settled)
    else this.#wards?.reject(out.channel.device, out.id, reason, settled)
    return true
  }

  /** The connection is gone. `graceful`: the client said goodbye, and its will is void. */
  end(graceful: boolean): void {
    if (this.#over || this.#isGivingWay) return
    this.#over = true
    this.#outlived()
    this.house.leave(this)
    this.receiver.end(graceful)
    this.#wards?.end(graceful)
    this.downlinks.end()
    this.#voice?.leave(graceful, this.comesBack, graceful ? undefined : this.#lastWill)
  }

  /** To its packet ids. */
  get comesBack(): boolean {
    const { isClean, lasts = false } = this.who
    return !isClean || lasts
  }

  /**
   * A newer client of its id is here [MQTT-3.1.4-2]: its connection ends. Its channels stay until
   * that one asks for them: to the core a take-over, so that it knows when two fight (rule 18).
   */
  giveWay(): void {
    if (this.#over) return
    this.silence.ended('taken-over')
    this.house.leave(this)
    this.#isGivingWay = this.receiver.isSubscribed || this.receivesForOthers
    this.#wire.close('taken-over')
    if (!this.#isGivingWay) this.end(false)
  }

  /** Nobody came for them. */
  gaveWay(): void {
    this.#isGivingWay = false
    this.end(false)
  }

  // What the core does.

  leave(spreadMs: number): void {
    if (!this.#over) this.#wire.goAway(Math.round(Math.random() * spreadMs))
  }

  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#over) return
    // What it receives for others goes on until its successor asks for that too.
    if (this.#isGivingWay && reason === 'taken-over' && this.receivesForOthers) {
      this.receiver.end(false)
      return
    }
    this.#wire.close(reason, retryAfterMs)
    this.gaveWay()
  }

  /**
   * Is its time over? While it is not read the silence is ours.
   */
  watched(nowMs: number): void {
    if (this.#holds > 0) this.silence.fromMs = nowMs
    this.#wards?.watched(this.silence.fromMs)
    if (nowMs > this.#olderUntilMs) this.#outlived()
    if (!this.silence.isOver(nowMs, this.house.core.limits.keepaliveMaxMs)) return
    this.silence.ended('keepalive-expired')
    this.close('keepalive-expired')
  }

  hold(held: boolean): void {
    this.#holds += held ? 1 : -1
    if (!this.#over) this.#wire.hold(this.#holds > 0)
  }

  // What its receivers need.

  makeLinkId(): LinkId {
    return this.#links++ === 0 ? this.#token : `${this.#token}.${this.#links}`
  }

  hasRoom(): boolean {
    return true
  }

  /** Whoever was here before has no channels any more. */
  inherit(): void {
    const older = this.#older
    // What it received for others goes on until that is asked for too.
    if (older?.receivesForOthers === true) {
      older.receiver.end(false)
      return
    }
    this.#outlived()
  }

  /** The same, of one device it speaks for. */
  inheritWard(device: DeviceId): void {
    this.#older?.leaveWard(device)
  }

  get receivesForOthers(): boolean {
    return this.#wards?.areSubscribed === true
  }

  leaveWard(device: DeviceId): void {
    this.#wards?.leave(device)
  }

  #outlived(): void {
    const older = this.#older
    this.#older = undefined
    this.#olderUntilMs = Number.POSITIVE_INFINITY
    older?.gaveWay()
  }

  /** What is said for it when it is gone. */
  get #lastWill() {
    const { will } = this.who
    const meaning = will && this.house.topics.meaning(this, will.topic)
    return meaning?.kind === 'event' ? { ...meaning, message: will! } : undefined
  }
}

/** For its successor to subscribe. */
const yieldMaxMs = 5_000
