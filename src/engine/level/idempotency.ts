import { hash } from 'node:crypto'
import type { AppId, Clock } from '../../contract/index.ts'
import type { Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import { answerKey, answersBefore, answersOn } from './keys.ts'
import { Seen } from './seen.ts'
import type { Store } from './store.ts'

const dayMs = 24 * 3_600_000
/** Keys as they are up to this length, if they are plain; else their hash. */
const plainKey = /^[\x21-\x7e]{1,64}$/

export interface Answer {
  readonly hash: string
  /** Of a command, or of a broadcast. */
  readonly id: string
  readonly atMs: number
}

/**
 * Answers by idempotency key (rule 28), in buckets of a day, so that whole buckets are forgotten.
 * Those that are not durable yet are in memory: who comes with the same key waits for the first.
 */
export class Idempotency implements Part {
  readonly #database: Database
  readonly #apps: Pick<Apps, 'get'>
  readonly #clock: Clock
  readonly #keptMs: number
  #fresh = new Map<string, Answer>()
  #writing = new Map<string, Answer>()
  /**
   * Days that may hold an answer, the others are not looked into. With what was kept in this start;
   * without for a day with answers of earlier starts, which is always looked into.
   */
  readonly #days = new Map<number, Seen | undefined>()

  constructor(database: Database, apps: Pick<Apps, 'get'>, clock: Clock, keptMs: number) {
    this.#database = database
    this.#apps = apps
    this.#clock = clock
    this.#keptMs = keptMs
  }

  /** At once, from memory or the store; throws when the store cannot be read. */
  find(app: AppId, key: string): Answer | undefined {
    const name = this.#nameOf(app, key)
    const atMs = this.#clock.nowMs()
    const today = Math.floor(atMs / dayMs)
    const oldest = Math.floor((atMs - this.#keptMs) / dayMs)
    for (let day = today; day >= oldest; day--) {
      if (!this.#days.has(day)) continue
      const at = answerKey(day, app, name)
      if (this.#days.get(day)?.has(at) === false) continue
      const answer = this.#fresh.get(at) ?? this.#writing.get(at) ?? this.#stored(at)
      if (answer !== undefined && atMs < answer.atMs + this.#keptMs) return answer
    }
    return undefined
  }

  /** What to answer to who asks for a command or a broadcast; undefined: nobody did with this key. */
  answer(
    app: AppId,
    asked: { readonly key: string; readonly hash: string },
    kind: 'command' | 'broadcast',
  ): { readonly kind: 'repeat' | 'conflict'; readonly id: string } | undefined {
    const earlier = this.find(app, asked.key)
    if (earlier === undefined) return undefined
    // Ids of commands have colons, no identifier has.
    const same = earlier.hash === asked.hash && earlier.id.includes(':') === (kind === 'command')
    return { kind: same ? 'repeat' : 'conflict', id: earlier.id }
  }

  /** Part of the append's commit. */
  keep(app: AppId, key: string, bodyHash: string, id: string): void {
    const atMs = this.#clock.nowMs()
    const day = Math.floor(atMs / dayMs)
    if (!this.#days.has(day)) this.#days.set(day, new Seen())
    const at = answerKey(day, app, this.#nameOf(app, key))
    const answer: Answer = { hash: bodyHash, id, atMs }
    this.#days.get(day)?.add(at)
    this.#fresh.set(at, answer)
    this.#database.put(at, JSON.stringify([atMs, bodyHash, id]))
  }

  /** Forget the days that nobody can ask for any more. */
  async purge(): Promise<void> {
    const oldest = Math.floor((this.#clock.nowMs() - this.#keptMs) / dayMs)
    await this.#database.store.clear(answersBefore(oldest))
    for (const day of this.#days.keys()) if (day < oldest) this.#days.delete(day)
  }

  encode(): void {
    this.#writing = this.#fresh
    this.#fresh = new Map()
  }

  synced(): void {
    this.#writing = new Map()
  }

  drop(): void {
    this.#fresh = new Map()
    this.#writing = new Map()
    this.#days.clear()
  }

  async load(store: Store): Promise<void> {
    const today = Math.floor(this.#clock.nowMs() / dayMs)
    for (let day = today + 1; day >= today - Math.ceil(this.#keptMs / dayMs); day--) {
      const [first] = await store.keys({ ...answersOn(day), limit: 1 }).all()
      if (first !== undefined) this.#days.set(day, undefined)
    }
  }

  /** One name for each app that had the same: an answer is only for the app it was given to. */
  #nameOf(app: AppId, key: string): string {
    const generation = this.#apps.get(app)?.generation ?? 0
    return generation === 0 ? nameOf(key) : `${generation}${nameOf(key)}`
  }

  #stored(at: string): Answer | undefined {
    const value = this.#database.store.getSync(at)
    if (value === undefined) return undefined
    const [atMs, bodyHash, id] = JSON.parse(value.toString()) as [number, string, string]
    return { atMs, hash: bodyHash, id }
  }
}

const nameOf = (key: string): string =>
  plainKey.test(key) ? `=${key}` : `#${hash('sha256', Buffer.from(key, 'utf16le'), 'base64url')}`
