import { hash } from 'node:crypto'
import type { AppId, Core, DeviceId } from '../../src/contract/index.ts'
import { defaultApp, isIdentifier } from '../../src/contract/index.ts'
import { checkSecret, kdfFor } from '../../src/secrets/secrets.ts'
import { httpBounds } from './bounds.ts'
import { type Refusal, refusalOf } from './problems.ts'

/** Who somebody says to be. */
export interface Claimed {
  readonly app: AppId
  readonly device: DeviceId
  readonly secret: string
}

const limitedMs = 60_000
const secretMaxChars = 1_024

/**
 * `Basic base64(device:secret)` or `Bearer device:secret`, outside the app `default` with `app/`
 * before. Source: RFC 7617, RFC 6750.
 */
export function readAuthorization(header: string): Claimed | undefined {
  const match = /^(basic|bearer) +(\S+) *$/i.exec(header)
  if (match === null) return undefined
  const isBasic = match[1]!.toLowerCase() === 'basic'
  const text = isBasic ? Buffer.from(match[2]!, 'base64').toString('utf8') : match[2]!
  const colon = text.indexOf(':')
  if (colon === -1) return undefined
  const slash = text.slice(0, colon).indexOf('/')
  const app = slash === -1 ? defaultApp : text.slice(0, slash)
  const device = text.slice(slash + 1, colon)
  const secret = text.slice(colon + 1)
  if (!isIdentifier(app) || !isIdentifier(device)) return undefined
  if (secret === '' || secret.length > secretMaxChars) return undefined
  return { app, device, secret }
}

/** Who it is, proved. */
export interface Proved {
  readonly app: AppId
  readonly device: DeviceId
}

interface Proof extends Proved {
  readonly untilMs: number
}

export type Proving = Proved | Refusal

/**
 * Who asks. Every request brings the secret, and checking it costs an HKDF or, of a short one, a
 * scrypt; so what was proved is believed for a moment. Remembered is a hash of the header, never the
 * header. A wrong secret is never remembered: each counts.
 *
 *     header ─▶ hash ─┬─ proved lately ─────────────────▶ device
 *                     ├─ being proved by another request ─▶ its answer
 *                     ╰─ verifier ─▶ checkSecret ─▶ verifier: limited meanwhile? ─▶ device
 */
export class Doorman {
  readonly #core: Core
  /** The oldest first. */
  readonly #proofs = new Map<string, Proof>()
  readonly #proving = new Map<string, Promise<Proving>>()

  constructor(core: Core) {
    this.#core = core
  }

  get remembered(): number {
    return this.#proofs.size
  }

  prove(header: string | undefined, peer: string): Proved | Promise<Proving> | Refusal {
    if (header === undefined) return unauthorized
    const key = hash('sha256', header, 'base64')
    const known = this.#proofs.get(key)
    if (known !== undefined && this.#core.clock.nowMs() < known.untilMs) return known
    const claimed = readAuthorization(header)
    // Nothing that could be anybody's: nothing was guessed.
    if (claimed === undefined) return unauthorized
    const same = this.#proving.get(key)
    if (same !== undefined) return same
    // What was right a moment ago is no guess: however many guess, they do not keep it out.
    const full = known === undefined && this.#proving.size >= httpBounds.provingMax
    if (full) return refusalOf('overloaded', 1_000)
    const proving = this.#prove(key, claimed, peer).finally(() => this.#proving.delete(key))
    this.#proving.set(key, proving)
    return proving
  }

  /** What it proved is believed no longer. */
  forget({ app, device }: Proved): void {
    for (const [key, proof] of this.#proofs)
      if (proof.device === device && proof.app === app) this.#proofs.delete(key)
  }

  /** An unknown device, a disabled one and a wrong secret take the same path (rule 31). */
  async #prove(key: string, { app, device, secret }: Claimed, peer: string): Promise<Proving> {
    const core = this.#core
    const kdf = kdfFor(secret)
    const verifier = await core.verifier(app, device, kdf, peer)
    if (verifier.limited) return rateLimited
    const fits = await checkSecret(verifier.credentials, app, device, secret)
    // Judging takes a while, in which others were judged.
    const later = await core.verifier(app, device, kdf, peer)
    this.#proofs.delete(key)
    if (later.limited) return rateLimited
    if (fits === undefined || !verifier.admits || !later.admits) {
      core.wrongSecret(app, device, peer)
      return unauthorized
    }
    const proof = { app, device, untilMs: core.clock.nowMs() + httpBounds.provedMs }
    if (this.#proofs.size >= httpBounds.provedMax) {
      for (const oldest of this.#proofs.keys()) {
        this.#proofs.delete(oldest)
        break
      }
    }
    this.#proofs.set(key, proof)
    return proof
  }
}

const unauthorized: Refusal = { problem: 'unauthorized' }
const rateLimited: Refusal = { problem: 'rate-limited', retryAfterMs: limitedMs }
