import type { Journal } from '../journal.ts'
import { absent, type RegisterRead, type RegisterWrite } from '../journal-many.ts'
import type { Facts, Findings } from './facts.ts'

/**
 * What names could stand for, at any moment. Each has one writer that waits for its answers, so the
 * writes of one are in order and do not overlap.
 *
 *     writes   |kept A|      |unclear B ...        |kept C|
 *     may be    - A      A        A B                B C A     C
 */
export class Registers {
  readonly #writes = new Map<string, RegisterWrite[]>()

  constructor(journal: Journal) {
    for (const write of journal.writes) {
      const writes = this.#writes.get(write.register)
      if (writes === undefined) this.#writes.set(write.register, [write])
      else writes.push(write)
    }
  }

  /** All it was ever meant to be, save for nothing. */
  values(register: string): readonly string[] {
    const values = new Set(this.#writes.get(register)?.map(({ value }) => value))
    values.delete(absent)
    return [...values]
  }

  /** Names of registers that were ever written and begin so. */
  *under(prefix: string): Generator<string> {
    for (const register of this.#writes.keys()) if (register.startsWith(prefix)) yield register
  }

  /** Could it have been this at some moment between the two? */
  could(register: string, value: string, fromMs: number, toMs: number): boolean {
    const writes = this.#writes.get(register) ?? []
    let base = writes.length - 1
    // Certain is what was answered before: nothing older can be seen any more.
    while (base >= 0) {
      const { verdict, answeredAtMs } = writes[base]!
      if (verdict === 'kept' && answeredAtMs! < fromMs) break
      base--
    }
    if (base < 0 && value === absent) return true
    for (let at = Math.max(base, 0); at < writes.length; at++) {
      const write = writes[at]!
      if (write.askedAtMs <= toMs && write.value === value) return true
    }
    return false
  }
}

/** By the kind of register, what it means when it is not as it should be. */
const ruleOf: Readonly<Record<string, string>> = {
  alias: 'alias-untrue',
  device: 'device-untrue',
  tag: 'tag-untrue',
  key: 'key-untrue',
  quota: 'quota-untrue',
  webhook: 'webhook-untrue',
}

/** A name is what its last answered change made it; one that got no answer may have been made. */
export function namesTrue(facts: Facts, findings: Findings, registers: Registers): void {
  for (const read of facts.journal.reads) readTrue(findings, registers, read)
}

export function readTrue(findings: Findings, registers: Registers, read: RegisterRead): void {
  const { register, value, askedAtMs, answeredAtMs, by } = read
  if (registers.could(register, value, askedAtMs, answeredAtMs)) return
  const kind = register.slice(0, register.includes('/') ? register.indexOf('/') : undefined)
  const words = value === absent ? 'nothing' : value
  findings.add(ruleOf[kind] ?? 'name-untrue', `${register} was ${words}, seen by ${by}`)
}
