import { Command } from 'commander'
import { type Loaded, loadConfig } from '../src/node/config.ts'
import { settings } from '../src/node/settings.ts'
import { notUnderstood } from '../src/webhooks/index.ts'
import { clientVariables } from './api-client.ts'
import { Failure } from './failure.ts'
import { print, printJson, table } from './print.ts'

/** Every setting as a flag, for the commands that start or describe a gateway. */
export function withSettings(command: Command): Command {
  command.option('--config <file>', 'read settings from this YAML file')
  for (const setting of settings) {
    if (setting.kind === 'limits') {
      const what = `a bound other than its default, see docs/limits.md; may be repeated; ${setting.name}`
      command.option(`--${setting.flag} <name=value>`, what, joined)
      continue
    }
    const now = 'default' in setting ? ` (default: ${setting.default})` : ''
    const later = 'later' in setting ? ' [not in this version]' : ''
    command.option(`--${setting.flag} <value>`, `${setting.what}${now}; ${setting.name}${later}`)
  }
  return command
}

/** A flag that may be repeated. */
const joined = (value: string, before: string | undefined): string =>
  before === undefined ? value : `${before},${value}`

/** The settings given to a command made with {@link withSettings}; what is wrong ends it. */
export function settingsOf(command: Command): Extract<Loaded, { ok: true }> {
  const options = command.opts<Record<string, string | undefined>>()
  const flags: Record<string, string | undefined> = {}
  for (const { flag } of settings)
    flags[flag] = options[flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
  const loaded = loadConfig({
    flags,
    env: process.env,
    file: options.config,
    alsoKnown: clientVariables,
  })
  if (!loaded.ok) throw new Failure(loaded.problem)
  const slip = notUnderstood(loaded.config.webhookAllow)
  if (slip !== undefined) throw new Failure(`PIKE_WEBHOOK_ALLOW (--webhook-allow): ${slip}`)
  return loaded
}

export const configCommand = (): Command =>
  withSettings(new Command('config'))
    .summary('show every setting, its value and where it comes from')
    .description(
      'Shows what "pike serve" would run with: flags over environment over file over defaults. Secrets are masked.',
    )
    .option('--limits', 'every limit instead: name, value and where it comes from')
    .option(
      '--json',
      'for a script: an array of {name, flag, value, origin, notInThisVersion, what}; with --limits of {name, value, origin}',
    )
    .addHelpText(
      'after',
      `
Examples:
  pike config
  PIKE_API_PORT=9000 pike config --config pike.yaml
  pike config --limits --limit mailboxMaxCommands=500
  pike config --json

The file holds one setting a line, named like the flag, and a mapping of limits:
  api-port: 9000
  data-dir: /var/lib/pike
  limits:
    mailboxMaxCommands: 500`,
    )
    .action((_options: unknown, command: Command) => {
      const { chosen, limits, unknown } = settingsOf(command)
      const { json, limits: limitsOnly } = command.opts<{ json?: true; limits?: true }>()
      if (limitsOnly) {
        if (json) printJson(limits)
        else {
          const rows = limits.map(({ name, value, origin }) => [name, String(value), origin])
          print(table(['LIMIT', 'VALUE', 'FROM'], rows))
        }
        return
      }
      if (json) {
        printJson(
          chosen.map(({ later, ...one }) => ({
            ...one,
            value: one.value ?? null,
            notInThisVersion: later,
          })),
        )
        return
      }
      print(
        table(
          ['NAME', 'VALUE', 'FROM', 'WHAT'],
          chosen.map((one) => [
            one.name,
            one.value ?? '(none)',
            one.origin,
            one.later ? `${one.what} [not in this version]` : one.what,
          ]),
        ),
      )
      for (const name of unknown)
        process.stderr.write(`${name} in the environment is no setting: a slip of the pen?\n`)
    })
