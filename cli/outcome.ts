import type { CommandBody } from './bodies.ts'
import { clockTime, payloadText, print } from './print.ts'

/** Exit code where a command ended in another way than asked, or has not ended in the time given. */
export const otherOutcome = 2

/** What became of a command, for a person. */
export function printOutcome(command: CommandBody): void {
  const reason = command.reason === undefined ? '' : ` (${command.reason})`
  print(`${command.id}  ${command.status}${reason}`)
  if (command.reply !== undefined) {
    const { reply } = command
    const why = reply.reason === undefined ? '' : ` (${reply.reason})`
    print(`  reply: ${reply.status}${why} ${payloadText(reply)}`.trimEnd())
  }
  const first = command.timeline?.[0]
  for (const step of command.timeline ?? []) {
    const afterMs = Date.parse(step.at) - Date.parse(first!.at)
    const why = step.reason === undefined ? '' : `  ${step.reason}`
    print(
      `${`  ${clockTime(step.at)}  +${afterMs} ms`.padEnd(28)}${step.status}${why}${step.late ? '  late' : ''}`,
    )
  }
}
