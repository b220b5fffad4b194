/** How many connections there may be at once, whoever accepts them. */
export class Capacity {
  readonly #max: number
  #count = 0

  constructor(max: number) {
    this.#max = max
  }

  /** @returns false: there are as many as there may be; hang up. Else it counts until `leave`. */
  enter(): boolean {
    if (this.#count >= this.#max) return false
    this.#count++
    return true
  }

  leave(): void {
    this.#count--
  }
}
