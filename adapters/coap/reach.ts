import { amplificationMax, type Peer } from './datagrams.ts'
import type { Messages } from './messages.ts'
import type { Careful, Transmission } from './transmissions.ts'

const pingBytes = 4

/** Who is told what comes of it. */
export interface ReachUser {
  /** The device answered what only somebody at that address could know of. */
  proved(): void
}

/**
 * Where a device is reached: the newest address its token came from, and what may be sent there.
 *
 *     new address ──▶ at most 3 × what came from it ──▶ it answered a ping, an ACK or an Echo ──▶ proven
 */
export class Reach implements Careful {
  readonly #messages: Messages
  readonly #user: ReachUser
  #peer: Peer
  #isProven: boolean
  #credit = 0
  #ping: Transmission | undefined

  constructor(messages: Messages, user: ReachUser, peer: Peer, isProven: boolean) {
    this.#messages = messages
    this.#user = user
    this.#peer = peer
    this.#isProven = isProven
  }

  get peer(): Peer {
    return this.#peer
  }

  get isProven(): boolean {
    return this.#isProven
  }

  /** A datagram with its token came. @returns whether from another address than before. */
  heard(peer: Peer, bytes: number): boolean {
    const isNew = peer.key !== this.#peer.key
    if (isNew) {
      this.#peer = peer
      this.#isProven = false
      this.#credit = 0
      if (this.#ping !== undefined) this.#messages.move(this.#ping, peer)
    }
    if (!this.#isProven) this.#credit += bytes * amplificationMax
    return isNew
  }

  prove(): void {
    this.#isProven = true
  }

  /** May so much be sent, and is that all right from now on? Else it is asked to prove its address. */
  mayGet(bytes: number): boolean {
    if (this.#isProven || bytes <= this.#credit) return true
    this.ping()
    return false
  }

  /** The same, of what is being sent. */
  mayWrite(bytes: number): boolean {
    if (this.#isProven) return true
    if (bytes > this.#credit) return false
    this.#credit -= bytes
    return true
  }

  /** How large an answer may be. */
  get room(): number {
    return this.#isProven ? Number.POSITIVE_INFINITY : this.#credit
  }

  /** Ask for a sign of life, unless that is under way. */
  ping(): void {
    if (this.#ping !== undefined) return
    if (!this.#isProven && this.#credit < pingBytes) return
    this.#ping = this.#messages.ping(this.#peer, this, (fate) => {
      this.#ping = undefined
      if (fate !== 'timeout') this.#user.proved()
    })
  }

  /** Nobody waits for it any more. */
  stop(): void {
    if (this.#ping !== undefined) this.#messages.cancel(this.#ping)
    this.#ping = undefined
  }
}
