import { Command } from 'commander'
import { type ApiOptions, connect, Refused, withApi } from './api-client.ts'
import type { EventBody, Page, Problem } from './bodies.ts'
import { Failure } from './failure.ts'
import { clockTime, payloadText, print, printJson } from './print.ts'
import { readEvents } from './sse.ts'

interface Options extends ApiOptions {
  readonly follow?: true
  readonly device?: string
  readonly type?: string
  readonly after?: string
  readonly json?: true
}

/** Between tries to come back to a gateway that went away, ms. */
const retryMs = 1_000

export const eventsCommand = (): Command =>
  withApi(new Command('events'))
    .summary('what devices report and how commands end')
    .description(
      'Prints events: uplinks, replies, presence, outcomes of commands. Without --follow: those kept, from the oldest.',
    )
    .option('--follow', 'go on with what comes; comes back by itself when the gateway restarts')
    .option('--device <device>', 'of this device only')
    .option('--type <type>', 'of this type only: event, reply, presence, command.ended, ...')
    .option('--after <id>', 'those after this event id')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  pike events --follow
  pike events --device SZ-0042 --type command.ended --json
  pike events --follow --after 1a2b3c-0000000042`,
    )
    .action(async (options: Options) => {
      const show = (event: EventBody): void =>
        options.json ? printJson(event) : print(line(event))
      if (options.follow) await follow(options, show)
      else await pages(options, show)
    })

function query(options: Options, after: string | undefined): string {
  const query = new URLSearchParams()
  if (options.device !== undefined) query.set('device', options.device)
  if (options.type !== undefined) query.set('type', options.type)
  if (after !== undefined) query.set('after', after)
  const text = query.toString()
  return text === '' ? '/v1/events' : `/v1/events?${text}`
}

async function pages(options: Options, show: (event: EventBody) => void): Promise<void> {
  const api = connect(options)
  let after = options.after
  for (;;) {
    const { status, body } = await api.call<Page<EventBody> & Problem>(
      'GET',
      query(options, after),
      {
        expected: [410],
        headers: { accept: 'application/json' },
      },
    )
    if (status === 410) throw gone(body)
    for (const event of body.items) show(event)
    if (body.caughtUp !== false) return
    after = body.next ?? undefined
  }
}

async function follow(options: Options, show: (event: EventBody) => void): Promise<void> {
  const api = connect(options)
  let last = options.after
  let reached = false
  for (;;) {
    try {
      const stream = await api.stream(query(options, undefined), {
        headers: {
          accept: 'text/event-stream',
          ...(last === undefined ? {} : { 'last-event-id': last }),
        },
      })
      reached = true
      for await (const event of readEvents(stream as unknown as AsyncIterable<Uint8Array>)) {
        if (event.id !== undefined) last = event.id
        if (event.data !== '') show(JSON.parse(event.data) as EventBody)
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 410) throw gone(error.problem)
      if (!reached || (error instanceof Refused && error.status !== 503)) throw error
      // It was there and broke off: it will be back, and we know where we were.
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs))
  }
}

const gone = (body: Problem): Failure =>
  new Failure(
    `those events are not kept any more${body.oldest === undefined ? '' : `; the oldest can be read with --after ${body.oldest}`}`,
  )

/** `12:00:00.000  SZ-0042  event  door-opened {"door":7}` */
function line(event: EventBody): string {
  const parts = [clockTime(event.at), event.device, event.type]
  for (const part of [event.name, event.state, event.status])
    if (part !== undefined) parts.push(part)
  if (event.reason !== undefined) parts.push(`(${event.reason})`)
  const payload = payloadText(event)
  if (payload !== '') parts.push(payload)
  if (event.command !== undefined) parts.push(event.command)
  return parts.join('  ')
}
