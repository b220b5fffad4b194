import { Command } from 'commander'
import {
  CursorGone,
  type Event,
  type EventType,
  type PikeBackend,
  PikeProblem,
} from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { unknownDevice } from './known.ts'
import { clockTime, payloadText, print, printJson } from './print.ts'
import { words } from './values.ts'

interface Options extends ApiOptions {
  readonly follow?: true
  readonly device?: string
  readonly tag?: string
  readonly type?: readonly EventType[]
  readonly after?: string
  readonly json?: true
}

export const eventsCommand = (): Command =>
  withApi(new Command('events'))
    .summary('what devices report and how commands end')
    .description(
      'Prints events: uplinks, replies, presence, outcomes of commands. Without --follow: those kept, from the oldest.',
    )
    .option('--follow', 'go on with what comes; comes back by itself when the gateway restarts')
    .option('--device <device>', 'of this device only')
    .option('--tag <tag>', 'of devices that have this tag now')
    .option(
      '--type <type>',
      'of this type only: event, reply, presence, command.ended, ...; several with commas',
      words,
    )
    .option('--after <id>', 'those after this event id')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  pike events --follow
  pike events --device SZ-0042 --type command.ended --json
  pike events --follow --tag berlin --after 1a2b3c-0000000042`,
    )
    .action(async (options: Options) => {
      const show = (event: Event): void => (options.json ? printJson(event) : print(line(event)))
      try {
        if (options.follow) await follow(options, show)
        else await pages(options, show)
      } catch (error) {
        if (!(error instanceof CursorGone)) throw error
        throw new Failure(
          `those events are not kept any more; the oldest can be read with --after ${error.oldest}`,
        )
      }
    })

const filter = ({ device, tag, type }: Options) => ({
  ...(device !== undefined && { device }),
  ...(tag !== undefined && { tag }),
  ...(type !== undefined && { type }),
})

/** A device that was removed still has events; only where there are none is its name a slip. */
async function isUnknown(pike: PikeBackend, device: string): Promise<boolean> {
  try {
    return (await pike.devices.get(device)) === undefined
  } catch (error) {
    // A key may read events and know nothing of devices.
    if (error instanceof PikeProblem && error.code === 'forbidden') return false
    throw error
  }
}

async function pages(options: Options, show: (event: Event) => void): Promise<void> {
  const pike = connect(options)
  const { device } = options
  let after = options.after
  let shown = false
  for (;;) {
    const page = await pike.eventPage({
      ...filter(options),
      ...(after !== undefined && { after }),
    })
    for (const event of page.items) show(event)
    shown ||= page.items.length > 0
    if (page.caughtUp) {
      if (!shown && device !== undefined && (await isUnknown(pike, device)))
        throw unknownDevice(device)
      return
    }
    after = page.next
  }
}

async function follow(options: Options, show: (event: Event) => void): Promise<void> {
  const pike = connect(options)
  const { device, tag, type } = options
  if (device !== undefined && (await isUnknown(pike, device)))
    process.stderr.write(`${unknownDevice(device).message}\n`)
  if (!options.json) {
    const of = [...(device ? [`of ${device}`] : []), ...(tag ? [`of devices tagged ${tag}`] : [])]
    const what = ['waiting for', ...(type ?? []), 'events', ...of].join(' ')
    process.stderr.write(`${what}; Ctrl-C ends\n`)
  }
  const events = pike.events({
    ...filter(options),
    ...(options.after !== undefined && { after: options.after }),
    onReconnect: ({ error, delayMs }) => {
      // A stream that ends is a restart; it is worth a word only when it does not come back soon.
      if (delayMs < 1_000) return
      const why = error instanceof PikeProblem ? error.title : (error as Error).message
      process.stderr.write(`trying again in ${Math.round(delayMs / 1000)} s: ${why}\n`)
    },
  })
  for await (const event of events) show(event)
}

/** `12:00:00.000  SZ-0042  event  door-opened {"door":7}` */
function line(event: Event): string {
  const parts = [clockTime(event.at), event.device, event.type]
  const said = new Map<string, unknown>(Object.entries(event))
  const text = (name: string): string[] => (said.has(name) ? [String(said.get(name))] : [])
  parts.push(...text('name'), ...text('state'), ...text('status'))
  parts.push(...text('reason').map((reason) => `(${reason})`))
  const payload = payloadText(Object.fromEntries(said))
  if (payload !== '') parts.push(payload)
  parts.push(...text('command'))
  return parts.join('  ')
}
