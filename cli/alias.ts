import { Command } from 'commander'
import type { Alias } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownDevice, unknownAlias } from './known.ts'
import { print, printJson, table } from './print.ts'
import { moment } from './values.ts'

type Options = ApiOptions & { json?: true }

export const aliasCommand = (): Command =>
  new Command('alias')
    .summary('other names for devices: an order number, a place')
    .description('Binds, shows, lists and removes aliases: other names for exactly one device.')
    .addCommand(set())
    .addCommand(show())
    .addCommand(list())
    .addCommand(remove())

const set = (): Command =>
  withApi(new Command('set'))
    .summary('bind an alias to a device, or bind it anew')
    .description(
      'Binds an alias to a device. One that is bound already moves at one moment; commands sent before stay with the device they were sent to.',
    )
    .argument('<alias>', 'letters, digits and ._~-')
    .argument('<device>', 'device id')
    .option('--expires <time>', 'from then on nobody has it: 2026-11-21T09:00:00Z, or +8h', moment)
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike alias set order-1234 SZ-0042 --expires +8h
  pike send --alias order-1234 open '{"door":7}' --now`,
    )
    .action(async (alias: string, device: string, options: Options & { expires?: string }) => {
      const { expires } = options
      const body = await knownDevice(
        device,
        connect(options).aliases.put(alias, {
          device,
          ...(expires === undefined ? {} : { expiresAt: expires }),
        }),
      )
      if (options.json) printJson(body)
      else
        print(
          `${alias} is ${device}${body.expiresAt === undefined ? '' : `, until ${body.expiresAt}`}`,
        )
    })

const show = (): Command =>
  withApi(new Command('show'))
    .summary('which device an alias is, and was')
    .description('Shows which device an alias stands for, and those before.')
    .argument('<alias>', 'the alias')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike alias show order-1234')
    .action(async (alias: string, options: Options) => {
      const body = await connect(options).aliases.get(alias)
      if (body === undefined) throw unknownAlias(alias)
      if (options.json) return printJson(body)
      print(table(['ALIAS', 'DEVICE', 'SINCE', 'UNTIL'], bindings(body)))
    })

const bindings = (one: Alias): string[][] => [
  [one.alias, one.device, one.history[0]?.until ?? one.createdAt, one.expiresAt ?? ''],
  ...one.history.map(({ device, from, until }) => ['', device, from, until]),
]

const list = (): Command =>
  withApi(new Command('list'))
    .summary('all aliases')
    .description('Lists all aliases in order of name.')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike alias list')
    .action(async (options: Options) => {
      const rows: string[][] = []
      for await (const one of connect(options).aliases.list()) {
        if (options.json) printJson(one)
        else rows.push([one.alias, one.device, one.changedAt, one.expiresAt ?? ''])
      }
      if (options.json) return
      if (rows.length === 0) print('no aliases yet; bind one: pike alias set <alias> <device>')
      else print(table(['ALIAS', 'DEVICE', 'CHANGED', 'EXPIRES'], rows))
    })

const remove = (): Command =>
  withApi(new Command('remove'))
    .summary('free an alias')
    .description('Frees an alias; the device stays, and so does what was sent to it.')
    .argument('<alias>', 'the alias')
    .addHelpText('after', '\nExample:\n  pike alias remove order-1234')
    .action(async (alias: string, options: Options) => {
      if (!(await connect(options).aliases.remove(alias))) throw unknownAlias(alias)
      print(`${alias} is free`)
    })
