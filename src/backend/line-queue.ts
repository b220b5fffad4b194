import { backendBounds } from './bounds.ts'

/** A line to be sent, and whatever the caller needs with its answer. */
export interface Line {
  /** Without its line break. */
  readonly text: string
}

export interface Held<Entry> {
  readonly entry: Entry
  sent: boolean
  repeated: boolean
}

/** A source of which the next is looked at before it is taken, so that no connection's end loses it. */
export class LineSource<Entry> {
  readonly #lines: AsyncIterator<Entry>
  #next: Promise<Entry | undefined> | undefined
  #ended = false
  failed = false
  error: unknown

  constructor(lines: AsyncIterator<Entry>) {
    this.#lines = lines
  }

  /** Undefined at the end. What the source throws is kept until all answers are in. */
  peek(): Promise<Entry | undefined> {
    this.#next ??= this.#read()
    return this.#next
  }

  take(): void {
    this.#next = undefined
  }

  /** Not waited for: a source in the middle of its next line would hold us up. */
  close(): void {
    if (this.#ended) return
    this.#ended = true
    this.#lines.return?.()?.catch(() => {})
  }

  async #read(): Promise<Entry | undefined> {
    if (this.#ended) return undefined
    try {
      const { done, value } = await this.#lines.next()
      if (done !== true) return value
    } catch (error) {
      this.failed = true
      this.error = error
    }
    this.#ended = true
    return undefined
  }
}

/** Lines sent and not answered, oldest first, bounded. */
export class Unanswered<Entry extends Line> {
  #lines: Held<Entry>[] = []
  #first = 0
  #chars = 0
  #wake: (() => void) | undefined

  get length(): number {
    return this.#lines.length - this.#first
  }

  push(entry: Entry): void {
    this.#lines.push({ entry, sent: true, repeated: false })
    this.#chars += entry.text.length
  }

  shift(): Held<Entry> | undefined {
    const one = this.#lines[this.#first]
    if (one === undefined) return undefined
    this.#first++
    this.#chars -= one.entry.text.length
    if (this.#first > backendBounds.linesMaxUnanswered) {
      this.#lines = this.#lines.slice(this.#first)
      this.#first = 0
    }
    this.#wake?.()
    return one
  }

  /** Those to be written again, from the oldest. */
  *again(): Generator<Held<Entry>> {
    const lines = this.#lines.slice(this.#first)
    for (const one of lines) {
      one.repeated ||= one.sent
      one.sent = true
      yield one
    }
  }

  /** The last connection was refused: nothing written to it was read. */
  unsent(): void {
    for (let i = this.#first; i < this.#lines.length; i++) this.#lines[i]!.sent = false
  }

  /** Something to wait for when there is no room. */
  room(): Promise<void> | undefined {
    if (
      this.length < backendBounds.linesMaxUnanswered &&
      this.#chars < backendBounds.linesMaxUnansweredChars
    )
      return undefined
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
    })
  }

  /** Whoever waits for room of a connection that is gone waits no longer. */
  disconnected(): void {
    this.#wake?.()
  }
}
