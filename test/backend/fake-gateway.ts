import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PikeBackend, type PikeBackendOptions } from '../../src/backend/index.ts'

export interface Heard {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Handler = (heard: Heard, response: ServerResponse) => void

/** Answers as a gateway would in moments that a real one cannot be brought to. */
export interface FakeGateway {
  readonly url: string
  readonly heard: readonly Heard[]
  /** One for each call, in order; the last for all further ones. */
  handlers: Handler[]
  pike(options?: Omit<PikeBackendOptions, 'url' | 'key'>): PikeBackend
  stop(): Promise<void>
}

export async function fakeGateway(...handlers: Handler[]): Promise<FakeGateway> {
  const heard: Heard[] = []
  const server: Server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const { method = '', url = '', headers } = request
    const one = { method, path: url, headers, body }
    heard.push(one)
    const handler = fake.handlers.length > 1 ? fake.handlers.shift()! : fake.handlers[0]!
    handler(one, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const fake: FakeGateway = {
    url,
    heard,
    handlers,
    pike: (options = {}) =>
      new PikeBackend({ url, key: 'k', retry: { minMs: 1, maxMs: 1 }, ...options }),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return fake
}

export const json =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Handler =>
  (_heard, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }

export const problem = (
  status: number,
  code: string,
  more: object = {},
  headers: Readonly<Record<string, string>> = {},
): Handler =>
  json(status, { type: `/problems/${code}`, title: `it is ${code}`, status, ...more }, headers)

/** The answer never comes, and the connection breaks. */
export const broken: Handler = (_heard, response) => void response.socket!.resetAndDestroy()

export const accepted = (id: string): object => ({
  id,
  device: 'SZ-1',
  channel: 'main',
  epoch: 7,
  offset: 1,
  status: 'queued',
  expiresAt: '2026-11-28T09:00:00.000Z',
})
