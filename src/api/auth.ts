import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock, KeyRecord, Names, Scope } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import type { Holds } from './holds.ts'
import { refuse } from './problems.ts'
import { WrongKeys } from './wrong-keys.ts'

type Hook = (request: FastifyRequest, reply: FastifyReply, done: () => void) => void

/** What an `Authorization` header's key is kept as. */
export const keyHash = (key: string): string => hash('sha256', key, 'hex')

const mayDo = ({ scopes }: KeyRecord, scope: Scope): boolean =>
  scopes.includes(scope) || scopes.includes('admin')

/**
 * Who calls: looked up by the hash of the key, so comparing takes no secret and leaks no time.
 * Hooks are made once a scope; everything after them sees only the key's own app.
 */
export class Auth {
  readonly #names: Pick<Names, 'keyByHash'>
  readonly #holds: Holds
  readonly #wrongKeys: WrongKeys
  /** Of headers that named a key, so that a busy back end's is not hashed for every call. */
  readonly #hashes = new Map<string, string>()

  constructor(names: Pick<Names, 'keyByHash'>, holds: Holds, clock: Pick<Clock, 'nowMs'>) {
    this.#names = names
    this.#holds = holds
    this.#wrongKeys = new WrongKeys(clock)
  }

  /** Let through keys with this scope; without one, whoever has a key. */
  scope(scope?: Scope): Hook {
    return (request, reply, done) => {
      if (this.#holds.closed) {
        refuse(reply, 'stopping', undefined, apiBounds.retryAfterSeconds * 1000)
        return
      }
      const { authorization } = request.headers
      const key = this.#keyOf(authorization)
      if (key === undefined) {
        // Without a key nothing was guessed.
        const { remoteAddress } = request.raw.socket
        const waitMs = authorization === undefined ? 0 : this.#wrongKeys.another(remoteAddress)
        if (waitMs > 0) {
          refuse(reply, 'too-many-wrong-keys', undefined, waitMs)
          return
        }
        reply.header('www-authenticate', 'Bearer realm="pike"')
        refuse(reply, 'unauthorized')
        return
      }
      if (scope !== undefined && !mayDo(key, scope)) {
        this.refuse(reply, scope)
        return
      }
      request.key = key
      done()
    }
  }

  /** The key of this call has not this scope. */
  refuse(reply: object, scope: Scope): FastifyReply {
    ;(reply as FastifyReply).header(
      'www-authenticate',
      `Bearer error="insufficient_scope", scope="${scope}"`,
    )
    return refuse(reply, 'forbidden', { detail: `needs the scope ${scope}`, scope })
  }

  /** Is this key still somebody, and may it still do this? For calls that last. */
  stillValid(key: KeyRecord, scope?: Scope): boolean {
    const now = this.#names.keyByHash(key.hash)
    if (now === undefined || now.app !== key.app || now.name !== key.name) return false
    return scope === undefined || mayDo(now, scope)
  }

  #keyOf(header: string | undefined): KeyRecord | undefined {
    if (header === undefined || header.length < 8) return undefined
    const known = this.#hashes.get(header)
    if (known !== undefined) return this.#names.keyByHash(known)
    if (header.slice(0, 7).toLowerCase() !== 'bearer ') return undefined
    const hashed = keyHash(header.slice(7).trim())
    const key = this.#names.keyByHash(hashed)
    if (key === undefined) return undefined
    if (this.#hashes.size >= apiBounds.keyHashesMax) this.#hashes.clear()
    this.#hashes.set(header, hashed)
    return key
  }
}
