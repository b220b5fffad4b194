/** Case numbers, each once, given in parts to whoever takes the next. */
export class Numbers implements Iterator<number> {
  #next = 0
  #end = 0
  readonly #only: readonly number[] | undefined
  readonly count: number

  /** All below `count`, or only these. */
  constructor(count: number, only: readonly number[] | undefined) {
    this.#only = only
    this.count = only?.length ?? count
  }

  /** So many more may be taken. */
  allow(count: number): void {
    this.#end = Math.min(this.count, this.#next + count)
  }

  get isOver(): boolean {
    return this.#next >= this.count
  }

  next(): IteratorResult<number> {
    if (this.#next >= this.#end) return { done: true, value: undefined }
    const at = this.#next++
    return { done: false, value: this.#only?.[at] ?? at }
  }
}
