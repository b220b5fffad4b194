import { createHash, randomBytes } from 'node:crypto'
import type { Credential } from '../../src/contract/index.ts'
import { deviceKey } from '../../src/contract/index.ts'
import { type Peer, peerAt } from './datagrams.ts'
import type { House } from './house.ts'
import { Observation } from './observation.ts'
import type { SendingRecord } from './sending.ts'
import { Serving, serverResource } from './serving.ts'
import { CoapSession, type Identity } from './session.ts'

/** A session as it outlasts a restart; its token is kept as a hash. */
export interface SessionRecord {
  readonly app: string
  readonly device: string
  readonly via?: string
  readonly kdf: Credential['kdf']
  readonly credential: string
  readonly keepaliveMs?: number
  readonly address: string
  readonly port: number
  readonly observed: readonly SendingRecord[]
}

const under = 'adapters/coap/sessions'
const pageMax = 500
const writesMax = 256
const tokenBytes = 16
/** Sessions of one device: what it left behind when it forgot its token. */
const deviceMax = 4

/** 128 bits and more; 22 letters and digits of base64url. */
const makeToken = (): string => randomBytes(tokenBytes).toString('base64url')
const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex')

/** Of a credential, so that a session can be told from those of the secret that came after. */
export const credentialMark = ({ storedKey }: Credential): string =>
  createHash('sha256').update(storedKey).digest('base64url').slice(0, 22)

/**
 * Every session there is, by its token, its address and its device.
 *
 * The store knows only hashes of tokens; a session of before a restart is found by that once, and by
 * its token from then on.
 */
export class Sessions {
  readonly #house: House
  readonly #max: number
  readonly #byToken = new Map<string, CoapSession>()
  /** Of before the restart, not heard of since. */
  readonly #byHash = new Map<string, CoapSession>()
  readonly #byPeer = new Map<string, CoapSession>()
  readonly #byDevice = new Map<string, CoapSession[]>()
  readonly #hashes = new Map<CoapSession, string>()
  readonly #unkept = new Set<CoapSession>()
  readonly #gone = new Set<string>()
  #writing: Promise<void> | undefined

  constructor(house: House, max: number) {
    this.#house = house
    this.#max = max
  }

  get size(): number {
    return this.#hashes.size
  }

  get isFull(): boolean {
    return this.size >= this.#max
  }

  all(): IterableIterator<CoapSession> {
    return this.#hashes.keys()
  }

  find(token: string): CoapSession | undefined {
    const known = this.#byToken.get(token)
    if (known !== undefined || this.#byHash.size === 0) return known
    const hash = hashOf(token)
    const restored = this.#byHash.get(hash)
    if (restored === undefined) return undefined
    this.#byHash.delete(hash)
    this.#byToken.set(token, restored)
    restored.token = token
    return restored
  }

  at(peer: Peer): CoapSession | undefined {
    return this.#byPeer.get(peer.key)
  }

  /** A new one, kept before it is told to anybody. Rejects when it cannot be. */
  async make(
    identity: Identity,
    peer: Peer,
    isProven: boolean,
    isServer: boolean,
  ): Promise<CoapSession> {
    const token = makeToken()
    const session = new CoapSession(this.#house, token, identity, peer, isProven)
    if (isServer) {
      session.sendings.set(serverResource, new Serving(this.#house, session, channelsOf('')))
    }
    const hash = hashOf(token)
    const change = { path: `${under}/${hash}`, value: JSON.stringify(recordOf(session)) }
    await this.#house.core.shelf.write([change])
    this.#byToken.set(token, session)
    this.#add(session, hash)
    return session
  }

  moved(session: CoapSession, fromKey: string): void {
    if (this.#byPeer.get(fromKey) === session) this.#byPeer.delete(fromKey)
    this.#byPeer.set(session.peer.key, session)
    this.keepSoon(session)
  }

  async keep(session: CoapSession): Promise<void> {
    const hash = this.#hashes.get(session)
    if (hash === undefined) return
    const change = { path: `${under}/${hash}`, value: JSON.stringify(recordOf(session)) }
    await this.#house.core.shelf.write([change])
  }

  keepSoon(session: CoapSession): void {
    if (this.#hashes.has(session)) this.#unkept.add(session)
  }

  forget(session: CoapSession): void {
    const hash = this.#hashes.get(session)
    if (hash === undefined) return
    this.#hashes.delete(session)
    this.#byHash.delete(hash)
    this.#byToken.delete(session.token)
    this.#unkept.delete(session)
    if (this.#byPeer.get(session.peer.key) === session) this.#byPeer.delete(session.peer.key)
    const key = deviceKey(session.app, session.device)
    const others = (this.#byDevice.get(key) ?? []).filter((other) => other !== session)
    if (others.length === 0) this.#byDevice.delete(key)
    else this.#byDevice.set(key, others)
    this.#gone.add(hash)
    session.end(false)
  }

  /** Write what changed since; what cannot be written now is written later. */
  flush(): Promise<void> {
    this.#writing ??= this.#flush().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  /** Those of before a restart. */
  async restore(): Promise<void> {
    let after: string | undefined
    do {
      const page = await this.#house.core.shelf.list(under, {
        limit: pageMax,
        ...(after !== undefined && { after }),
      })
      for (const { path, value } of page.items) this.#restoreOne(path, value)
      after = page.next
    } while (after !== undefined)
  }

  #restoreOne(path: string, value: string): void {
    const record = parseRecord(value)
    if (record === undefined) return
    const { app, device, via, kdf, credential, keepaliveMs, address, port } = record
    const identity = { app, device, via, kdf, credential, keepaliveMs }
    // It was proven before, and what it gets is notifications of its own commands.
    const session = new CoapSession(this.#house, '', identity, peerAt(address, port), true)
    for (const { resource, token, szx, explicit = false, dormant } of record.observed) {
      const sending =
        resource === serverResource
          ? new Serving(this.#house, session, channelsOf(''))
          : new Observation(
              this.#house,
              session,
              resource,
              channelsOf(resource),
              Buffer.from(token, 'hex'),
              szx,
              explicit,
            )
      sending.dormant = dormant === true
      session.sendings.set(resource, sending)
    }
    const hash = path.slice(under.length + 1)
    this.#byHash.set(hash, session)
    this.#add(session, hash)
  }

  #add(session: CoapSession, hash: string): void {
    this.#hashes.set(session, hash)
    this.#byPeer.set(session.peer.key, session)
    const key = deviceKey(session.app, session.device)
    const all = this.#byDevice.get(key)
    if (all === undefined) {
      this.#byDevice.set(key, [session])
      return
    }
    all.push(session)
    if (all.length <= deviceMax) return
    let oldest = all[0]!
    for (const one of all) if (one.heardAtMs < oldest.heardAtMs) oldest = one
    this.forget(oldest)
  }

  async #flush(): Promise<void> {
    while (this.#unkept.size > 0 || this.#gone.size > 0) {
      const changes: { path: string; value: string | undefined }[] = []
      const gone = [...this.#gone].slice(0, writesMax)
      for (const hash of gone) {
        this.#gone.delete(hash)
        changes.push({ path: `${under}/${hash}`, value: undefined })
      }
      const kept = [...this.#unkept].slice(0, writesMax - gone.length)
      for (const session of kept) {
        this.#unkept.delete(session)
        const hash = this.#hashes.get(session)!
        changes.push({ path: `${under}/${hash}`, value: JSON.stringify(recordOf(session)) })
      }
      try {
        await this.#house.core.shelf.write(changes)
      } catch {
        for (const hash of gone) this.#gone.add(hash)
        for (const session of kept) this.keepSoon(session)
        return
      }
    }
  }
}

/** The channels of what is observed or polled: all there are for everybody, or the one it names. */
export const channelsOf = (resource: string): readonly string[] =>
  resource === '' ? ['urgent', 'main'] : [resource]

function recordOf(session: CoapSession): SessionRecord {
  const { app, device, via, kdf, credential, keepaliveMs } = session.identity
  const { address, port } = session.peer
  return {
    app,
    device,
    ...(via !== undefined && { via }),
    kdf,
    credential,
    ...(keepaliveMs !== undefined && { keepaliveMs }),
    address,
    port,
    observed: session.observed,
  }
}

function parseRecord(value: string): SessionRecord | undefined {
  try {
    return JSON.parse(value) as SessionRecord
  } catch {
    return undefined // of a version to come, or damaged: its device makes a new one
  }
}
