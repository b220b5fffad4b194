/** Bytes of events held in memory, of all webhooks together. */
export class HeldBytes {
  readonly #max: number
  bytes = 0

  constructor(max: number) {
    this.#max = max
  }

  get room(): boolean {
    return this.bytes < this.#max
  }
}
