import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** A socket that can fall silent or stop reading without either end being told. */
export class Wire extends Duplex {
  readonly #socket: Socket
  #muted = false
  #stalled = false

  constructor(port: number) {
    super()
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.#socket.on('data', (chunk) => {
      if (!this.#muted) this.push(chunk)
    })
    this.#socket.on('end', () => this.push(null))
    this.#socket.on('error', (error) => this.destroy(error))
    this.#socket.on('close', () => this.destroy())
  }

  mute(): void {
    this.#muted = true
  }

  stall(): void {
    this.#stalled = true
    this.#socket.pause()
  }

  unstall(): void {
    this.#stalled = false
    this.#socket.resume()
  }

  // What Node's HTTP client asks of a socket besides.

  setKeepAlive(): this {
    return this
  }

  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  override _read(): void {
    if (!this.#stalled) this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#muted) done()
    else this.#socket.write(chunk, () => done())
  }

  override _final(done: () => void): void {
    this.#socket.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
