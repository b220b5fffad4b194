import type { Command, Sent } from '../src/backend/index.ts'
import { clockTime, payloadText, print } from './print.ts'

/** Exit code where a command ended in another way than asked, or has not ended in the time given. */
export const otherOutcome = 2

/** The ends one asks for. */
export const isGood = (status: string): boolean => status === 'delivered' || status === 'done'

/** What became of a command, for a person. */
export function printOutcome(command: Command | Sent): void {
  const reason = 'reason' in command && command.reason !== undefined ? ` (${command.reason})` : ''
  const due = command.notBefore === undefined ? '' : `, not before ${command.notBefore}`
  print(`${command.id}  ${command.status}${reason}${due}`)
  if (!('timeline' in command)) return
  if (command.reply !== undefined) {
    const { reply } = command
    const why = reply.reason === undefined ? '' : ` (${reply.reason})`
    print(`  reply: ${reply.status}${why} ${payloadText(reply)}`.trimEnd())
  }
  const first = command.timeline[0]
  for (const step of command.timeline) {
    const afterMs = Date.parse(step.at) - Date.parse(first!.at)
    const why = step.reason === undefined ? '' : `  ${step.reason}`
    print(
      `${`  ${clockTime(step.at)}  +${afterMs} ms`.padEnd(28)}${step.status}${why}${step.late ? '  late' : ''}`,
    )
  }
}
