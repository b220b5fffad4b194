import { createHmac, randomBytes } from 'node:crypto'
import { sameBytes } from '../../src/secrets/secrets.ts'
import type { Peer } from './datagrams.ts'

const macBytes = 16
const timeBytes = 6
/** Time to come back with it. */
const freshMs = 60_000

/**
 * Values of the Echo option, RFC 9175 §2.3: who returns one has got what was sent to that address,
 * and lately. Nothing is kept for those that were given out.
 *
 *     | ms since 1970 (6) | HMAC over it and the address (16) |
 */
export class Echo {
  readonly #key = randomBytes(32)

  make(peer: Peer, nowMs: number): Buffer {
    const time = Buffer.alloc(timeBytes)
    time.writeUIntBE(nowMs, 0, timeBytes)
    return Buffer.concat([time, this.#mac(time, peer)])
  }

  isFresh(value: Buffer, peer: Peer, nowMs: number): boolean {
    if (value.length !== timeBytes + macBytes) return false
    const time = value.subarray(0, timeBytes)
    const ageMs = nowMs - time.readUIntBE(0, timeBytes)
    if (!sameBytes(this.#mac(time, peer), value.subarray(timeBytes))) return false
    return ageMs >= 0 && ageMs <= freshMs
  }

  #mac(time: Buffer, peer: Peer): Buffer {
    const mac = createHmac('sha256', this.#key).update(time).update(peer.key).digest()
    return mac.subarray(0, macBytes)
  }
}
