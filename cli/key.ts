import { Command } from 'commander'
import type { Scope } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownApp, unknownKey } from './known.ts'
import { print, printJson, table } from './print.ts'
import { words } from './values.ts'

type Options = ApiOptions & { app: string; json?: true }

export const keyCommand = (): Command =>
  new Command('key')
    .summary('API keys: make, list, show and revoke')
    .description(
      'Makes, lists, shows and revokes API keys. Needs an administrator\'s key; for "whoami" any will do.',
    )
    .addCommand(create())
    .addCommand(list())
    .addCommand(show())
    .addCommand(revoke())
    .addCommand(whoami())

const withApp = (command: Command): Command =>
  withApi(command).option('--app <app>', 'whose keys', 'default')

const create = (): Command =>
  withApp(new Command('create'))
    .summary('make a key, or change what one may do')
    .description(
      'Makes an API key and prints it, this once. Of a key that exists the scopes are changed.',
    )
    .argument('<name>', 'who will use it; it stands in every command it sends')
    .requiredOption(
      '--scope <scopes>',
      'what it may do: devices, commands, events, admin; several with commas',
      words,
    )
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike key create orders --scope commands,events
  pike key create provisioning --app lockers-de --scope devices`,
    )
    .action(async (name: string, options: Options & { scope: Scope[] }) => {
      const { keys } = connect(options)
      const body = await knownApp(
        options.app,
        keys.put(options.app, name, { scopes: [...options.scope] }),
      )
      if (options.json) return printJson(body)
      if (body.key === undefined) return print(`${name} may: ${body.scopes.join(', ')}`)
      print(`${name} may: ${body.scopes.join(', ')}`)
      print(`key: ${body.key}   (shown this once)`)
    })

const list = (): Command =>
  withApp(new Command('list'))
    .summary('all keys of an app')
    .description(
      'Lists the keys of an app: names and scopes. The keys themselves are kept nowhere.',
    )
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike key list --app lockers-de')
    .action(async (options: Options) => {
      const keys = await knownApp(options.app, connect(options).keys.list(options.app).all())
      if (options.json) for (const one of keys) printJson(one)
      else
        print(
          table(
            ['NAME', 'SCOPES', 'CREATED'],
            keys.map((one) => [one.name, one.scopes.join(' '), one.createdAt]),
          ),
        )
    })

const show = (): Command =>
  withApp(new Command('show'))
    .summary('what one key may do')
    .description('Shows the scopes of one key.')
    .argument('<name>', 'the name of the key')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike key show orders')
    .action(async (name: string, options: Options) => {
      const body = await connect(options).keys.get(options.app, name)
      if (body === undefined) throw unknownKey(name, options.app)
      if (options.json) printJson(body)
      else print(`${name} may: ${body.scopes.join(', ')}; made ${body.createdAt}`)
    })

const revoke = (): Command =>
  withApp(new Command('revoke'))
    .summary('end a key at once')
    .description('Revokes a key: from this moment on it opens nothing, and its streams end.')
    .argument('<name>', 'the name of the key')
    .addHelpText('after', '\nExample:\n  pike key revoke orders')
    .action(async (name: string, options: Options) => {
      if (!(await connect(options).keys.remove(options.app, name)))
        throw unknownKey(name, options.app)
      print(`${name} is revoked`)
    })

const whoami = (): Command =>
  withApi(new Command('whoami'))
    .summary('whose key is at hand, and what it may do')
    .description('Shows the app, the name and the scopes of the key that is used here.')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike key whoami')
    .action(async (options: ApiOptions & { json?: true }) => {
      const key = await connect(options).key()
      if (options.json) printJson(key)
      else
        print(`${key.name} of app ${key.app} may: ${key.scopes.join(', ')}; made ${key.createdAt}`)
    })
