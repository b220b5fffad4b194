import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import type { CommandBody, Problem } from './bodies.ts'
import { Failure } from './failure.ts'
import { otherOutcome } from './outcome.ts'
import { print, printJson } from './print.ts'

export const cancelCommand = (): Command =>
  withApi(new Command('cancel'))
    .summary('take back a command that was not sent yet')
    .description(
      'Takes back a command that was certainly never sent. One that may have been sent cannot be taken back.',
    )
    .argument('<command>', 'command id, as "pike send" gave it')
    .option('--json', 'for a script: the answer of the gateway')
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
      const { status, body } = await connect(options).call<CommandBody & Problem>(
        'DELETE',
        `/v1/commands/${encodeURIComponent(id)}`,
        { expected: [404, 409] },
      )
      if (status === 404) throw new Failure(`no command ${id}: is it the whole id?`)
      if (options.json) printJson(body)
      else if (status === 409)
        process.stderr.write(`too late, it is ${body.commandStatus}; see: pike show ${id}\n`)
      else print(`${id}  canceled`)
      if (status === 409) process.exitCode = otherOutcome
    })
