import type { Connection } from '../connection.ts'
import {
  type Connack,
  encodeAck,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
  pingresp,
} from './encode.ts'
import type { Code } from './packets.ts'

/**
 * What we say to one client beside its commands, within what it takes: no packet over its Maximum
 * Packet Size, no reason in words where it wants none.
 */
export class Speaker {
  readonly #connection: Connection
  packetMaxBytes = Number.POSITIVE_INFINITY
  /** Request Problem Information (§3.1.2.11.7). */
  wantsProblems = true

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** @returns false: it takes no packet that long, so it cannot be served. */
  connack(why: Code, properties: Connack, sessionPresent: boolean): boolean {
    return this.#write(encodeConnack(why, properties, sessionPresent))
  }

  refuseConnect(why: Code, text: string): void {
    this.#sayWhy((reasonString) => encodeConnack(why, reasonString ? { reasonString } : {}), text)
  }

  ack(cmd: 'pubrel' | 'pubcomp', id: number, why: Code): void {
    this.#write(encodeAck(cmd, id, why))
  }

  /** For later. */
  ackBytes(cmd: 'puback' | 'pubrec', id: number, why: Code, text: string): Buffer {
    const said = this.wantsProblems ? encodeAck(cmd, id, why, text) : undefined
    return said !== undefined && said.length <= this.packetMaxBytes ? said : encodeAck(cmd, id, why)
  }

  suback(id: number, granted: readonly number[], text: string | undefined): void {
    this.#sayWhy((said) => encodeSuback(id, granted, said), text)
  }

  unsuback(id: number, granted: readonly number[]): void {
    this.#write(encodeUnsuback(id, granted))
  }

  disconnect(why: Code, text: string, retryAfterMs?: number): void {
    const after =
      retryAfterMs === undefined ? '' : `; come back in ${Math.ceil(retryAfterMs / 1000)} s`
    this.#sayWhy((said) => encodeDisconnect(why, said, undefined, retryAfterMs), text + after)
  }

  pong(): void {
    this.#write(pingresp)
  }

  /** The words are left out where they do not fit [MQTT-3.14.2-3] or are not wanted [MQTT-3.1.2-29]. */
  #sayWhy(encode: (text: string | undefined) => Buffer, text: string | undefined): void {
    if (text !== undefined && this.wantsProblems && this.#write(encode(text))) return
    this.#write(encode(undefined))
  }

  #write(bytes: Buffer): boolean {
    if (bytes.length > this.packetMaxBytes) return false
    this.#connection.write(bytes)
    return true
  }
}
