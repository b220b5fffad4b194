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
  readonly #ending = new WeakSet<Socket>()

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
    if (socket.destroyed || this.#ending.has(socket)) return
    this.#ending.add(socket)
    if (error.code === 'ECONNRESET') {
      // Half of a request, and then the end.
      socket.destroySoon()
      return
    }
    const name: ProblemName =
      error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request-timeout'
        : error.code === 'HPE_HEADER_OVERFLOW'
          ? 'headers-too-large'
          : 'bad-request'
    const last = this.#last.get(socket)
    if (last === undefined || (last.request.complete && last.response.writableFinished))
      say(socket, name)
    else if (!last.request.complete) this.#bodyFailed(socket, last.response, name)
    else {
      // What failed came behind a call that is still to be answered: first come, first served.
      last.response.once('finish', () => say(socket, name))
    }
  }

  /** The body of the last call does not come. */
  tooSlow(socket: Socket): void {
    const last = this.#last.get(socket)
    if (socket.destroyed || last === undefined) return
    this.#ending.add(socket)
    this.#bodyFailed(socket, last.response, 'request-timeout')
  }

  /** Said once, and only where nobody else's answer is due first. */
  #bodyFailed(socket: Socket, response: ServerResponse, name: ProblemName): void {
    if (response.socket === socket && !response.headersSent) say(socket, name)
    else socket.destroySoon()
  }
}

function say(socket: Socket, name: ProblemName): void {
  if (socket.writable) socket.write(answerText(name))
  socket.destroySoon()
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
