import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type ProblemName, problemJson, problemMediaType, problems } from './problems.ts'

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * What happens on a connection beside its calls: bytes that are no HTTP, or come too slowly, or are
 * too many. Whatever is said must not be taken for the answer of another call on the same
 * connection, or for a part of one: then nothing is said, and the connection ends.
 */
export class Connections {
  readonly #last = new WeakMap<Socket, Call>()

  watch(server: Server): void {
    server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#last.set(request.socket, { request, response })
    })
    // "Expect: something": nobody has read the body, and nobody will.
    server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
      const body = problemJson('bad-request', { detail: 'unknown expectation', status: 417 })
      const length = Buffer.byteLength(body)
      response.writeHead(417, {
        'content-type': problemMediaType,
        'content-length': length,
        connection: 'close',
      })
      response.end(body)
    })
  }

  /** Node's `clientError`. */
  failed(error: Error & { code?: string }, socket: Socket): void {
    if (error.code === 'ECONNRESET' || socket.destroyed) return
    const name: ProblemName =
      error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request-timeout'
        : error.code === 'HPE_HEADER_OVERFLOW'
          ? 'headers-too-large'
          : 'bad-request'
    if (socket.writable && this.#mayAnswer(socket)) socket.write(answerText(name))
    socket.destroySoon()
  }

  /** The body of the last call does not come. */
  tooSlow(socket: Socket): void {
    if (socket.destroyed) return
    if (socket.writable && this.#mayAnswer(socket)) socket.write(answerText('request-timeout'))
    socket.destroySoon()
  }

  /** The next bytes are the answer to what failed, and nobody has begun it. */
  #mayAnswer(socket: Socket): boolean {
    const last = this.#last.get(socket)
    if (last === undefined) return true
    const { request, response } = last
    // What failed came behind it: its answer goes first.
    if (request.complete) return response.writableFinished
    // What failed is its body: once, and where nobody else's answer goes first.
    return response.socket === socket && !response.headersSent
  }
}

const answerText = (name: ProblemName): string => {
  const body = problemJson(name)
  return `HTTP/1.1 ${problems[name].status} ${reasonPhrases[name]}\r\ncontent-type: ${problemMediaType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
}

const reasonPhrases: Readonly<Record<string, string>> = {
  'request-timeout': 'Request Timeout',
  'headers-too-large': 'Request Header Fields Too Large',
  'bad-request': 'Bad Request',
}
