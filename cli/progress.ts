/** Between two updates of the line, ms. */
const updateMs = 200
/** Between two lines where nobody watches, ms. */
const lineMs = 5_000

/** How far something has come, on standard error: one line that changes, or now and then a new one. */
export class Progress {
  readonly #what: string
  readonly #total: number | undefined
  readonly #format: (count: number) => string
  readonly #unit: string
  readonly #startedMs = performance.now()
  readonly #terminal = process.stderr.isTTY === true
  #count = 0
  #shownMs: number
  #shown = false

  /** @param what e.g. `devices`. @param format of a count, where it is shown in another unit. */
  constructor(what: string, total?: number, format?: (count: number) => string) {
    this.#what = what
    this.#format = format ?? ((count) => String(Math.round(count)))
    this.#unit = format === undefined ? '' : ` ${what.split(' ')[0]}`
    this.#total = total
    this.#shownMs = this.#startedMs
  }

  add(count = 1, note = ''): void {
    this.#count += count
    const nowMs = performance.now()
    if (nowMs - this.#shownMs < (this.#terminal ? updateMs : lineMs)) return
    this.#shownMs = nowMs
    this.#show(note)
  }

  /** The last line, with the rate of all of it. */
  end(note = ''): void {
    this.#show(note)
    if (this.#terminal) process.stderr.write('\n')
  }

  /** Leaves no half a line behind. */
  break(): void {
    if (this.#terminal && this.#shown) process.stderr.write('\n')
  }

  #show(note: string): void {
    this.#shown = true
    const seconds = Math.max((performance.now() - this.#startedMs) / 1000, 0.001)
    const total = this.#total === undefined ? '' : ` of ${this.#format(this.#total)}`
    const rate = this.#format(this.#count / seconds)
    const text = `${this.#format(this.#count)}${total} ${this.#what}, ${rate}${this.#unit}/s${note === '' ? '' : `, ${note}`}`
    process.stderr.write(this.#terminal ? `\r${text}\u001b[K` : `${text}\n`)
  }
}
