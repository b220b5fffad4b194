import { fieldOf, textOf } from './http.ts'
import { absent } from './journal-many.ts'
import { LineCall } from './line-call.ts'
import { sleep } from './load.ts'
import type { NamesOptions } from './names.ts'
import { type Change, noteRead, noteWrite } from './registers.ts'

const ghostCount = 24
/** Tags that come and go; beside them every real device has {@link steadyTag} for good. */
const tags = ['red', 'blue'] as const
export const steadyTag = 'lockers'
/** What of it is written in one go, of a call of many lines. */
const lineEveryMs = [0, 30] as const

/** Devices nobody is: registered in bulk, tagged, removed, and registered again. */
export class NamedDevices {
  readonly #options: NamesOptions
  /** By the last answer; unclear ones count as there. */
  readonly #there = new Set<string>()

  constructor(options: NamesOptions) {
    this.#options = options
  }

  async step(): Promise<void> {
    const { random, names } = this.#options
    const draw = random.next()
    if (this.#there.size < 4 || draw < 0.2) await this.#register()
    else if (draw < 0.35) await this.#remove(random.pick([...this.#there]))
    else if (draw < 0.75) {
      const all = random.chance(0.5) ? names.devices : [...this.#there]
      await this.#tag(random.pick(tags), random.pick(all), random.chance(0.6))
    } else if (draw < 0.9) await this.#readTag(random.pick(tags))
    else await this.#readDevice(`ghost-${random.int(1, ghostCount)}`)
  }

  async readAll(): Promise<void> {
    for (const tag of [...tags, steadyTag]) await this.#readTag(tag)
    for (let at = 1; at <= ghostCount; at++) await this.#readDevice(`ghost-${at}`)
  }

  /** Some at once; what was not answered when the call broke may be there or not. */
  async #register(): Promise<void> {
    const { journal, api, era, random } = this.#options
    const csv = random.chance(0.4)
    const lines: { device: string; tags: string[]; askedAtMs: number; answered: boolean }[] = []
    const call = new LineCall({
      api,
      journal,
      era,
      path: '/v1/devices',
      contentType: csv ? 'text/csv' : 'application/x-ndjson',
      answered: (line, status) => {
        // A row of CSV is numbered from behind the header.
        const one = lines[line - 1]
        if (one === undefined || one.answered) return
        one.answered = true
        if (status < 300) this.#note(one, Date.now())
        else if (status === 503 || status === 507) this.#note(one, undefined)
      },
    })
    if (csv && call.isOpen) call.write('device,tags')
    const count = random.int(2, 10)
    const first = random.int(1, ghostCount)
    for (let at = 0; at < count && call.isOpen; at++) {
      const device = `ghost-${((first + at) % ghostCount) + 1}`
      const own = tags.filter(() => random.chance(0.5))
      lines.push({ device, tags: own, askedAtMs: Date.now(), answered: false })
      // An empty cell of CSV says nothing, so a device without tags is told apart by one of its own.
      if (csv) call.write(`${device},${own.length === 0 ? 'none' : own.join(';')}`)
      else call.write(JSON.stringify({ device, tags: own }))
      await sleep(random.int(lineEveryMs[0], lineEveryMs[1]))
    }
    call.finish()
    await call.ended
    for (const one of lines) {
      if (!one.answered && call.seen.end !== 'unreached') this.#note(one, undefined)
    }
  }

  #note(
    { device, tags: own, askedAtMs }: { device: string; tags: string[]; askedAtMs: number },
    answeredAtMs: number | undefined,
  ): void {
    const { journal, names } = this.#options
    const verdict = answeredAtMs === undefined ? 'unclear' : 'kept'
    const on = (tag: string): string => (own.includes(tag) ? 'on' : absent)
    const changes: Change[] = [
      { register: `device/${device}`, value: 'there' },
      ...tags.map((tag) => ({ register: `tag/${tag}/${device}`, value: on(tag) })),
    ]
    for (const change of changes)
      journal.writes.push({ ...change, askedAtMs, answeredAtMs, verdict })
    this.#there.add(device)
    if (!names.ghosts.includes(device)) names.ghosts.push(device)
  }

  async #remove(device: string): Promise<void> {
    const { journal, caller } = this.#options
    const called = await caller.call('DELETE', `/v1/devices/${device}`)
    const changes = [
      { register: `device/${device}`, value: absent },
      ...tags.map((tag) => ({ register: `tag/${tag}/${device}`, value: absent })),
    ]
    const isDone = ({ status }: { status: number }) => status === 204 || status === 404
    if (noteWrite(journal, called, changes, isDone) === 'done') this.#there.delete(device)
  }

  async #tag(tag: string, device: string, on: boolean): Promise<void> {
    const { journal, caller } = this.#options
    const path = `/v1/tags/${tag}/devices/${device}`
    const called = await caller.call(on ? 'PUT' : 'DELETE', path)
    const changes = [{ register: `tag/${tag}/${device}`, value: on ? 'on' : absent }]
    noteWrite(journal, called, changes, ({ status }) => status === 204)
  }

  async #readDevice(device: string): Promise<void> {
    const { journal, caller } = this.#options
    const called = await caller.call('GET', `/v1/devices/${device}`)
    if (called.kind !== 'answered') return
    const { status, body } = called.answer
    if (status !== 200 && status !== 404) return
    const said = fieldOf(body, 'tags')
    const own = Array.isArray(said) ? said : []
    const changes = [
      { register: `device/${device}`, value: status === 200 ? 'there' : absent },
      ...tags.map((tag) => ({
        register: `tag/${tag}/${device}`,
        value: own.includes(tag) ? 'on' : absent,
      })),
    ]
    noteRead(journal, called, changes, 'the device itself')
  }

  /** Whoever is not among them does not have it. */
  async #readTag(tag: string): Promise<void> {
    const { journal, caller, names } = this.#options
    const called = await caller.call('GET', `/v1/tags/${tag}?limit=1000`)
    if (called.kind !== 'answered' || called.answer.status !== 200) return
    const items = fieldOf(called.answer.body, 'items')
    const listed = new Set(Array.isArray(items) ? items.map((item) => textOf(item, 'device')) : [])
    const all = [...names.devices, ...names.ghosts]
    const changes = all.map((device) => ({
      register: `tag/${tag}/${device}`,
      value: listed.has(device) ? 'on' : absent,
    }))
    noteRead(journal, called, changes, 'the tag itself')
  }
}
