import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownCommand } from './known.ts'
import { printOutcome } from './outcome.ts'
import { print, printJson } from './print.ts'

export const explainCommand = (): Command =>
  withApi(new Command('explain'))
    .summary('why a command is where it is')
    .description(
      'Says why a command is where it is: the session, what stands before it, what happens next and when.',
    )
    .argument('<command>', 'command id, as "pike send" gave it')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Example:
  pike explain SZ-0042:main:1a2b3c:17`,
    )
    .action(async (id: string, options: ApiOptions & { json?: true }) => {
      const explanation = await knownCommand(id, connect(options).explain(id))
      if (options.json) return printJson(explanation)
      const { code, sentence, command, ...rest } = explanation
      print(sentence)
      print(`  why: ${code}`)
      // That nothing stands before it goes without saying.
      for (const [name, value] of Object.entries(rest))
        if (name !== 'head' || value !== command.id) printField(name, value, '  ')
      printOutcome(command)
    })

function printField(name: string, value: unknown, indent: string): void {
  if (value === null || value === undefined) return
  if (Array.isArray(value)) {
    print(`${indent}${name}:`)
    for (const item of value) print(`${indent}  ${JSON.stringify(item)}`)
  } else if (typeof value === 'object') {
    print(`${indent}${name}:`)
    for (const [inner, one] of Object.entries(value)) printField(inner, one, `${indent}  `)
  } else print(`${indent}${name}: ${String(value)}`)
}
