import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownCommand } from './known.ts'
import { otherOutcome } from './outcome.ts'
import { print, printJson } from './print.ts'

export const cancelCommand = (): Command =>
  withApi(new Command('cancel'))
    .summary('take back a command that was not sent yet')
    .description(
      'Takes back a command that was certainly never sent. One that may have been sent cannot be taken back.',
    )
    .argument('<command>', 'command id, as "pike send" gave it')
    .option('--json', 'for a script: the command, or {"canceled": false, "status": ...}')
    .addHelpText(
      'after',
      `
Exit codes:
  0  canceled
  1  no such command, no gateway, ...
  2  too late: it may have been sent, or has ended

Example:
  pike cancel SZ-0042:main:1a2b3c:17`,
    )
    .action(async (id: string, options: ApiOptions & { json?: true }) => {
      const canceled = await knownCommand(id, connect(options).cancel(id))
      if (options.json) printJson(canceled.canceled ? canceled.command : canceled)
      else if (canceled.canceled) print(`${id}  canceled`)
      else process.stderr.write(`too late, it is ${canceled.status}; see: pike show ${id}\n`)
      if (!canceled.canceled) process.exitCode = otherOutcome
    })
