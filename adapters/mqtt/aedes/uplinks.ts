import type { Reason } from '../../../src/contract/index.ts'
import { Answers, type Owed } from '../answers.ts'
import type { MqttClient } from '../client.ts'
import { packetType } from '../gate.ts'
import type { Incoming, Published } from '../said.ts'
import { endOf } from './connect.ts'
import { bodyStart } from './strict.ts'

const unavailableRetryMs = 2_000

/** What a client's publishes ask of its connection. */
export interface UplinksHost {
  writes(bytes: Buffer): void
  /** Something was not kept, and 3.x can say so by ending only (§3.3.5). */
  close(reason: Reason): void
  /** Nothing is on its way into the store any more. */
  settled(): void
}

/**
 * What a client publishes, on its way into the store.
 *
 *     PUBLISH, QoS 0, 1 ─▶ kept ─▶ PUBACK                    aedes has nothing to add to these
 *     PUBLISH, QoS 2 ─▶ aedes ─▶ `take` ─▶ kept ─▶ aedes: PUBREC, and what follows
 */
export class Uplinks {
  readonly #host: UplinksHost
  readonly #answers: Answers
  /** On their way. */
  #unsettled = 0

  constructor(host: UplinksHost) {
    this.#host = host
    this.#answers = new Answers((bytes) => host.writes(bytes))
  }

  get isBusy(): boolean {
    return this.#unsettled > 0
  }

  /** A whole packet at QoS 0 or 1 that was found to be well formed. */
  publish(packet: Buffer, client: MqttClient): void {
    const message = publishOf(packet)
    const owed = message.qos === 0 ? undefined : this.#answers.expect()
    this.#unsettled++
    client.publish(message, (outcome) => this.#settled(outcome, message, owed))
  }

  /** One at QoS 2. `settled` with undefined: answer it. */
  take(message: Incoming, client: MqttClient, settled: (ends: Reason | undefined) => void): void {
    this.#unsettled++
    client.publish(message, (outcome) => {
      this.#unsettled--
      settled(endOf[outcome])
      if (this.#unsettled === 0) this.#host.settled()
    })
  }

  async release(messageId: number, client: MqttClient | undefined): Promise<void> {
    const outcome = await new Promise((resolve) => {
      if (client === undefined) resolve('unavailable')
      else client.release(messageId, resolve)
    })
    if (outcome === 'kept') return
    // Without a PUBCOMP the client asks again, on its next connection.
    client?.close('unavailable', unavailableRetryMs)
    throw new Error('not kept')
  }

  end(): void {
    this.#answers.drop()
  }

  #settled(outcome: Published, { messageId }: Incoming, owed: Owed | undefined): void {
    this.#unsettled--
    const ends = endOf[outcome]
    if (ends !== undefined) this.#host.close(ends)
    else if (owed !== undefined) this.#answers.settle(owed, puback(messageId))
    if (this.#unsettled === 0) this.#host.settled()
  }
}

/**
 *     | 3 dup qos 0 | remaining length | length topic | packet id, at QoS 1 | payload |
 */
function publishOf(packet: Buffer): Incoming {
  const at = bodyStart(packet)
  const end = at + 2 + packet.readUInt16BE(at)
  const topic = packet.toString('utf8', at + 2, end)
  const dup = (packet[0]! & 8) !== 0
  return (packet[0]! & 6) === 0
    ? { topic, payload: packet.subarray(end), qos: 0, messageId: 0, dup }
    : { topic, payload: packet.subarray(end + 2), qos: 1, messageId: packet.readUInt16BE(end), dup }
}

function puback(messageId: number): Buffer {
  const packet = Buffer.allocUnsafe(4)
  packet[0] = packetType.puback << 4
  packet[1] = 2
  packet[2] = messageId >> 8
  packet[3] = messageId & 0xff
  return packet
}
