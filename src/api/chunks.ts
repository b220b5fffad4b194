import type { Readable } from 'node:stream'
import type { ProblemName } from './problems.ts'

/** A body piece by piece, read only when asked for, until its end or until we stop. */
export class Chunks {
  readonly #body: Readable
  #held: Buffer[] = []
  #ended = false
  #stopped: ProblemName | undefined
  #wake: ((chunk: Buffer | undefined) => void) | undefined

  constructor(body: Readable) {
    this.#body = body
    body.pause()
    body.on('data', (chunk: Buffer) => {
      if (this.#stopped !== undefined) return
      body.pause()
      if (this.#wake === undefined) this.#held.push(chunk)
      else this.#give(chunk)
    })
    body.on('end', () => {
      this.#ended = true
      this.#give(undefined)
    })
    // The sender is gone: what is not whole by now never will be.
    body.on('close', () => {
      if (!this.#ended) this.stop('bad-request')
    })
    // 'close' follows.
    body.on('error', () => {})
  }

  /** Why no more comes though this was not its end. */
  get stopped(): ProblemName | undefined {
    return this.#stopped
  }

  /** It is the sender that is waited for. */
  get waits(): boolean {
    return this.#wake !== undefined
  }

  /** Undefined at the end, or when it was stopped. One at a time. */
  next(): Promise<Buffer | undefined> {
    if (this.#stopped !== undefined) return Promise.resolve(undefined)
    const held = this.#held.shift()
    if (held !== undefined || this.#ended) return Promise.resolve(held)
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#body.resume()
    })
  }

  /** Nothing more is given; the first reason stays. */
  stop(why: ProblemName): void {
    this.#stopped ??= why
    this.#held = []
    this.#give(undefined)
  }

  #give(chunk: Buffer | undefined): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.(chunk)
  }
}
