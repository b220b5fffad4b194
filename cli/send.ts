import { Command } from 'commander'
import type { CommandPost, To } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { known, knownDevice, unknownAlias } from './known.ts'
import { isGood, otherOutcome, printOutcome } from './outcome.ts'
import { printJson } from './print.ts'
import { sendFile } from './send-many.ts'
import { moment, oneOf, parseJson, positive } from './values.ts'

interface Options extends ApiOptions, CommandOptions {
  readonly alias?: string
  readonly many?: string
  readonly wait?: number | true
  readonly notBefore?: string
  readonly key?: string
  readonly json?: true
}

/** What describes a command, for `send` and `broadcast` alike. */
export interface CommandOptions {
  readonly now?: true
  readonly ttl?: number
  readonly expect?: 'ack' | 'reply'
  readonly replyTimeout?: number
  readonly channel?: string
  readonly collapse?: string
  readonly callback?: string
}

/** How long `--wait` waits when it says nothing else, s. */
const waitDefaultS = 10

export const withCommand = (command: Command): Command =>
  command
    .option('--now', 'for actuators: only to a device connected now, before the deadline or never')
    .option('--ttl <seconds>', 'how long it may wait to be handed over', positive)
    .option(
      '--expect <what>',
      '"ack": ends when received; "reply": ends with the answer',
      oneOf('ack', 'reply'),
    )
    .option('--reply-timeout <seconds>', 'how long the reply may take once delivered', positive)
    .option('--channel <name>', 'another channel than main, e.g. urgent')
    .option('--collapse <key>', 'replaces an older unsent command with the same key')
    .option('--callback <url>', 'post the outcome there too, signed')

export const postOf = (name: string, payload: unknown, options: CommandOptions): CommandPost => ({
  name,
  ...(payload === undefined ? {} : { payload }),
  ...(options.now === true ? { delivery: 'now' } : {}),
  ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
  ...(options.expect === undefined ? {} : { expect: options.expect }),
  ...(options.replyTimeout === undefined ? {} : { replyTimeout: options.replyTimeout }),
  ...(options.channel === undefined ? {} : { channel: options.channel }),
  ...(options.collapse === undefined ? {} : { collapse: options.collapse }),
  ...(options.callback === undefined ? {} : { callback: options.callback }),
})

export const sendCommand = (): Command =>
  withCommand(
    withApi(new Command('send'))
      .summary('send a command to a device, or many commands from a file')
      .description('Sends a command to a device and, with --wait, tells how it ended.')
      .usage(
        '[options] <device> <name> [json]\n       pike send [options] --alias <alias> <name> [json]\n       pike send [options] --many <file>',
      )
      .argument('[device]', 'device id; left out with --alias')
      .argument('[name]', 'what is to be done, e.g. open')
      .argument('[json]', 'payload, any JSON')
      .option('--alias <alias>', 'the device that has this alias, instead of a device id')
      .option('--wait [seconds]', `wait for the outcome (default ${waitDefaultS} s)`, positive),
  )
    .option(
      '--not-before <time>',
      'hold it until then: 2026-11-21T09:00:00Z, or +15m (not with a --key used before: another time is another command)',
      moment,
    )
    .option(
      '--many <file>',
      'one command a line, NDJSON; - reads standard input. Each has "to": {"device": ...}, {"alias": ...} or {"tag": ...}',
    )
    .option(
      '--key <key>',
      'Idempotency-Key; a random one when left out, so that retries are safe. With --many the lines get KEY-1, KEY-2, ...: the same file sent again is the same commands',
    )
    .option('--json', 'for a script: the answer of the gateway; with --many one a line')
    .addHelpText(
      'after',
      `
Exit codes:
  0  accepted; or, once it ended: delivered or done
  1  not accepted: bad arguments, no gateway, unknown device, ...
  2  ended in another way (expired, rejected, undeliverable, ...), or with --wait: not ended in time
     with --many: some lines were refused; each is named, the others were accepted

Examples:
  pike send SZ-0042 open '{"door":7}'
  pike send SZ-0042 open '{"door":7}' --now --expect reply --wait
  pike send SZ-0042 open '{"door":7}' --ttl 3600 --key order-1234 --json
  pike send --alias order-1234 open '{"door":7}' --now
  pike send SZ-0042 report --not-before +8h
  pike send --many commands.ndjson --key campaign-7`,
    )
    .action(
      async (
        first: string | undefined,
        second: string | undefined,
        third: string | undefined,
        options: Options,
      ) => {
        if (options.many !== undefined) {
          if (first !== undefined)
            throw new Failure('--many takes devices and names from the file: leave them out here')
          return sendFile(connect(options), options.many, options)
        }
        await sendOne(parts(first, second, third, options.alias), options)
      },
    )

interface Parts {
  readonly to: To
  readonly name: string
  readonly payload: unknown
}

/** With an alias there is no device, and the others move up. */
function parts(
  first: string | undefined,
  second: string | undefined,
  third: string | undefined,
  alias: string | undefined,
): Parts {
  if (alias !== undefined && third !== undefined)
    throw new Failure('a device or an --alias, not both: pike send --alias <alias> <name> [json]')
  const [to, name, json] = alias === undefined ? [first, second, third] : [{ alias }, first, second]
  if (to === undefined || name === undefined)
    throw new Failure('what to whom? Like this: pike send SZ-0042 open \'{"door":7}\'')
  try {
    return { to, name, payload: json === undefined ? undefined : parseJson(json) }
  } catch (error) {
    throw new Failure(`"${json}": ${(error as Error).message}`)
  }
}

async function sendOne({ to, name, payload }: Parts, options: Options): Promise<void> {
  const waitSeconds = options.wait === true ? waitDefaultS : (options.wait ?? 0)
  const asked = connect(options).send(
    to,
    {
      ...postOf(name, payload, options),
      ...(options.notBefore === undefined ? {} : { notBefore: options.notBefore }),
    },
    { waitSeconds, ...(options.key === undefined ? {} : { idempotencyKey: options.key }) },
  )
  const sent = await (typeof to === 'string'
    ? knownDevice(to, asked)
    : known(asked, 'unknown-alias', unknownAlias(options.alias!)))
  if (options.json) printJson(sent)
  else printOutcome(sent)
  if (sent.ended ? isGood(sent.status) : waitSeconds === 0) return
  if (!sent.ended && !options.json)
    process.stderr.write(
      `not ended after ${waitSeconds} s; it goes on. Ask again: pike show ${sent.id}\n`,
    )
  process.exitCode = otherOutcome
}
