import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One request as it came. */
export interface Got {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly path: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
  readonly json: any
}

type Answer = (response: ServerResponse, got: Got, request: IncomingMessage) => void

function answersOk(response: ServerResponse): void {
  response.writeHead(204).end()
}

/** A back end's receiver on a free port; answers 204 until told otherwise. */
export class Receiver {
  readonly got: Got[] = []
  answer: Answer = answersOk
  /** Requests unanswered, now and at most. */
  open = 0
  mostOpen = 0
  readonly #server: Server
  readonly #watchers = new Set<() => void>()

  static ok = answersOk
  static says =
    (status: number, headers: Record<string, string> = {}): Answer =>
    (response) =>
      void response.writeHead(status, headers).end()
  static silent: Answer = () => {}

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(): Promise<Receiver> {
    const server = createServer()
    const receiver = new Receiver(server)
    server.on('request', (request, response) => receiver.#take(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`
  }

  /** Ids of the events in all requests that were answered 2xx, in order of arrival. */
  readonly taken: string[] = []
  /** The same with their devices. */
  readonly takenOf = new Map<string, string[]>()

  /** Resolves once this holds; looked at after every request. */
  async until(what: () => boolean): Promise<void> {
    while (!what()) await new Promise<void>((resolve) => this.#watchers.add(resolve))
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    this.open++
    this.mostOpen = Math.max(this.mostOpen, this.open)
    response.on('close', () => this.open--)
    response.on('error', () => {})
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const headers = request.headers as Record<string, string>
      const got = { headers, body, json: JSON.parse(body), path: request.url ?? '' }
      this.got.push(got)
      this.answer(response, got, request)
      if (response.writableEnded && response.statusCode < 300)
        for (const { id, device } of got.json.items) {
          this.taken.push(id)
          this.takenOf.set(device, [...(this.takenOf.get(device) ?? []), id])
        }
      for (const wake of [...this.#watchers]) {
        this.#watchers.delete(wake)
        wake()
      }
    })
  }
}
