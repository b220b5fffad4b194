import { Command } from 'commander'
import type { Broadcast, BroadcastDevice, PikeBackend } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { known, knownBroadcast, unknownBroadcast, unknownTag } from './known.ts'
import { isGood, otherOutcome } from './outcome.ts'
import { print, printJson, table } from './print.ts'
import { type CommandOptions, postOf, withCommand } from './send.ts'
import { parseJson, wholeNumber } from './values.ts'

type Options = ApiOptions & { json?: true }

/** Between two looks at a broadcast that is followed, ms. */
const lookMs = 500

export const broadcastCommand = (): Command =>
  new Command('broadcast')
    .summary('one command for every device of a tag')
    .description(
      'Sends one command to every device that has a tag at this moment, and reports what becomes of each.',
    )
    .usage(
      '[options] <tag> <name> [json]\n       pike broadcast [options] <show|list|stop|devices>',
    )
    .addCommand(start(), { isDefault: true })
    .addCommand(show())
    .addCommand(list())
    .addCommand(devices())
    .addCommand(stop())
    .addHelpText(
      'after',
      `
Examples:
  pike broadcast berlin show-text '{"text":"hello"}'
  pike broadcast berlin update --rate 10 --stop-after-failures 5 --follow
  pike broadcast start --help                  every option of the first form`,
    )

const start = (): Command =>
  withCommand(
    withApi(new Command('start'))
      .summary('send it; the word "start" may be left out')
      .description(
        'Sends one command to every device that has the tag now. Devices that get the tag later are not part of it.',
      )
      .argument('<tag>', 'the tag')
      .argument('<name>', 'what is to be done, e.g. update')
      .argument('[json]', 'payload, any JSON', parseJson),
  )
    .option('--rate <number>', 'devices a second, at most', wholeNumber)
    .option('--stop-after-failures <number>', 'place no more once so many ended badly', wholeNumber)
    .option('--follow', 'stay and tell how it goes, until every command has ended')
    .option('--key <key>', 'Idempotency-Key; a random one when left out')
    .option('--json', 'for a script: the answer of the gateway; with --follow the last report')
    .addHelpText(
      'after',
      `
Exit codes, with --follow:
  0  every command ended delivered or done
  2  some ended in another way, or it was stopped

Examples:
  pike broadcast start berlin show-text '{"text":"hello"}'
  pike broadcast berlin update --rate 10 --stop-after-failures 5 --follow`,
    )
    .action(
      async (
        tag: string,
        name: string,
        payload: unknown,
        options: Options &
          CommandOptions & {
            rate?: number
            stopAfterFailures?: number
            follow?: true
            key?: string
          },
      ) => {
        const pike = connect(options)
        const { rate, stopAfterFailures, key } = options
        const made = await known(
          pike.broadcast(
            tag,
            {
              ...postOf(name, payload, options),
              ...(rate !== undefined && { rate }),
              ...(stopAfterFailures !== undefined && { stopAfterFailures }),
            },
            key === undefined ? {} : { idempotencyKey: key },
          ),
          'unknown-tag',
          unknownTag(tag),
        )
        if (!options.follow) {
          if (options.json) return printJson(made)
          print(`${made.broadcast}  for ${made.devices} devices`)
          return print(`how it goes: pike broadcast show ${made.broadcast}`)
        }
        process.stderr.write(`${made.broadcast}  for ${made.devices} devices\n`)
        const report = await follow(pike, made.broadcast)
        if (options.json) printJson(report)
        else printReport(report)
        const good = Object.entries(report.ended).every(([how, n]) => n === 0 || isGood(how))
        if (!good || report.state === 'stopped') process.exitCode = otherOutcome
      },
    )

/** Looks until nothing is waiting or open. */
async function follow(pike: PikeBackend, id: string): Promise<Broadcast> {
  const terminal = process.stderr.isTTY === true
  let said = ''
  for (;;) {
    const report = await pike.broadcasts.get(id)
    if (report === undefined) throw unknownBroadcast(id)
    const text = summary(report)
    if (text !== said) process.stderr.write(terminal ? `\r${text}\u001b[K` : `${text}\n`)
    said = text
    if (report.state !== 'running' && report.open === 0) {
      if (terminal) process.stderr.write('\n')
      return report
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

/** `12 of 40 waiting, 8 open, 19 delivered, 1 failed`; once stopped, `12 of 40 not placed` */
const summary = ({ devices, state, waiting, notPlaced, open, ended }: Broadcast): string =>
  [
    state === 'stopped'
      ? `${notPlaced} of ${devices} not placed`
      : `${waiting} of ${devices} waiting`,
    `${open} open`,
    ...Object.entries(ended)
      .filter(([, n]) => n > 0)
      .map(([how, n]) => `${n} ${how}`),
  ].join(', ')

function printReport(report: Broadcast): void {
  const why = report.why === undefined ? '' : ` (${report.why})`
  print(`${report.id}  ${report.name} to ${report.tag}: ${report.state}${why}`)
  print(`  ${summary(report)}`)
  print(`  asked by ${report.askedBy} at ${report.createdAt}`)
}

const show = (): Command =>
  withApi(new Command('show'))
    .summary('how one goes')
    .description('Shows how many of its commands wait, are open, and ended in which way.')
    .argument('<broadcast>', 'broadcast id')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike broadcast show b-1a2b3c')
    .action(async (id: string, options: Options) => {
      const report = await connect(options).broadcasts.get(id)
      if (report === undefined) throw unknownBroadcast(id)
      if (options.json) printJson(report)
      else printReport(report)
    })

const list = (): Command =>
  withApi(new Command('list'))
    .summary('all, newest first')
    .description('Lists broadcasts, newest first.')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike broadcast list')
    .action(async (options: Options) => {
      const rows: string[][] = []
      for await (const one of connect(options).broadcasts.list()) {
        if (options.json) printJson(one)
        else rows.push([one.createdAt, one.id, one.tag, one.name, one.state, summary(one)])
      }
      if (options.json) return
      if (rows.length === 0)
        print('no broadcasts yet; send one: pike broadcast <tag> <name> [json]')
      else print(table(['CREATED', 'BROADCAST', 'TAG', 'NAME', 'STATE', 'DEVICES'], rows))
    })

const devices = (): Command =>
  withApi(new Command('devices'))
    .summary('what became of it on each device')
    .description('Lists its devices, each with its command and where that stands.')
    .argument('<broadcast>', 'broadcast id')
    .option(
      '--status <status>',
      'only these: waiting, not-placed, queued, or an outcome such as failed',
    )
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike broadcast devices b-1a2b3c --status failed')
    .action(async (id: string, options: Options & { status?: BroadcastDevice['status'] }) => {
      const { status } = options
      const listing = connect(options).broadcasts.devices(
        id,
        status === undefined ? {} : { status },
      )
      const all = await knownBroadcast(id, listing.all())
      if (options.json) for (const one of all) printJson(one)
      else
        print(
          table(
            ['DEVICE', 'STATUS', 'COMMAND'],
            all.map((one) => [one.device, one.status, one.command ?? '']),
          ),
        )
    })

const stop = (): Command =>
  withApi(new Command('stop'))
    .summary('place no more, and take back what was not sent')
    .description(
      'Places no more of its commands and takes back those that were never sent. What may have been sent goes on to its outcome.',
    )
    .argument('<broadcast>', 'broadcast id')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike broadcast stop b-1a2b3c')
    .action(async (id: string, options: Options) => {
      const report = await knownBroadcast(id, connect(options).broadcasts.stop(id))
      if (options.json) printJson(report)
      else printReport(report)
    })
