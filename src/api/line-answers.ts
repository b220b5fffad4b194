import type { ServerResponse } from 'node:http'
import { apiBounds } from './bounds.ts'
import { problemMembers, problems, type Refusal } from './problems.ts'

/** A line that waits for its answer, or for those before it to be answered. */
export interface Slot {
  readonly line: number
  readonly bytes: number
  answer: string | undefined
}

/**
 * Answers in the order of their lines, whenever each comes. Those of one turn are written at once.
 *
 *     | answered | answered | . | answered | . | . |
 *     └── written together  ^ first that is not: the others wait for it
 */
export class LineAnswers<S extends Slot> {
  readonly #response: ServerResponse
  readonly #maxSlots: number
  readonly #flushed: () => void
  /** In order, from the first that is not written. */
  readonly #slots: S[] = []
  #bytes = 0
  #flushes = false
  #isFull = false
  #moved = false

  /** `flushed`: after every turn in which something was answered, or when there is room again. */
  constructor(response: ServerResponse, maxSlots: number, flushed: () => void) {
    this.#response = response
    this.#maxSlots = maxSlots
    this.#flushed = flushed
    response.on('drain', () => {
      this.#isFull = false
      this.#moved = true
      this.#flush()
    })
  }

  /** May another line be taken? */
  get hasRoom(): boolean {
    return (
      !this.#isFull &&
      this.#slots.length < this.#maxSlots &&
      this.#bytes < apiBounds.linesPendingMaxBytes
    )
  }

  get isEmpty(): boolean {
    return this.#slots.length === 0
  }

  /** The caller does not read. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Was anything written since this was last asked? */
  moved(): boolean {
    const moved = this.#moved
    this.#moved = false
    return moved
  }

  add(slot: S): S {
    this.#slots.push(slot)
    this.#bytes += slot.bytes
    return slot
  }

  /** With the line's end. A second answer is passed over. */
  answer(slot: S, text: string): void {
    if (slot.answer !== undefined) return
    slot.answer = text
    this.flushLater()
  }

  flushLater(): void {
    if (this.#flushes) return
    this.#flushes = true
    setImmediate(() => {
      this.#flushes = false
      this.#flush()
    })
  }

  #flush(): void {
    if (!this.#isFull) this.#write()
    this.#flushed()
  }

  #write(): void {
    let text = ''
    let answered = 0
    for (const { answer, bytes } of this.#slots) {
      if (answer === undefined) break
      text += answer
      this.#bytes -= bytes
      answered++
    }
    if (answered === 0) return
    this.#slots.splice(0, answered)
    this.#moved = true
    this.#isFull = !this.#response.write(text)
  }
}

/** An answer that is a problem; `retryAfter`, s, where a single call would have had the header. */
export const problemLine = (line: number, { problem, said, retryAfterMs }: Refusal): string => {
  const retryAfter = retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs / 1000)
  return `${JSON.stringify({
    line,
    status: problems[problem].status,
    problem: { ...problemMembers(problem, said), retryAfter },
  })}\n`
}
