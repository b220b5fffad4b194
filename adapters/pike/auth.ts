import { randomBytes } from 'node:crypto'
import type { Core, Credential, DeviceId } from '../../src/contract/index.ts'
import { checkProof, checkSecret, kdfFor, serverProof } from '../../src/secrets/secrets.ts'
import type { AuthFrame, HelloFrame } from './frames.ts'
import { capability, nonceBytes } from './frames.ts'
import type { Overdue, Refused } from './gate.ts'

/** What an opening asks of its connection. */
export interface OpeningHost {
  readonly peer: string
  readonly secure: boolean
  sendChallenge(channelNumber: number, kdf: Credential['kdf'], nonce: Uint8Array): Uint8Array
  openingOverdue(opening: Opening): void
}

/** The device is who it says. `proof` is ours to it; empty when it asked for none. */
export interface Proved {
  readonly kind: 'proved'
  readonly proof: Uint8Array
  /** Another device of its app, which proved itself, speaks for it. */
  readonly via?: DeviceId | undefined
}

const rateLimited: Refused = {
  kind: 'refused',
  reason: 'rate-limited',
  retryAfterMs: 60_000,
}
const noProof = new Uint8Array(0)

/**
 * One channel between its HELLO and its WELCOME; let go after. It holds what a handshake needs and
 * an open channel does not.
 *
 *     HELLO ──▶ verifier ──▶ challenge ──▶ proof ──▶ proved
 *        └────────▶ (TLS) ────────────────▶ secret ──▶ proved
 */
export class Opening implements Overdue {
  readonly channelNumber: number
  readonly #host: OpeningHost
  #answer: AuthFrame | undefined
  #answered: (() => void) | undefined
  #challenged = false
  #over = false

  constructor(host: OpeningHost, channelNumber: number) {
    this.#host = host
    this.channelNumber = channelNumber
  }

  /** True once nobody waits for its end: given up, or the connection is gone. */
  get isOver(): boolean {
    return this.#over
  }

  giveUp(): void {
    this.#over = true
    this.#answered?.()
  }

  overdue(): void {
    this.#host.openingOverdue(this)
  }

  /** The client's AUTH. @returns why it may not come now, if so. */
  take(frame: AuthFrame): string | undefined {
    if (frame.method === 'challenge') return 'a challenge from a client'
    if (this.#answer !== undefined) return 'a second AUTH'
    if (frame.method === 'proof' && !this.#challenged) return 'a proof before the challenge'
    if (frame.method === 'secret' && !this.#host.secure) return 'a bare secret outside TLS'
    this.#answer = frame
    this.#answered?.()
    return undefined
  }

  /**
   * An unknown device, a disabled one and a wrong secret take the same path and the same time, and
   * get the same answer (rule 31). So the kdf is what HELLO asks for, never what is stored.
   * @returns undefined when given up meanwhile.
   */
  async authenticate(
    core: Core,
    app: string,
    hello: HelloFrame,
    helloBytes: Uint8Array,
  ): Promise<Proved | Refused | undefined> {
    const { device } = hello
    const { peer } = this.#host
    let kdf: Credential['kdf'] =
      (hello.capabilities & capability.stretched) === 0 ? 'hkdf' : 'scrypt'
    const { limited } = await core.verifier(app, device, kdf, peer)
    if (this.#over) return undefined
    if (limited) return rateLimited
    let transcript: Uint8Array = noProof
    if (hello.nonce.length > 0 && this.#answer === undefined) {
      this.#challenged = true
      const nonce = randomBytes(nonceBytes)
      const challenge = this.#host.sendChallenge(this.channelNumber, kdf, nonce)
      transcript = Buffer.concat([helloBytes, challenge])
    }
    const answer = await this.#awaitAnswer()
    if (answer === undefined) return undefined
    // A bare secret says itself what it is.
    if (answer.method === 'secret') kdf = kdfFor(answer.secret)
    // Asked again: handshakes that were begun side by side must not each have a guess.
    const verifier = await core.verifier(app, device, kdf, peer)
    if (this.#over) return undefined
    if (verifier.limited) return rateLimited
    const { credentials } = verifier
    let fits: Credential | undefined
    if (answer.method === 'proof') {
      fits = checkProof(credentials, transcript, answer.proof)
    } else if (answer.method === 'secret') {
      fits = await checkSecret(credentials, app, device, answer.secret)
      // Judging takes a while, in which others were judged.
      const later = await core.verifier(app, device, kdf, peer)
      if (this.#over) return undefined
      if (later.limited) return rateLimited
    }
    if (fits === undefined || !verifier.admits) {
      core.wrongSecret(app, device, peer)
      return { kind: 'refused', reason: 'unauthorized' }
    }
    const proof = answer.method === 'proof' ? serverProof(fits.serverKey, transcript) : noProof
    return { kind: 'proved', proof }
  }

  async #awaitAnswer(): Promise<AuthFrame | undefined> {
    if (this.#answer === undefined && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#answered = resolve
      })
    }
    return this.#over ? undefined : this.#answer
  }
}
