/** An acknowledgement that is owed, and its bytes once they may leave. */
export interface Owed {
  bytes: Buffer | undefined
}

/**
 * Acknowledgements of publishes leave in the order of these [MQTT-4.6.0-2], [MQTT-4.6.0-3], whatever
 * the order in which they are settled.
 *
 *     | settled | waits for the store | settled | ...
 *       leaves    holds up those behind it
 */
export class Answers {
  readonly #write: (bytes: Buffer) => void
  #line: Owed[] | undefined

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write
  }

  expect(): Owed {
    const owed: Owed = { bytes: undefined }
    if (this.#line === undefined) this.#line = [owed]
    else this.#line.push(owed)
    return owed
  }

  settle(owed: Owed, bytes: Buffer): void {
    owed.bytes = bytes
    const line = this.#line
    if (line === undefined || line[0] !== owed) return
    let done = 0
    while (done < line.length && line[done]!.bytes !== undefined) this.#write(line[done++]!.bytes!)
    if (done === line.length) this.#line = undefined
    else line.splice(0, done)
  }

  /** Nobody waits for them any more. */
  drop(): void {
    this.#line = undefined
  }
}
