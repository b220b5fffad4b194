import type { CommandId, KeptCommand } from '../../src/contract/index.ts'

interface Unanswered {
  readonly id: CommandId
  /** Nobody waits for its reply any more. */
  readonly untilMs: number
}

/** Commands without an id that may wait for a reply; the oldest go. */
const unansweredMax = 64

/**
 * Commands of one device whose topic does not name them: a reply that names none belongs to the
 * oldest (rule 26).
 */
export class UnansweredCommands {
  #line: Unanswered[] = []

  add({ id, expiresAtMs, replyTimeoutMs }: KeptCommand): void {
    if (this.#line.some((one) => one.id === id)) return
    if (this.#line.length >= unansweredMax) this.#line.shift()
    this.#line.push({ id, untilMs: expiresAtMs + replyTimeoutMs })
  }

  oldest(nowMs: number): CommandId | undefined {
    while (this.#line.length > 0 && this.#line[0]!.untilMs <= nowMs) this.#line.shift()
    return this.#line[0]?.id
  }

  answered(id: CommandId): void {
    this.#line = this.#line.filter((one) => one.id !== id)
  }
}
