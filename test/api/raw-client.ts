import { type AddressInfo, connect, type Socket } from 'node:net'
import type { App } from '../../src/api/index.ts'

/** A peer that sends bytes as they are, HTTP or not. */
export class RawClient {
  readonly socket: Socket
  text = ''
  closed = false
  #wake: (() => void) | undefined

  constructor(app: App) {
    const { port } = app.server.address() as AddressInfo
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    this.socket.setEncoding('latin1')
    this.socket.on('data', (part) => {
      this.text += part
      this.#wake?.()
    })
    this.socket.on('end', () => this.socket.end())
    // A reset is one way to be refused.
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
      this.#wake?.()
    })
  }

  /** Statuses of the answers so far. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  }

  write(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.closed)
      await new Promise<void>((wake) => {
        this.#wake = wake
      })
  }

  async untilClosed(): Promise<string> {
    await this.until(() => false)
    return this.text
  }

  destroy(): void {
    this.socket.destroy()
  }
}

/** Send it, and read until the server closes. */
export async function exchange(app: App, bytes: string | Buffer): Promise<RawClient> {
  const client = new RawClient(app)
  client.write(bytes)
  await client.untilClosed()
  return client
}
