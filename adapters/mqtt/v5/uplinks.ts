import type { Limits, Reason } from '../../../src/contract/index.ts'
import { Answers, type Owed } from '../answers.ts'
import type { MqttClient } from '../client.ts'
import type { Published } from '../said.ts'
import { stampOf } from '../stamp.ts'
import { Aliases } from './aliases.ts'
import { encodeAck } from './encode.ts'
import { isShort } from './filters.ts'
import { type Code, code, type PublishPacket } from './packets.ts'
import { type Refused, refusals } from './refusals.ts'
import type { Speaker } from './speaker.ts'

/** What we gave as Correlation Data, given back. Nothing longer is a command's id. */
const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 300)).toString('latin1')

const statuses: ReadonlySet<string> = new Set(['done', 'failed', 'rejected'])

/** What a client's publishes ask of its connection. */
export interface UplinksHost {
  readonly limits: Limits
  readonly speaker: Speaker
  write(bytes: Buffer): void
  /** It broke the protocol. */
  fail(why: Code, text: string): void
  close(reason: Reason): void
  /** Nothing is on its way into the store any more. */
  settled(): void
}

/**
 * What a client publishes, from packet to answer.
 *
 *     PUBLISH, QoS 1 ─▶ kept ─▶ PUBACK
 *     PUBLISH, QoS 2 ─▶ kept ─▶ PUBREC ─ PUBREL ─▶ forgotten ─▶ PUBCOMP
 *              ╰──────── at most Receive Maximum of them ─────────╯
 */
export class Uplinks {
  readonly #host: UplinksHost
  readonly #aliases: Aliases
  readonly #answers: Answers
  /** Packet ids that are not done. */
  #inFlight: Set<number> | undefined
  /** On their way. */
  #unsettled = 0
  #over = false

  constructor(host: UplinksHost) {
    this.#host = host
    this.#aliases = new Aliases(host.limits.mqttTopicAliasesMax)
    this.#answers = new Answers((bytes) => host.write(bytes))
  }

  get isBusy(): boolean {
    return this.#unsettled > 0
  }

  publish(packet: PublishPacket, client: MqttClient): void {
    const { qos, id, properties } = packet
    if (packet.retain) {
      this.#host.fail(code.retainNotSupported, 'nothing is retained here') // [MQTT-3.2.2-14]
      return
    }
    // Before it is held for its alias.
    if (!isShort(packet.topic, this.#host.limits)) {
      this.#host.fail(code.topicNameInvalid, 'a topic that is too long or too deep')
      return
    }
    const topic = this.#aliases.resolve(packet.topic, properties.topicAlias)
    if (typeof topic !== 'string') {
      this.#host.fail(topic, 'a topic alias that stands for nothing')
      return
    }
    if (qos > 0 && !this.#begin(packet)) return
    const owed = qos > 0 ? this.#answers.expect() : undefined
    this.#unsettled++
    const settled = (outcome: Published | Refused): void => {
      this.#unsettled--
      this.#settled(outcome, packet, owed)
      if (this.#unsettled === 0) this.#host.settled()
    }
    const stamp = properties.stamp === undefined ? undefined : stampOf(properties.stamp)
    if (properties.stamp !== undefined && stamp === undefined) {
      settled('bad-stamp')
      return
    }
    if (properties.status !== undefined && !statuses.has(properties.status)) {
      settled('bad-status') // or a slip would count as done
      return
    }
    const { contentType } = properties
    if (contentType !== undefined && contentType.length > this.#host.limits.nameMaxBytes) {
      settled('bad-name')
      return
    }
    const { payload, dup } = packet
    const { status, reason, name, correlation } = properties
    const command = correlation === undefined ? undefined : textOf(correlation)
    client.publish(
      {
        topic,
        payload,
        qos,
        messageId: id,
        dup,
        contentType,
        stamp,
        status,
        reason,
        name,
        command,
      },
      settled,
    )
  }

  /** PUBREL. A packet id nobody knows is let go of all the same: it may be of an older connection. */
  release(id: number, client: MqttClient): void {
    client.release(id, (outcome) => {
      if (this.#over) return
      if (outcome === 'unavailable') {
        this.#host.close('unavailable')
        return
      }
      this.#done(id)
      this.#host.speaker.ack('pubcomp', id, code.success)
    })
  }

  end(): void {
    this.#over = true
    this.#answers.drop()
    this.#inFlight = undefined
  }

  /** @returns false when it may not come now, and has been told. */
  #begin({ id, qos }: PublishPacket): boolean {
    this.#inFlight ??= new Set()
    if (this.#inFlight.has(id)) {
      // What is said again before its PUBREL is known by its packet id; nothing else may come twice.
      if (qos === 2) return true
      this.#host.fail(code.protocolError, `packet id ${id} is in use`) // [MQTT-2.2.1-3]
      return false
    }
    if (this.#inFlight.size >= this.#host.limits.uplinkMaxPending) {
      this.#host.fail(code.receiveMaximumExceeded, 'more publishes than the Receive Maximum')
      return false
    }
    this.#inFlight.add(id)
    return true
  }

  #settled(outcome: Published | Refused, { id, qos }: PublishPacket, owed: Owed | undefined): void {
    if (this.#over) return
    if (outcome === 'unavailable') {
      // Unanswered it comes again, on the next connection.
      this.#host.close('unavailable')
      return
    }
    if (owed === undefined) return
    const cmd = qos === 2 ? 'pubrec' : 'puback'
    if (outcome === 'kept') {
      if (qos === 1) this.#done(id)
      this.#answers.settle(owed, encodeAck(cmd, id, code.success))
      return
    }
    this.#done(id)
    const { code: why, text } = refusals[outcome]
    this.#answers.settle(owed, this.#host.speaker.ackBytes(cmd, id, why, text))
  }

  #done(id: number): void {
    this.#inFlight?.delete(id)
    if (this.#inFlight?.size === 0) this.#inFlight = undefined
  }
}
