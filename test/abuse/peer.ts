import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ListenerName } from '../fuzz/gateway.ts'

/** Attackers are elsewhere: bounds by address are not to hit the honest. */
const sources = Array.from({ length: 8 }, (_, i) => `127.0.0.${66 + i}`)
let next = 0
export const anySource = (): string => sources[next++ % sources.length]!

export const isSecure = (listener: ListenerName): boolean =>
  listener === 'pike-tls' || listener === 'mqtts' || listener === 'https'

/** One connection, in bytes. */
export class Peer {
  readonly socket: Socket
  closed = false
  bytesIn = 0
  /** The beginning of what came. */
  head = Buffer.alloc(0)
  readonly openedMs = performance.now()
  #wake: (() => void)[] = []

  /** @param raw TCP alone, also where TLS is spoken. */
  constructor(listener: ListenerName, port: number, raw = false, localAddress = anySource()) {
    const at = { host: '127.0.0.1', port, localAddress }
    this.socket =
      isSecure(listener) && !raw
        ? connectTls({ ...at, rejectUnauthorized: false, ALPNProtocols: ['http/1.1', 'mqtt'] })
        : connect({ ...at, noDelay: true })
    this.socket.on('data', (chunk) => {
      this.bytesIn += chunk.length
      if (this.head.length < 4_096) this.head = Buffer.concat([this.head, chunk])
      this.#tell()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
      this.#tell()
    })
  }

  write(bytes: Uint8Array | string): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  /** @returns false: not in that time. */
  until(isSo: () => boolean, maxMs: number): Promise<boolean> {
    if (isSo()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (so: boolean): void => {
        clearTimeout(timer)
        this.#wake = this.#wake.filter((one) => one !== look)
        resolve(so)
      }
      const look = (): void => {
        if (isSo()) end(true)
      }
      const timer = setTimeout(end, maxMs, false)
      this.#wake.push(look)
    })
  }

  ended(maxMs: number): Promise<boolean> {
    return this.until(() => this.closed, maxMs)
  }

  destroy(): void {
    this.socket.destroy()
  }

  #tell(): void {
    for (const wake of [...this.#wake]) wake()
  }
}

/** A WebSocket frame as clients send them. Source: RFC 6455 §5.2. */
export function frame(payload: Uint8Array, opcode = 2, fin = true, masked = true): Buffer {
  const mask = randomBytes(4)
  const length =
    payload.length < 126
      ? Buffer.from([payload.length])
      : Buffer.from([126, payload.length >> 8, payload.length & 0xff])
  const head = Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode]), length])
  if (!masked) return Buffer.concat([head, payload])
  head[1]! |= 0x80
  return Buffer.concat([head, mask, Buffer.from(payload.map((byte, i) => byte ^ mask[i % 4]!))])
}

export const upgrade = (path = '/mqtt', protocol = 'mqtt'): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`
