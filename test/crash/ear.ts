import { numberOf } from './http.ts'
import type { Family, Journal, Wire } from './journal.ts'
import { channelOfId, deviceOfId, isForLater } from './judge/facts.ts'

/** Listens to one connection, and writes down what its messages say. */
export interface Ear {
  /** Whose it is; empty while that is not known. */
  readonly device: string
  /** @returns false: these bytes are not of its protocol. */
  hear(chunk: Buffer, up: boolean): boolean
  /** The connection is gone. @param heardAtMs when the last bytes of the device came. */
  gone(heardAtMs?: number): void
}

/** What all ears of a run write into. */
export interface Paper {
  readonly journal: Journal
  /** A number nobody else has. */
  readonly nextSession: () => number
}

/** Notes of a protocol whose messages name their command, so that its id says device and channel. */
export class Notes {
  readonly #paper: Paper
  readonly #family: Family
  readonly #sessions = new Map<string, { readonly session: number; readonly device: string }>()

  constructor(paper: Paper, family: Family) {
    this.#paper = paper
    this.#family = family
  }

  /** The session of this device and channel, here. */
  session(device: string, channel: string, of = ''): number {
    const key = `${of} ${device}/${channel}`
    let known = this.#sessions.get(key)
    if (known === undefined) {
      known = { session: this.#paper.nextSession(), device }
      this.#sessions.set(key, known)
    }
    return known.session
  }

  note(session: number, device: string, channel: string, what: Wire['what']): void {
    const family = this.#family
    this.#paper.journal.wire.push({ session, family, device, channel, atMs: Date.now(), what })
  }

  command(
    id: string,
    repeated: boolean,
    payload: unknown,
    place: { readonly epoch: number; readonly offset: number } = placeIn(id),
    of = '',
  ): void {
    const [device, channel] = [deviceOfId(id), channelOfId(id)]
    const what = { kind: 'command', ...place, id, repeated, n: numberOf(payload, 'n') } as const
    this.note(this.session(device, channel, of), device, channel, what)
  }

  taken(id: string, of = ''): void {
    const [device, channel] = [deviceOfId(id), channelOfId(id)]
    this.note(this.session(device, channel, of), device, channel, { kind: 'taken', id })
  }

  reply(id: string, status: string): void {
    const [device, channel] = [deviceOfId(id), channelOfId(id)]
    const what = { kind: 'reply', sequence: 0, ...placeIn(id), id, status } as const
    this.note(this.session(device, channel), device, channel, what)
  }

  event(device: string, channel: string, payload: unknown, arrival: string): void {
    const u = numberOf(payload, 'u')
    if (u === undefined) return
    this.note(this.session(device, channel), device, channel, { kind: 'event', u, arrival })
  }

  gone(life: { readonly heardAtMs?: number; readonly deadAfterMs?: number } = {}): void {
    for (const [key, { session, device }] of this.#sessions) {
      this.note(session, device, key.slice(key.indexOf('/') + 1), { kind: 'gone', ...life })
    }
    this.#sessions.clear()
  }
}

/**
 * Where an id says that its command lies; of what was for later nothing but the id is known.
 * @param at where its message says so besides, `epoch:offset` as at the end of an id.
 */
export function placeIn(
  id: string,
  at = isForLater(id) ? '0:' : id.split(':').slice(2).join(':'),
): { readonly epoch: number; readonly offset: number } {
  const [epoch = '', offset = ''] = at.split(':')
  return { epoch: Number.parseInt(epoch, 36), offset: offset === '' ? Number.NaN : Number(offset) }
}

const isId = /^[^:/]+:[^:/]+:[0-9a-z]+:\d+$/

/** The id among the words of a topic or path, and what stands behind it. */
export function idAmong(
  words: readonly string[],
): { id: string; rest: readonly string[] } | undefined {
  const at = words.findIndex((word) => isId.test(word))
  return at < 0 ? undefined : { id: words[at]!, rest: words.slice(at + 1) }
}

export function readJson(bytes: Uint8Array | string): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}
