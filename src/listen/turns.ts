import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { hangUp } from './sockets.ts'

/** How much may wait. */
export interface TurnBounds {
  /** Calls behind another of their connection, over all connections. */
  readonly pipelinedMax: number
  /** Those of one connection. */
  readonly pipelinedPerConnectionMax: number
}

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * One call at a time for each connection. Node begins all calls of one piece read from a socket at
 * once, several hundred where they are pipelined, and everybody else waits until all are under way.
 * Here the next begins a turn of the event loop after the answer of the one before.
 *
 *     A ──▶ under way ──▶ answered
 *     B ·································▶ under way ──▶ answered
 *     C ··· waits; not begun at all where the connection ends first
 *
 * So a call is also never begun before the one that stands in front of it, which its order may mean
 * (RFC 9112 §9.3.2).
 *
 * A piece of 64 KB becomes 2 MB of calls, and Node cannot be told to stop in the middle of one; to
 * stop reading behind it would hide that the peer is gone. So whoever sends more than may wait is cut
 * off. One may wait on every connection.
 */
export class Turns {
  readonly #bounds: TurnBounds
  /** What each connection was answered last, or is being answered. */
  readonly #answers = new WeakMap<Socket, ServerResponse>()
  readonly #behind = new Map<Socket, Call[]>()
  /** Calls that wait for their turn. */
  waiting = 0
  /** Connections on which more were sent than may wait. */
  cutTotal = 0

  constructor(bounds: TurnBounds) {
    this.#bounds = bounds
  }

  /** Goes before all that is done with a call of this server up to now. */
  guard(server: Server): void {
    const listeners = server.listeners('request')
    server.removeAllListeners('request')
    const begin = ({ request, response }: Call): void => {
      for (const listener of listeners) Reflect.apply(listener, server, [request, response])
    }
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const call = { request, response }
      const { socket } = request
      const behind = this.#behind.get(socket)
      if (behind !== undefined) {
        if (this.#admits(behind)) this.#add(behind, call)
        else this.#cut(socket)
        return
      }
      const before = this.#answers.get(socket)
      this.#answers.set(socket, response)
      if (before === undefined || before.writableFinished) begin(call)
      else if (!socket.destroyed) this.#wait(socket, before, call, begin)
    })
  }

  #admits({ length }: readonly Call[]): boolean {
    const { pipelinedMax, pipelinedPerConnectionMax } = this.#bounds
    return length < pipelinedPerConnectionMax && this.waiting < pipelinedMax
  }

  #add(behind: Call[], call: Call): void {
    behind.push(call)
    this.waiting++
  }

  #cut(socket: Socket): void {
    if (socket.destroyed) return
    this.cutTotal++
    spareStacks(socket)
    hangUp(socket)
  }

  #wait(socket: Socket, before: ServerResponse, first: Call, begin: (call: Call) => void): void {
    const behind: Call[] = []
    const over = (): void => {
      this.waiting -= behind.length
      this.#behind.delete(socket)
      socket.off('close', later)
    }
    const next = (): void => {
      if (this.#behind.get(socket) !== behind) return
      if (socket.destroyed || socket.writableEnded) {
        over()
        return
      }
      const call = behind.shift()!
      this.waiting--
      this.#answers.set(socket, call.response)
      if (behind.length === 0) over()
      else call.response.once('close', later)
      begin(call)
    }
    const later = (): void => void setImmediate(next)
    this.#behind.set(socket, behind)
    this.#add(behind, first)
    before.once('close', later)
    // An answer that has not had its turn on the connection is not told of its end.
    socket.once('close', later)
  }
}

/**
 * Node makes an error of each call that a closing connection leaves unanswered; with their stacks
 * several hundred take as long as it took to read them.
 */
function spareStacks(socket: Socket): void {
  const { stackTraceLimit } = Error
  socket.prependOnceListener('close', () => {
    Error.stackTraceLimit = 0
  })
  socket.once('close', () => {
    Error.stackTraceLimit = stackTraceLimit
  })
}
