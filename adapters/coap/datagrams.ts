import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'

/** Where a datagram came from and where one may be sent. */
export interface Peer {
  readonly address: string
  readonly port: number
  /** The same for the same address and port. */
  readonly key: string
}

export const peerAt = (address: string, port: number): Peer => ({
  address,
  port,
  key: `${address} ${port}`,
})

/** What an address that has proved nothing may get for each byte that came from it (RFC 9175 §2.4). */
export const amplificationMax = 3

/** What carries CoAP's messages; UDP today, DTLS or a framing over TCP tomorrow. */
export interface Datagrams {
  /** Resolves with where once datagrams are received. */
  open(receive: (bytes: Buffer, peer: Peer) => void): Promise<{ host: string; port: number }>
  /** Returns at once and never throws; what cannot be sent is lost, as datagrams are. */
  send(bytes: Buffer, peer: Peer): void
  close(): Promise<void>
}

/** A burst of all devices at once should wait in the kernel, not be lost there. */
const receiveBufferBytes = 4 * 1_048_576

export class UdpDatagrams implements Datagrams {
  readonly #host: string
  readonly #port: number
  #socket: Socket | undefined

  constructor(host: string, port: number) {
    this.#host = host
    this.#port = port
  }

  async open(
    receive: (bytes: Buffer, peer: Peer) => void,
  ): Promise<{ host: string; port: number }> {
    const socket = createSocket(isIPv6(this.#host) ? 'udp6' : 'udp4')
    const listening = once(socket, 'listening')
    socket.bind(this.#port, this.#host)
    await listening
    // E.g. a peer's port is closed: others are served on.
    socket.on('error', () => {})
    socket.on('message', (bytes, { address, port }) => receive(bytes, peerAt(address, port)))
    try {
      socket.setRecvBufferSize(receiveBufferBytes)
    } catch {
      // Less than asked for is what this system gives.
    }
    this.#socket = socket
    const { address, port } = socket.address()
    return { host: address, port }
  }

  send(bytes: Buffer, peer: Peer): void {
    // Without a callback an error would be an event; nobody waits for either. Port 0 throws.
    if (peer.port > 0) this.#socket?.send(bytes, peer.port, peer.address, unheard)
  }

  async close(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined) return
    this.#socket = undefined
    const closed = once(socket, 'close')
    socket.close()
    await closed
  }
}

const unheard = (): void => {}
