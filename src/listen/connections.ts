import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { problemMediaType, type Said } from './problem.ts'

/** What can be wrong with a connection, by the name of its problem. */
export type WireFault = 'request-timeout' | 'headers-too-large' | 'bad-request'

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
  readonly #json: (fault: WireFault, said?: Said) => string
  readonly #last = new WeakMap<Socket, Call>()
  readonly #ending = new WeakSet<Socket>()

  /** @param json a problem, as JSON text. */
  constructor(json: (fault: WireFault, said?: Said) => string) {
    this.#json = json
  }

  watch(server: Server): void {
    server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#last.set(request.socket, { request, response })
    })
    // "Expect: something": nobody has read the body, and nobody will.
    server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
      const body = this.#json('bad-request', { detail: 'unknown expectation', status: 417 })
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
    if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') {
      // Whatever is written waits for the handshake, and an end for what is written: for ever.
      socket.destroy()
      return
    }
    if (error.code === 'ECONNRESET') {
      // Half of a request, and then the end.
      socket.destroySoon()
      return
    }
    const name: WireFault =
      error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request-timeout'
        : error.code === 'HPE_HEADER_OVERFLOW'
          ? 'headers-too-large'
          : 'bad-request'
    const last = this.#last.get(socket)
    if (last === undefined || (last.request.complete && last.response.writableFinished))
      this.#say(socket, name)
    else if (!last.request.complete) this.#bodyFailed(socket, last.response, name)
    else {
      // What failed came behind a call that is still to be answered: first come, first served.
      last.response.once('finish', () => this.#say(socket, name))
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
  #bodyFailed(socket: Socket, response: ServerResponse, name: WireFault): void {
    if (response.socket === socket && !response.headersSent) this.#say(socket, name)
    else socket.destroySoon()
  }

  #say(socket: Socket, name: WireFault): void {
    if (socket.writable) {
      const body = this.#json(name)
      socket.write(
        `HTTP/1.1 ${phrases[name]}\r\ncontent-type: ${problemMediaType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      )
    }
    socket.destroySoon()
  }
}

const phrases: Readonly<Record<WireFault, string>> = {
  'request-timeout': '408 Request Timeout',
  'headers-too-large': '431 Request Header Fields Too Large',
  'bad-request': '400 Bad Request',
}
