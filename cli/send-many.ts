import type { ManyAnswer, PikeBackend } from '../src/backend/index.ts'
import { linesOf, openInput } from './input.ts'
import { otherOutcome } from './outcome.ts'
import { print, printJson } from './print.ts'
import { Progress } from './progress.ts'
import { Refusals } from './refusals.ts'

/** `pike send --many`: one command a line, with progress, and what became of them by then. */
export async function sendFile(
  pike: PikeBackend,
  file: string,
  options: { readonly key?: string; readonly json?: true },
): Promise<void> {
  const input = await openInput(file)
  const progress = new Progress('commands')
  const refusals = new Refusals(() => progress.break())
  const counts = new Map<string, number>()
  const count = (word: string): void => void counts.set(word, (counts.get(word) ?? 0) + 1)
  try {
    const answers = pike.sendMany(linesOf(input), {
      ...(options.key !== undefined && { idempotencyKeyPrefix: options.key }),
    })
    for await (const answer of answers) {
      if (options.json) printJson(answer)
      if ('problem' in answer) refusals.add(answer.line, answer.problem)
      else count(wordFor(answer))
      progress.add()
    }
  } finally {
    progress.end()
  }
  if (!options.json)
    for (const [word, number] of [...counts].sort()) print(`${String(number).padStart(8)}  ${word}`)
  if (!options.json && refusals.count > 0) print(`${String(refusals.count).padStart(8)}  refused`)
  if (refusals.end()) process.exitCode = otherOutcome
}

const wordFor = (answer: Exclude<ManyAnswer, { problem: unknown }>): string =>
  'broadcast' in answer ? `broadcast ${answer.broadcast}` : answer.commandStatus
