import type { Readable } from 'node:stream'

/** A body piece by piece, read only when asked for, until its end or until we stop. */
export class Chunks {
  readonly #body: AsyncIterator<Buffer>
  #wake: (() => void) | undefined
  #stopped = false

  constructor(body: Readable) {
    this.#body = body[Symbol.asyncIterator]()
  }

  /** True while it is the sender that is waited for. */
  get waits(): boolean {
    return this.#wake !== undefined
  }

  /** Undefined at the end, or after `stop`. Rejects when the sender is gone. */
  next(): Promise<Buffer | undefined> {
    if (this.#stopped) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve(undefined)
      const got = ({ done, value }: IteratorResult<Buffer>) => {
        this.#wake = undefined
        resolve(done === true ? undefined : value)
      }
      this.#body.next().then(got, reject)
    })
  }

  /** What has not been asked for yet does not come any more. */
  stop(): void {
    this.#stopped = true
    this.#wake?.()
    this.#wake = undefined
  }
}
