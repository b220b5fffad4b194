import { Command } from 'commander'
import type { App } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { unknownApp } from './known.ts'
import { print, printJson, table } from './print.ts'
import { wholeNumber } from './values.ts'

type Options = ApiOptions & { json?: true }

export const appCommand = (): Command =>
  new Command('app')
    .summary('tenants, each with devices, keys and quota of its own')
    .description("Makes, lists, shows and removes apps. Needs an administrator's key.")
    .addCommand(set())
    .addCommand(list())
    .addCommand(show())
    .addCommand(remove())

const set = (): Command =>
  withApi(new Command('set'))
    .summary('make an app, or change its quota')
    .description('Makes an app, or changes how much of the gateway it may use.')
    .argument('<app>', 'letters, digits and ._~-')
    .option('--commands-per-second <number>', 'commands accepted at most', wholeNumber)
    .option('--events-per-second <number>', 'events kept at most', wholeNumber)
    .option('--sessions <number>', 'devices connected at most', wholeNumber)
    .option('--no-quota', 'no bound of its own any more')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike app set lockers-de
  pike app set lockers-de --commands-per-second 500 --sessions 10000
  pike key create orders --app lockers-de --scope commands,events`,
    )
    .action(
      async (
        app: string,
        options: Options & {
          commandsPerSecond?: number
          eventsPerSecond?: number
          sessions?: number
          quota: boolean
        },
      ) => {
        const { commandsPerSecond, eventsPerSecond, sessions } = options
        const quota = {
          ...(commandsPerSecond !== undefined && { commandsPerSecond }),
          ...(eventsPerSecond !== undefined && { eventsPerSecond }),
          ...(sessions !== undefined && { sessions }),
        }
        const given = Object.keys(quota).length > 0
        if (given && !options.quota) throw new Failure('a quota or --no-quota, not both')
        const body = await connect(options).apps.put(app, {
          ...(given && { quota }),
          ...(!options.quota && { quota: null }),
        })
        if (options.json) printJson(body)
        else print(`${app} is set${quotaText(body) === '' ? '' : `: ${quotaText(body)}`}`)
      },
    )

const quotaText = ({ quota }: App): string =>
  Object.entries(quota ?? {})
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')

const list = (): Command =>
  withApi(new Command('list'))
    .summary('all apps')
    .description('Lists all apps with their devices and open commands.')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike app list')
    .action(async (options: Options) => {
      const rows: string[][] = []
      for await (const one of connect(options).apps.list()) {
        if (options.json) printJson(one)
        else rows.push([one.app, String(one.devices), String(one.commands.open), quotaText(one)])
      }
      if (!options.json) print(table(['APP', 'DEVICES', 'OPEN', 'QUOTA'], rows))
    })

const show = (): Command =>
  withApi(new Command('show'))
    .summary('one app, with what became of its commands')
    .description('Shows one app: devices, quota, commands accepted, open and ended.')
    .argument('<app>', 'the app')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike app show default')
    .action(async (app: string, options: Options) => {
      const body = await connect(options).apps.get(app)
      if (body === undefined) throw unknownApp(app)
      if (options.json) printJson(body)
      else print(JSON.stringify(body, null, 2))
    })

const remove = (): Command =>
  withApi(new Command('remove'))
    .summary('forget an app that has no devices')
    .description('Forgets an app with its keys, aliases and webhooks. It must have no devices.')
    .argument('<app>', 'the app')
    .addHelpText('after', '\nExample:\n  pike app remove lockers-de')
    .action(async (app: string, options: Options) => {
      if (!(await connect(options).apps.remove(app))) throw unknownApp(app)
      print(`${app} is removed`)
    })
