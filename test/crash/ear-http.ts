import { type Ear, idAmong, Notes, type Paper, readJson } from './ear.ts'
import { fieldOf, numberOf, textOf } from './http.ts'
import { HttpReader, isStream, type Message } from './http-reader.ts'

interface Asked {
  readonly url: URL
  readonly session: string
  /** Of a stream: what came and is no whole event yet. */
  rest: string
}

/** Reads HTTP, both ways: polls and streams with what they bring, replies, events. */
export class HttpEar implements Ear {
  readonly #notes: Notes
  readonly #paper: Paper
  readonly #up: HttpReader
  readonly #down: HttpReader
  readonly #asked: Asked[] = []
  #polls = 0
  device = ''

  constructor(paper: Paper) {
    this.#paper = paper
    this.#notes = new Notes(paper, 'http')
    this.#up = new HttpReader({
      head: (message) => this.#request(message),
      whole: (message, body) => this.#posted(message, body),
    })
    this.#down = new HttpReader({
      piece: (message, text) => {
        const [asked] = this.#asked
        if (asked !== undefined && isStream(message)) this.#streamed(asked, text)
      },
      whole: (message, body) => this.#answered(message, body),
    })
  }

  hear(chunk: Buffer, up: boolean): boolean {
    return (up ? this.#up : this.#down).push(chunk)
  }

  gone(): void {
    this.#notes.gone()
  }

  #request({ words, headers }: Message): void {
    const url = new URL(words[1] ?? '/', 'http://device')
    const [kind = '', text = ''] = (headers.get('authorization') ?? '').split(' ')
    const who = kind === 'Basic' ? Buffer.from(text, 'base64').toString() : text
    this.device ||= who.slice(0, who.indexOf(':'))
    const session = `${++this.#polls}`
    this.#asked.push({ url, session, rest: '' })
    if (words[0] !== 'GET' || !url.pathname.endsWith('/commands')) return
    const epochs = url.searchParams.get('epoch')?.split(',') ?? []
    const afters = url.searchParams.get('after')?.split(',') ?? []
    for (const [at, numbering] of epochs.entries()) {
      const [epoch = '', channel = 'main'] = numbering.split('.')
      const offset = Number(afters[at])
      if (epoch === '' || !Number.isSafeInteger(offset)) continue
      const number = this.#notes.session(this.device, channel, session)
      const resume = { epoch: Number(epoch), offset }
      this.#notes.note(number, this.device, channel, { kind: 'hello', resume })
    }
  }

  #posted({ words, headers }: Message, body: Buffer): void {
    const url = new URL(words[1] ?? '/', 'http://device')
    const path = url.pathname.split('/').map(decodeURIComponent)
    if (words[0] !== 'POST') return
    const found = path.includes('replies') ? idAmong(path) : undefined
    if (found !== undefined) {
      this.#notes.reply(found.id, textOf(readJson(body), 'status') ?? '')
      return
    }
    if (!path.includes('events') || headers.has('pike-stamp')) return
    const channel = url.searchParams.get('channel') ?? 'main'
    const arrival = `${this.#paper.nextSession()}`
    this.#notes.event(this.device, channel, readJson(body), arrival)
  }

  #answered({ words }: Message, body: Buffer): void {
    const asked = this.#asked.shift()
    if (asked === undefined || words[1] !== '200') return
    const items = fieldOf(readJson(body), 'items')
    if (!asked.url.pathname.endsWith('/commands') || !Array.isArray(items)) return
    for (const item of items) this.#item(asked, item)
  }

  #streamed(asked: Asked, text: string): void {
    const events = (asked.rest + text).split('\n\n')
    asked.rest = events.pop()!
    for (const event of events) {
      const lines = event.split('\n')
      if (!lines.includes('event: command')) continue
      const data = lines.find((line) => line.startsWith('data: '))
      this.#item(asked, readJson(data?.slice(6) ?? ''))
    }
  }

  #item({ session }: Asked, item: unknown): void {
    const id = textOf(item, 'id')
    if (id === undefined) return
    const place = {
      epoch: Number.parseInt(textOf(item, 'epoch') ?? '', 10),
      offset: numberOf(item, 'offset') ?? Number.NaN,
    }
    const repeated = fieldOf(item, 'repeated') === true
    this.#notes.command(id, repeated, fieldOf(item, 'payload'), place, session)
  }
}
