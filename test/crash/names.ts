import type { Random } from '../support/random.ts'
import type { Names } from './asking.ts'
import type { Caller } from './caller.ts'
import { type Api, fieldOf, numberOf, textOf } from './http.ts'
import type { Journal } from './journal.ts'
import { absent } from './journal-many.ts'
import { keyWorks } from './load.ts'
import { NamedDevices } from './named-devices.ts'
import type { Parts } from './parts.ts'
import { noteRead, noteWrite } from './registers.ts'
import { Worker } from './worker.ts'

export interface NamesOptions {
  readonly journal: Journal
  readonly api: Api
  readonly caller: Caller
  readonly random: Random
  readonly parts: Parts
  readonly names: Names
  readonly era: () => number
  /** Commands a second of the load: quotas are drawn around it. */
  readonly rate: number
}

const aliasCount = 6
const liveKeysMax = 6

/**
 * Changes names while they are used: aliases are rebound, keys made and revoked, quotas set, devices
 * and tags come and go. Each name has one writer, so that what it may be at any moment is known.
 */
export class NamesLoad {
  readonly #options: NamesOptions
  readonly #workers: Worker[] = []
  readonly #devices: NamedDevices
  #keys = 0

  constructor(options: NamesOptions) {
    this.#options = options
    const { parts, random } = options
    this.#devices = new NamedDevices(options)
    const work = (pauseMs: readonly [number, number], step: () => Promise<void>): void => {
      this.#workers.push(new Worker(pauseMs, random.fork(), step))
    }
    if (parts.has('aliases')) work([40, 250], () => this.#alias())
    if (parts.has('keys')) work([150, 600], () => this.#key())
    if (parts.has('quota')) work([800, 3_000], () => this.#quota())
    if (parts.has('devices')) work([80, 400], () => this.#devices.step())
  }

  start(): void {
    for (const worker of this.#workers) worker.start()
  }

  /** Names stay as they are from here on; no app has a quota any more. */
  async stop(): Promise<void> {
    const { api } = this.#options
    const ran = this.#workers.some((worker) => worker.isRunning)
    await Promise.all(this.#workers.map((worker) => worker.stop()))
    if (!ran || !this.#options.parts.has('quota')) return
    for (let patience = 300; patience > 0 && api.base !== undefined; patience--) {
      if ((await this.#setQuota(undefined)) === 'done') return
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** Once more, when all is over: everything is what its last change made it. */
  async readAll(): Promise<void> {
    const { journal, names, caller, parts } = this.#options
    for (const alias of names.aliases) await this.#readAlias(alias)
    for (const name of names.keyTexts.keys()) await this.#probe(name)
    if (parts.has('quota')) await this.#readQuota()
    if (parts.has('devices')) await this.#devices.readAll()
    for (const { name } of journal.hooks) {
      const called = await caller.call('GET', `/v1/webhooks/${name}`)
      if (called.kind !== 'answered') continue
      const { status, body } = called.answer
      const value = status === 200 ? 'there' : absent
      noteRead(journal, called, [{ register: `webhook/${name}`, value }], 'the webhook')
      const said = fieldOf(body, 'status')
      journal.hookStatuses.push({
        name,
        waiting: numberOf(said, 'waiting') ?? Number.NaN,
        deadLetters: numberOf(said, 'deadLetters') ?? Number.NaN,
      })
    }
  }

  async #alias(): Promise<void> {
    const { journal, caller, random, names } = this.#options
    const alias = `site-${random.int(1, aliasCount)}`
    if (!names.aliases.includes(alias)) names.aliases.push(alias)
    const register = `alias/${alias}`
    const draw = random.next()
    if (draw < 0.15) await this.#readAlias(alias)
    else if (draw < 0.22) {
      const called = await caller.call('DELETE', `/v1/aliases/${alias}`)
      const changes = [{ register, value: absent }]
      noteWrite(journal, called, changes, ({ status }) => status === 204 || status === 404)
    } else {
      const device = random.pick(names.devices)
      const called = await caller.call('PUT', `/v1/aliases/${alias}`, { body: { device } })
      noteWrite(journal, called, [{ register, value: device }], ({ status }) => status < 300)
    }
  }

  async #readAlias(alias: string): Promise<void> {
    const { journal, caller } = this.#options
    const called = await caller.call('GET', `/v1/aliases/${alias}`)
    if (called.kind !== 'answered') return
    const { status, body } = called.answer
    if (status !== 200 && status !== 404) return
    const value = status === 404 ? absent : (textOf(body, 'device') ?? '?')
    noteRead(journal, called, [{ register: `alias/${alias}`, value }], 'the alias itself')
  }

  async #key(): Promise<void> {
    const { journal, caller, random, names } = this.#options
    const draw = random.next()
    if (names.keys.size === 0 || (draw < 0.35 && names.keys.size < liveKeysMax)) {
      const name = `svc-${++this.#keys}`
      // Its text is ours, so that it is known whether an answer comes or not.
      const key = `${name}-${random.int(1e8, 1e9)}-${random.int(1e8, 1e9)}`
      names.keyTexts.set(name, key)
      const body = { scopes: ['commands', 'devices'], key }
      const called = await caller.call('PUT', `/v1/apps/default/keys/${name}`, { body })
      const changes = [{ register: `key/${name}`, value: 'works' }]
      if (noteWrite(journal, called, changes, ({ status }) => status === 201) === 'done') {
        names.keys.add(name)
      }
    } else if (draw < 0.6) {
      const name = random.pick([...names.keyTexts.keys()])
      const called = await caller.call('DELETE', `/v1/apps/default/keys/${name}`)
      const changes = [{ register: `key/${name}`, value: absent }]
      const isDone = ({ status }: { status: number }) => status === 204 || status === 404
      if (noteWrite(journal, called, changes, isDone) === 'done') names.keys.delete(name)
    } else await this.#probe(random.pick([...names.keyTexts.keys()]))
  }

  /** Does it work? A name that was never kept must not. */
  async #probe(name: string): Promise<void> {
    const { journal, caller, names } = this.#options
    const key = names.keyTexts.get(name)
    const called = await caller.call('GET', '/v1/devices?limit=1', { key })
    if (called.kind !== 'answered') return
    const { status, body } = called.answer
    // A right key is never told so.
    const wrong = textOf(body, 'type') === '/problems/too-many-wrong-keys'
    const value = wrong ? absent : keyWorks(status)
    if (value === undefined) return
    noteRead(journal, called, [{ register: `key/${name}`, value }], 'a call with it')
  }

  async #quota(): Promise<void> {
    const { random, rate } = this.#options
    const draw = random.next()
    if (draw < 0.2) await this.#readQuota()
    else await this.#setQuota(draw < 0.6 ? undefined : random.int(Math.ceil(rate / 2), rate * 3))
  }

  async #setQuota(commandsPerSecond: number | undefined): Promise<'done' | 'refused' | 'unclear'> {
    const { journal, caller } = this.#options
    const quota = commandsPerSecond === undefined ? null : { commandsPerSecond }
    const called = await caller.call('PUT', '/v1/apps/default', { body: { quota } })
    const value = commandsPerSecond === undefined ? absent : `${commandsPerSecond}`
    return noteWrite(journal, called, [{ register: 'quota', value }], ({ status }) => status < 300)
  }

  async #readQuota(): Promise<void> {
    const { journal, caller } = this.#options
    const called = await caller.call('GET', '/v1/apps/default')
    if (called.kind !== 'answered' || called.answer.status !== 200) return
    const quota = numberOf(fieldOf(called.answer.body, 'quota'), 'commandsPerSecond')
    const value = quota === undefined ? absent : `${quota}`
    noteRead(journal, called, [{ register: 'quota', value }], 'the app itself')
  }
}
