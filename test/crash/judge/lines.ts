import type { LineCallSeen } from '../journal-many.ts'
import type { Facts, Findings } from './facts.ts'

export interface LineFigures {
  readonly calls: number
  readonly broken: number
  readonly lines: number
  readonly answered: number
}

/** Rule 29: answers in the order of the lines, one for each; a bad line fails alone. */
export function linesAnswered(facts: Facts, findings: Findings): LineFigures {
  const calls = facts.journal.lineCalls.filter(({ path }) => path === '/v1/commands')
  for (const call of facts.journal.lineCalls) callRight(findings, call)
  return {
    calls: calls.length,
    broken: calls.filter(({ end }) => end === 'broken').length,
    lines: calls.reduce((sum, { sent }) => sum + sent, 0),
    answered: calls.reduce((sum, { answers }) => sum + answers.length, 0),
  }
}

function callRight(findings: Findings, call: LineCallSeen): void {
  const which = `call ${call.call} to ${call.path}`
  let last = 0
  for (const { line, status } of call.answers) {
    if (line <= last) findings.add('lines-order', `${which}: ${line} was answered after ${last}`)
    for (let passed = last + 1; passed < line; passed++) {
      if (call.blank.has(passed)) continue
      findings.add('lines-order', `${which}: ${line} was answered, ${passed} before it was not`)
    }
    last = Math.max(last, line)
    if (call.bad.has(line) && status !== 400 && status < 500 && status !== 408) {
      findings.add('lines-order', `${which}: line ${line} is no JSON and was answered ${status}`)
    }
  }
  if (call.end !== 'whole' || call.http !== 200) return
  // One more than was sent says that nothing more was read.
  const rows = call.path === '/v1/commands' ? call.sent : undefined
  if (rows === undefined || last >= rows || isEnding.has(call.answers.at(-1)?.status ?? 0)) return
  for (let left = last + 1; left <= rows; left++) {
    if (!call.blank.has(left)) {
      findings.add('lines-order', `${which}: ended well, and line ${left} has no answer`)
      return
    }
  }
}

/** With these a call says that it reads no more: who calls, how slowly, or that we stop. */
const isEnding = new Set([401, 408, 503])
