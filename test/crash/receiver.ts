import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { verify } from '../../src/secrets/webhook-signature.ts'
import type { Random } from '../support/random.ts'
import { fieldOf, textOf } from './http.ts'
import type { Journal } from './journal.ts'
import type { Push } from './journal-many.ts'
import { sleep } from './load.ts'

/** How it fares for a while. `down`: nobody listens. */
type Mood = 'well' | 'slow' | 'refusing' | 'hanging' | 'down'

const moodMs: Readonly<Record<Mood, readonly [min: number, max: number]>> = {
  well: [300, 2_500],
  slow: [200, 1_000],
  refusing: [100, 1_200],
  hanging: [300, 2_500],
  down: [200, 2_500],
}
/** A signature may be this old; the gateway's clock is ours. */
const toleranceSeconds = 60

/**
 * A back end's receiver for webhooks and callbacks, outside the gateway: it outlives every kill, and
 * is itself well, slow, refusing, silent or away, as receivers are. What comes is written down when it
 * has come whole, whatever is answered.
 */
export class Receiver {
  readonly #journal: Journal
  readonly #random: Random
  readonly #secrets = new Map<string, string[]>()
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0
  #mood: Mood = 'well'
  #deaf = false
  #calm = true
  #life: Promise<void> = Promise.resolve()

  constructor(journal: Journal, random: Random) {
    this.#journal = journal
    this.#random = random
  }

  /** Where it listens, whenever it does. */
  get base(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  async open(): Promise<void> {
    await this.#listen()
  }

  /** From here on it has its moods. Does nothing while it has them. */
  start(): void {
    if (!this.#calm) return
    this.#calm = false
    this.#life = this.#live()
  }

  /** It is well, and stays so. */
  async calm(): Promise<void> {
    this.#calm = true
    await this.#life
  }

  async close(): Promise<void> {
    await this.calm()
    await this.#unlisten()
  }

  /** A secret by which what comes for this webhook may be signed. */
  trust(webhook: string, secret: string): void {
    this.#secrets.set(webhook, [...(this.#secrets.get(webhook) ?? []), secret])
  }

  trusts(webhook: string): boolean {
    return this.#secrets.has(webhook)
  }

  /** Cut off: nothing comes, and nothing is written down. */
  gag(on: boolean): void {
    this.#deaf = on
    for (const socket of this.#sockets) socket.destroy()
  }

  async #live(): Promise<void> {
    while (!this.#calm) {
      this.#mood = this.#draw()
      if (this.#mood === 'down') await this.#unlisten()
      const [min, max] = moodMs[this.#mood]
      const untilMs = Date.now() + this.#random.int(min, max)
      while (!this.#calm && Date.now() < untilMs) await sleep(50)
      if (this.#server === undefined) await this.#listen()
      // Whoever still waits for an answer gets none.
      if (this.#mood === 'hanging') for (const socket of this.#sockets) socket.destroy()
    }
    this.#mood = 'well'
  }

  #draw(): Mood {
    const draw = this.#random.next()
    if (draw < 0.5) return 'well'
    if (draw < 0.65) return 'slow'
    if (draw < 0.8) return 'refusing'
    return draw < 0.9 ? 'hanging' : 'down'
  }

  #listen(): Promise<void> {
    const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      void this.#take(request, response)
    })
    server.on('connection', (socket) => {
      if (this.#deaf) {
        socket.destroy()
        return
      }
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', () => {
        this.#port = (server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  async #unlisten(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {})
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      // Torn in the middle: nothing has come.
      return
    }
    if (this.#deaf) return
    const answer = this.#answer()
    this.#journal.pushes.push(this.#read(request, Buffer.concat(chunks), answer))
    if (this.#mood === 'slow') await sleep(this.#random.int(30, 400))
    switch (answer) {
      case 'taken':
        response.writeHead(this.#random.pick([200, 202, 204])).end()
        return
      case 'refused':
        response.writeHead(this.#random.pick([500, 503, 404, 301])).end('not now')
        return
      case 'cut':
        request.socket.destroy()
    }
  }

  #answer(): Push['answer'] {
    if (this.#calm) return 'taken'
    if (this.#mood === 'refusing') return 'refused'
    if (this.#mood === 'hanging') return 'silent'
    const draw = this.#random.next()
    if (draw < 0.03) return 'refused'
    return draw < 0.06 ? 'cut' : 'taken'
  }

  #read(request: IncomingMessage, bytes: Buffer, answer: Push['answer']): Push {
    const header = (name: string): string | undefined => {
      const value = request.headers[name]
      return typeof value === 'string' ? value : undefined
    }
    const body: unknown = JSON.parse(bytes.toString())
    const webhook = textOf(body, 'webhook') ?? ''
    const notGenuine = verify({
      id: header('webhook-id'),
      timestamp: header('webhook-timestamp'),
      signature: header('webhook-signature'),
      body: bytes,
      secrets: this.#secrets.get(webhook) ?? [],
      nowSeconds: Date.now() / 1_000,
      toleranceSeconds,
    })
    const items = fieldOf(body, 'items')
    return {
      atMs: Date.now(),
      id: header('webhook-id') ?? '',
      path: request.url ?? '',
      webhook,
      items: (Array.isArray(items) ? items : []).map((item) => ({
        id: textOf(item, 'id') ?? '',
        device: textOf(item, 'device') ?? '',
        command: textOf(item, 'command'),
        body: JSON.stringify(item),
      })),
      notGenuine,
      answer,
    }
  }
}
