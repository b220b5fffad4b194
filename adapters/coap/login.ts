import { isUtf8 } from 'node:buffer'
import type { Credential } from '../../src/contract/index.ts'
import { defaultApp, isIdentifier } from '../../src/contract/index.ts'
import { checkProof, checkSecret, kdfFor } from '../../src/secrets/secrets.ts'
import { optionOf, textOption, uintOption } from './codec.ts'
import { code, option } from './codes.ts'
import type { Peer } from './datagrams.ts'
import { Echo } from './echo.ts'
import type { Exchange, Response } from './exchange.ts'
import type { House } from './house.ts'
import { type Query, queryOf, secondsOf } from './query.ts'
import { refusal, wrong } from './reasons.ts'
import type { CoapSession } from './session.ts'
import { credentialMark, type Sessions } from './sessions.ts'

const secretMaxBytes = 256
const proofBytes = 32
const transcriptPrefix = 'pike/1 coap '

export interface LoginBounds {
  /** Being judged at once: scrypt takes its time, and memory. */
  readonly loginsMax: number
  /** Take a bare secret from any address (rule 32). */
  readonly bareSecrets: boolean
}

/** What a device's proof is over: who it is and the Echo it was given. */
export const proofTranscript = (app: string, device: string, echo: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${transcriptPrefix}${app}/${device}\0`), echo])

/**
 * `POST /session`: who is there?
 *
 *     secret ──▶ from this machine, or wherever the operator allows it ──▶ 2.01 s/{token}
 *     nothing, or a secret from elsewhere ──▶ 4.01 with an Echo
 *     ?proof=hkdf, that Echo, and a proof over it ──▶ 2.01                           (rule 32)
 */
export class Login {
  readonly #house: House
  readonly #sessions: Sessions
  readonly #bounds: LoginBounds
  readonly #echo = new Echo()
  #underWay = 0
  failedTotal = 0
  ungrantedTotal = 0

  constructor(house: House, sessions: Sessions, bounds: LoginBounds) {
    this.#house = house
    this.#sessions = sessions
    this.#bounds = bounds
  }

  /** @returns the answer, or the session that was made, which answers for itself. */
  async take(exchange: Exchange): Promise<Response | CoapSession> {
    const query = queryOf(exchange.message.options)
    const asked = this.#asked(query)
    if ('code' in asked) return asked
    if (this.#underWay >= this.#bounds.loginsMax || this.#sessions.isFull) {
      return refusal('overloaded')
    }
    this.#underWay++
    try {
      return await this.#prove(exchange, query, asked)
    } finally {
      this.#underWay--
    }
  }

  #asked(query: Query): Asked | Response {
    const app = query.get('app') ?? defaultApp
    const device = query.get('device') ?? ''
    if (!isIdentifier(app) || !isIdentifier(device)) {
      return wrong(code.badRequest, '?device= names no device')
    }
    const other = query.get('for')
    if (other !== undefined && !isIdentifier(other)) {
      return wrong(code.badRequest, '?for= names no device')
    }
    const keepaliveMs = secondsOf(query, 'keepalive')
    if (keepaliveMs === 'malformed') return wrong(code.badRequest, '?keepalive= is in seconds')
    const server = query.get('server')
    if (server !== undefined && server !== 'coap') {
      return wrong(code.badRequest, '?server= is coap, or left out')
    }
    return { app, device, other, keepaliveMs, server: server !== undefined }
  }

  async #prove(
    exchange: Exchange,
    query: Query,
    { app, device, other, keepaliveMs, server }: Asked,
  ): Promise<Response | CoapSession> {
    const { core } = this.#house
    const { peer, message } = exchange
    const echo = optionOf(message.options, option.echo)
    const isFresh = echo !== undefined && this.#echo.isFresh(echo, peer, core.clock.nowMs())
    const offered = this.#offered(query, peer, message.payload, isFresh)
    if (offered === undefined) return this.#challenge(peer)
    if (offered === 'malformed') return wrong(code.badRequest, 'a proof is 32 bytes, a secret text')
    const { kdf } = offered
    const { limited } = await core.verifier(app, device, kdf, peer.address)
    if (limited) return refusal('rate-limited')
    const verifier = await core.verifier(app, device, kdf, peer.address)
    let fits: Credential | undefined
    if (offered.secret === undefined) {
      fits = checkProof(
        verifier.credentials,
        proofTranscript(app, device, echo ?? nothing),
        message.payload,
      )
    } else {
      fits = await checkSecret(verifier.credentials, app, device, offered.secret)
      // Judging takes a while, in which others were judged.
      const later = await core.verifier(app, device, kdf, peer.address)
      if (later.limited) return refusal('rate-limited')
    }
    if (fits === undefined || !verifier.admits) {
      this.failedTotal++
      core.wrongSecret(app, device, peer.address)
      return refusal('unauthorized')
    }
    const credential = credentialMark(fits)
    const speaksFor = other === undefined || other === device ? undefined : other
    // One it was not granted and one that is not there are refused alike (rule 31).
    if (speaksFor !== undefined && !(await core.grants(app, device, speaksFor))) {
      this.ungrantedTotal++
      return wrong(code.forbidden, '?for= names none that this device may speak for')
    }
    const who = speaksFor === undefined ? { device } : { device: speaksFor, via: device }
    const identity = { app, ...who, kdf, credential, keepaliveMs }
    try {
      return await this.#sessions.make(identity, peer, isFresh, server)
    } catch {
      return refusal('unavailable')
    }
  }

  /** undefined: it may not prove itself like that from there. */
  #offered(
    query: Query,
    peer: Peer,
    payload: Buffer,
    isFresh: boolean,
  ): Offered | 'malformed' | undefined {
    const proof = query.get('proof')
    if (proof !== undefined) {
      if (proof !== 'hkdf' && proof !== 'scrypt') return 'malformed'
      if (!isFresh) return undefined
      return payload.length === proofBytes ? { kdf: proof, secret: undefined } : 'malformed'
    }
    if (!this.#bounds.bareSecrets && !isLoopback(peer.address)) return undefined
    if (payload.length === 0) return undefined
    if (payload.length > secretMaxBytes || !isUtf8(payload)) return 'malformed'
    const secret = payload.toString()
    return { kdf: kdfFor(secret), secret }
  }

  #challenge(peer: Peer): Response {
    const value = this.#echo.make(peer, this.#house.core.clock.nowMs())
    return { code: code.unauthorized, options: [{ number: option.echo, value }] }
  }
}

/** Where its session is, and for how long it may be silent. */
export const welcome = (session: CoapSession): Response => ({
  code: code.created,
  options: [
    textOption(option.locationPath, 's'),
    textOption(option.locationPath, session.token),
    uintOption(option.maxAge, Math.floor(session.keepaliveMs / 1000)),
  ],
  // Again, for clients that show no options.
  payload: Buffer.from(`s/${session.token}`),
})

const nothing = Buffer.alloc(0)

interface Asked {
  readonly app: string
  readonly device: string
  /** For whom it speaks; undefined: itself. */
  readonly other: string | undefined
  readonly keepaliveMs: number | undefined
  readonly server: boolean
}

interface Offered {
  readonly kdf: Credential['kdf']
  /** undefined: a proof. */
  readonly secret: string | undefined
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address)
}
