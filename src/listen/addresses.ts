import type { Server, Socket } from 'node:net'
import type { Capacity } from './capacity.ts'
import { hangUp } from './sockets.ts'

/**
 * How many connections each address has, so that one of them cannot take the places of all others.
 * IPv6 is counted by its first 64 bits: the rest is for whoever has it to choose.
 */
export class Addresses {
  readonly #max: number
  readonly #capacity: Capacity
  readonly #counts = new Map<string, number>()
  /** Connections there are now. */
  connections = 0
  refusedTotal = 0

  /** @param max of one address; `capacity`: of all. */
  constructor(max: number, capacity: Capacity) {
    this.#max = max
    this.#capacity = capacity
  }

  /** @returns false: it has as many as it may, or all have; hang up. Else it counts until the socket closes. */
  admits(socket: Socket): boolean {
    const key = keyOf(socket)
    if (key === undefined) return true // gone already
    const count = this.#counts.get(key) ?? 0
    if (count >= this.#max || !this.#capacity.enter()) {
      this.refusedTotal++
      return false
    }
    this.#counts.set(key, count + 1)
    this.connections++
    socket.on('close', this.#left)
    return true
  }

  /** Goes before all that is done with a connection of this server up to now, a TLS handshake too. */
  guard(server: Server): void {
    const served = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      if (this.admits(socket)) for (const serve of served) Reflect.apply(serve, server, [socket])
      else {
        socket.on('error', () => {})
        hangUp(socket)
      }
    })
  }

  /** One for all sockets: an idle connection costs little more than its socket. */
  readonly #left = ((addresses: Addresses) =>
    function (this: Socket): void {
      addresses.#leave(keyOf(this))
    })(this)

  #leave(key: string | undefined): void {
    if (key === undefined) return
    this.#capacity.leave()
    this.connections--
    const count = (this.#counts.get(key) ?? 0) - 1
    if (count > 0) this.#counts.set(key, count)
    else this.#counts.delete(key)
  }
}

/** The same after its end: a socket remembers who was there. */
const keyOf = ({ remoteAddress }: Socket): string | undefined =>
  remoteAddress === undefined ? undefined : addressKey(remoteAddress)

/**
 *     203.0.113.9          203.0.113.9
 *     ::ffff:203.0.113.9   203.0.113.9
 *     2001:db8::7:1        2001:db8:0:0
 */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address
  if (address.includes('.')) return address.slice(address.lastIndexOf(':') + 1)
  const [head = '', tail] = address.split('%', 1)[0]!.split('::')
  const groups = head === '' ? [] : head.split(':')
  const behind = tail === undefined || tail === '' ? [] : tail.split(':')
  while (groups.length + behind.length < 8) groups.push('0')
  return [...groups, ...behind].slice(0, 4).join(':')
}
