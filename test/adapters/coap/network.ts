import { type Datagrams, type Peer, peerAt } from '../../../adapters/coap/datagrams.ts'
import type { Line } from './client.ts'

/** Datagrams that go nowhere but here; an address is whatever a test says. */
export class Network implements Datagrams {
  #receive: ((bytes: Buffer, peer: Peer) => void) | undefined
  readonly #lines = new Map<string, NetworkLine>()
  /** All that was sent to whom, also to those who are not there. */
  readonly sent: { readonly to: string; readonly bytes: Buffer }[] = []

  async open(
    receive: (bytes: Buffer, peer: Peer) => void,
  ): Promise<{ host: string; port: number }> {
    this.#receive = receive
    return { host: 'memory', port: 5683 }
  }

  send(bytes: Buffer, peer: Peer): void {
    this.sent.push({ to: peer.key, bytes })
    const line = this.#lines.get(peer.key)
    setImmediate(() => line?.heard?.(bytes))
  }

  async close(): Promise<void> {
    this.#receive = undefined
  }

  line(address: string, port = 4_000): NetworkLine {
    const peer = peerAt(address, port)
    const line = new NetworkLine(this, peer)
    this.#lines.set(peer.key, line)
    return line
  }

  /** What came from there, as it is. */
  deliver(bytes: Buffer, peer: Peer): void {
    this.#receive?.(bytes, peer)
  }

  sentTo(peer: Peer): Buffer[] {
    return this.sent.filter(({ to }) => to === peer.key).map(({ bytes }) => bytes)
  }

  moved(line: NetworkLine, from: Peer): void {
    this.#lines.delete(from.key)
    this.#lines.set(line.peer.key, line)
  }
}

export class NetworkLine implements Line {
  readonly #network: Network
  peer: Peer
  heard: ((bytes: Buffer) => void) | undefined
  sentBytes = 0

  constructor(network: Network, peer: Peer) {
    this.#network = network
    this.peer = peer
  }

  send(bytes: Buffer): void {
    this.sentBytes += bytes.length
    const { peer } = this
    setImmediate(() => this.#network.deliver(Buffer.from(bytes), peer))
  }

  listen(heard: (bytes: Buffer) => void): void {
    this.heard = heard
  }

  /** Its NAT forgot: from here on it comes from elsewhere, and what goes to the old address is lost. */
  move(address: string, port = 4_000): void {
    const from = this.peer
    this.peer = peerAt(address, port)
    this.#network.moved(this, from)
  }
}
