import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { knownWebhook } from './known.ts'
import { print, printJson, table } from './print.ts'

type Options = ApiOptions & { json?: true; all?: true }

/** Events that nobody took within a day: look, send again, forget. */
export const webhookLetterCommands = (): readonly Command[] => [letters(), resend(), discard()]

const letters = (): Command =>
  withApi(new Command('dead-letters'))
    .summary('events that were not taken within a day')
    .description(
      'Lists events that were set aside after a day of failures, with the last error of each.',
    )
    .argument('<webhook>', 'its name; "callbacks" for callbacks of commands')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike webhook dead-letters orders')
    .action(async (name: string, options: Options) => {
      const all = await knownWebhook(name, connect(options).webhooks.deadLetters(name).all())
      if (options.json) for (const one of all) printJson(one)
      else if (all.length === 0) print(`${name} has no dead letters`)
      else
        print(
          table(
            ['EVENT', 'DEVICE', 'TYPE', 'SET ASIDE', 'TRIES', 'LAST ERROR'],
            all.map((one) => [
              one.event,
              one.device,
              one.type,
              one.setAsideAt,
              String(one.attempts),
              one.lastError,
            ]),
          ),
        )
    })

const resend = (): Command =>
  withApi(new Command('resend'))
    .summary('send dead letters again')
    .description('Sends one dead letter again, or all. Those taken leave the list.')
    .argument('<webhook>', 'its name; "callbacks" for callbacks of commands')
    .argument('[event]', 'one event id; all when left out')
    .option('--json', 'for a script: {"sending": number}')
    .addHelpText(
      'after',
      `
Examples:
  pike webhook resend orders
  pike webhook resend orders 1a2b3c-0000000042`,
    )
    .action(async (name: string, event: string | undefined, options: Options) => {
      const sending = await knownWebhook(name, connect(options).webhooks.sendAgain(name, event))
      if (options.json) printJson({ sending })
      else print(`${sending} on their way`)
    })

const discard = (): Command =>
  withApi(new Command('discard'))
    .summary('forget dead letters')
    .description('Forgets one dead letter, or with --all every one. The events stay in the log.')
    .argument('<webhook>', 'its name; "callbacks" for callbacks of commands')
    .argument('[event]', 'one event id')
    .option('--all', 'every one')
    .option('--json', 'for a script: {"discarded": number}')
    .addHelpText(
      'after',
      `
Examples:
  pike webhook discard orders 1a2b3c-0000000042
  pike webhook discard orders --all`,
    )
    .action(async (name: string, event: string | undefined, options: Options) => {
      if ((event === undefined) === (options.all === undefined))
        throw new Failure('which? One event id, or --all')
      const discarded = await knownWebhook(name, connect(options).webhooks.discard(name, event))
      if (options.json) printJson({ discarded })
      else print(`${discarded} forgotten`)
    })
