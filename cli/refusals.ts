import type { Problem } from '../src/backend/index.ts'

/** Said one by one; of the others only how many there were. */
const saidMax = 20

/** Lines that were refused, on standard error. */
export class Refusals {
  readonly #before: () => void
  readonly #unit: string
  readonly #byTitle = new Map<string, number>()
  #said = 0
  count = 0

  /**
   * @param before called before something is written, so that a progress line is not torn.
   * @param unit what is counted: lines, or rows after a header.
   */
  constructor(before: () => void, unit: 'line' | 'row' = 'line') {
    this.#before = before
    this.#unit = unit
  }

  add(line: number, problem: Problem): void {
    this.count++
    this.#byTitle.set(problem.title, (this.#byTitle.get(problem.title) ?? 0) + 1)
    this.note(line, `${problem.title}${problem.detail === undefined ? '' : `: ${problem.detail}`}`)
  }

  note(line: number, text: string): void {
    if (this.#said++ >= saidMax) return
    this.#before()
    process.stderr.write(`${this.#unit} ${line}: ${text}\n`)
  }

  /** What was not said one by one, summed. @returns whether there were any. */
  end(): boolean {
    if (this.#said > saidMax)
      for (const [title, count] of this.#byTitle) process.stderr.write(`${count} ×  ${title}\n`)
    return this.count > 0
  }
}
