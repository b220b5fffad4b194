import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownCommand } from './known.ts'
import { printOutcome } from './outcome.ts'
import { printJson } from './print.ts'

export const showCommand = (): Command =>
  withApi(new Command('show'))
    .summary('what became of a command')
    .description('Shows the status of a command, its reply, and the time of every step.')
    .argument('<command>', 'command id, as "pike send" gave it')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Example:
  pike show SZ-0042:main:1a2b3c:17`,
    )
    .action(async (id: string, options: ApiOptions & { json?: true }) => {
      const command = await knownCommand(id, connect(options).command(id))
      if (options.json) printJson(command)
      else printOutcome(command)
    })
