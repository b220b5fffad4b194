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
/** Derived, and not held: there may be a hundred thousand sessions, and it is asked for now and then. */
const pathOf = ({ token, hash }: CoapSession): string => `${under}/${hash ?? hashOf(token)}`

const markLength = 22
/**
 * Of a credential, so that a session can be told from those of the secret that came after. By way of
 * bytes: part of a text would hold on to the whole of it, for as long as the session.
 */
export const credentialMark = ({ storedKey }: Credential): string => {
  const text = createHash('sha256').update(storedKey).digest('base64url')
  return Buffer.from(text, 'latin1').toString('latin1', 0, markLength)
}

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
  readonly #all = new Set<CoapSession>()
  readonly #unkept = new Set<CoapSession>()
  /** Where those lay that are over. */
  readonly #gone = new Set<string>()
  #writing: Promise<void> | undefined

  constructor(house: House, max: number) {
    this.#house = house
    this.#max = max
  }

  get size(): number {
    return this.#all.size
  }

  get isFull(): boolean {
    return this.size >= this.#max
  }

  all(): IterableIterator<CoapSession> {
    return this.#all.values()
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
    restored.hash = undefined
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
      session.addSending(new Serving(this.#house, session, channelsOf('')))
    }
    const change = { path: pathOf(session), value: JSON.stringify(recordOf(session)) }
    await this.#house.core.shelf.write([change])
    this.#byToken.set(token, session)
    this.#add(session)
    return session
  }

  moved(session: CoapSession, fromKey: string): void {
    if (this.#byPeer.get(fromKey) === session) this.#byPeer.delete(fromKey)
    this.#byPeer.set(session.peer.key, session)
    this.keepSoon(session)
  }

  async keep(session: CoapSession): Promise<void> {
    if (!this.#all.has(session)) return
    const change = { path: pathOf(session), value: JSON.stringify(recordOf(session)) }
    await this.#house.core.shelf.write([change])
  }

  keepSoon(session: CoapSession): void {
    if (this.#all.has(session)) this.#unkept.add(session)
  }

  forget(session: CoapSession): void {
    if (!this.#all.delete(session)) return
    if (session.hash !== undefined) this.#byHash.delete(session.hash)
    this.#byToken.delete(session.token)
    this.#unkept.delete(session)
    if (this.#byPeer.get(session.peer.key) === session) this.#byPeer.delete(session.peer.key)
    const key = deviceKey(session.app, session.device)
    const others = (this.#byDevice.get(key) ?? []).filter((other) => other !== session)
    if (others.length === 0) this.#byDevice.delete(key)
    else this.#byDevice.set(key, others)
    this.#gone.add(pathOf(session))
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
      session.addSending(sending)
    }
    session.hash = path.slice(under.length + 1)
    this.#byHash.set(session.hash, session)
    this.#add(session)
  }

  #add(session: CoapSession): void {
    this.#all.add(session)
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
      for (const path of gone) {
        this.#gone.delete(path)
        changes.push({ path, value: undefined })
      }
      const kept = [...this.#unkept].slice(0, writesMax - gone.length)
      for (const session of kept) {
        this.#unkept.delete(session)
        changes.push({ path: pathOf(session), value: JSON.stringify(recordOf(session)) })
      }
      try {
        await this.#house.core.shelf.write(changes)
      } catch {
        for (const path of gone) this.#gone.add(path)
        for (const session of kept) this.keepSoon(session)
        return
      }
    }
  }
}

/** The channels of what is observed or polled: all there are for everybody, or the one it names. */
export const channelsOf = (resource: string): readonly string[] =>
  resource === '' ? everybodys : [resource]

const everybodys: readonly string[] = ['urgent', 'main']

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
