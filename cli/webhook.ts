import { Command } from 'commander'
import type { EventType, Webhook } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownWebhook, unknownWebhook } from './known.ts'
import { print, printJson, table } from './print.ts'
import { words } from './values.ts'
import { webhookLetterCommands } from './webhook-letters.ts'

type Options = ApiOptions & { json?: true }

export function webhookCommand(): Command {
  const command = new Command('webhook')
    .summary('events pushed to your URL, signed')
    .description(
      'Sets, shows, lists and removes webhooks: events posted to a URL of yours in signed batches, repeated until they are taken. The one called "callbacks" is that of commands sent with --callback.',
    )
    .addCommand(set())
    .addCommand(show())
    .addCommand(list())
    .addCommand(rotateSecret())
    .addCommand(remove())
  for (const one of webhookLetterCommands()) command.addCommand(one)
  return command
}

const set = (): Command =>
  withApi(new Command('set'))
    .summary('push events to a URL')
    .description(
      'Makes a webhook, or changes where one posts and what. A new one gets a secret to check signatures with, shown this once.',
    )
    .argument('<webhook>', 'a name: letters, digits and ._~-')
    .argument('<url>', 'where to post, http or https')
    .option(
      '--type <types>',
      'only these types, e.g. command.ended,reply; several with commas',
      words,
    )
    .option('--device <device>', 'of this device only')
    .option('--tag <tag>', 'of devices that have this tag')
    .option('--disabled', 'keep it, but post nothing')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike webhook set orders https://orders.example/pike --type command.ended,command.late
  pike webhook set orders https://orders.example/pike --disabled`,
    )
    .action(
      async (
        name: string,
        url: string,
        options: Options & {
          type?: EventType[]
          device?: string
          tag?: string
          disabled?: true
        },
      ) => {
        const body = await connect(options).webhooks.put(name, {
          url,
          ...(options.type !== undefined && { types: [...options.type] }),
          ...(options.device !== undefined && { device: options.device }),
          ...(options.tag !== undefined && { tag: options.tag }),
          disabled: options.disabled === true,
        })
        if (options.json) return printJson(body)
        print(`${name} posts to ${url}${body.disabled ? ' (disabled: not now)' : ''}`)
        if (body.secret !== undefined) print(`secret: ${body.secret}   (shown this once)`)
      },
    )

const show = (): Command =>
  withApi(new Command('show'))
    .summary('how one is doing')
    .description('Shows a webhook: where it posts, how far it has come, what failed last.')
    .argument('<webhook>', 'its name; "callbacks" for callbacks of commands')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike webhook show orders')
    .action(async (name: string, options: Options) => {
      const body = await connect(options).webhooks.get(name)
      if (body === undefined) throw unknownWebhook(name)
      if (options.json) printJson(body)
      else print(JSON.stringify(body, null, 2))
    })

const list = (): Command =>
  withApi(new Command('list'))
    .summary('all webhooks')
    .description('Lists webhooks, with how they are doing.')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike webhook list')
    .action(async (options: Options) => {
      const all = await connect(options).webhooks.list().all()
      if (options.json) for (const one of all) printJson(one)
      else if (all.length === 0)
        print('no webhooks yet; make one: pike webhook set <webhook> <url>')
      else print(table(['NAME', 'STATE', 'DELIVERED', 'WAITING', 'DEAD', 'URL'], all.map(row)))
    })

const row = ({ name, url, disabled, status }: Webhook): string[] => [
  name,
  disabled ? 'disabled' : status.lanesFailing > 0 ? 'failing' : 'well',
  String(status.delivered),
  status.behind ? `over ${status.waiting}` : String(status.waiting),
  String(status.deadLetters),
  url ?? '',
]

const rotateSecret = (): Command =>
  withApi(new Command('rotate-secret'))
    .summary('a new secret, while the one before signs too')
    .description(
      'Makes a new secret and prints it, this once. Batches are signed with both until --drop-older, which makes nothing. For "callbacks" it makes the first one.',
    )
    .argument('<webhook>', 'its name; "callbacks" for callbacks of commands')
    .option('--drop-older', 'sign with the newest only')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike webhook rotate-secret orders
  pike webhook rotate-secret orders --drop-older
  pike webhook rotate-secret callbacks`,
    )
    .action(async (name: string, options: Options & { dropOlder?: true }) => {
      const { webhooks } = connect(options)
      if (options.dropOlder) {
        const body = await knownWebhook(name, webhooks.dropOlderSecret(name))
        return options.json ? printJson(body) : print(`${name} signs with its newest secret only`)
      }
      const body = await knownWebhook(name, webhooks.rotateSecret(name))
      if (options.json) printJson(body)
      else print(`secret: ${body.secret}   (${body.id}; shown this once)`)
    })

const remove = (): Command =>
  withApi(new Command('remove'))
    .summary('push no more')
    .description('Removes a webhook with its dead letters. Events stay in the log.')
    .argument('<webhook>', 'its name')
    .addHelpText('after', '\nExample:\n  pike webhook remove orders')
    .action(async (name: string, options: Options) => {
      if (!(await connect(options).webhooks.remove(name))) throw unknownWebhook(name)
      print(`${name} is removed`)
    })
