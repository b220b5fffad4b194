import { Command } from 'commander'
import type { CommandStatus } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownDevice } from './known.ts'
import { print, printJson, table } from './print.ts'
import { wholeNumber } from './values.ts'

interface Options extends ApiOptions {
  readonly status?: CommandStatus | 'open'
  readonly limit: number
  readonly json?: true
}

export const historyCommand = (): Command =>
  withApi(new Command('history'))
    .summary("a device's commands, newest first")
    .description("Lists a device's commands, newest first, with how each ended.")
    .argument('<device>', 'device id')
    .option('--status <status>', 'only these: open, or an outcome such as done or in-doubt')
    .option('--limit <number>', 'how many at most', wholeNumber, 20)
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  pike history SZ-0042
  pike history SZ-0042 --status open
  pike history SZ-0042 --status in-doubt --json`,
    )
    .action(async (device: string, options: Options) => {
      const { status, limit } = options
      const history = connect(options).history(device, status === undefined ? {} : { status })
      const rows: string[][] = []
      let after: string | undefined
      let count = 0
      do {
        const page = await knownDevice(
          device,
          history.page({
            limit: Math.min(limit - count, 1_000),
            ...(after !== undefined && { after }),
          }),
        )
        for (const one of page.items) {
          if (options.json) printJson(one)
          else
            rows.push([
              one.acceptedAt,
              one.name,
              one.reason === undefined ? one.status : `${one.status} (${one.reason})`,
              one.askedBy,
              one.id,
            ])
        }
        count += page.items.length
        after = page.next ?? undefined
      } while (after !== undefined && count < limit)
      if (options.json) return
      if (rows.length === 0) print(`no such commands for ${device}`)
      else print(table(['ACCEPTED', 'NAME', 'STATUS', 'ASKED BY', 'COMMAND'], rows))
    })
