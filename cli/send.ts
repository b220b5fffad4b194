import { randomUUID } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import {
  type ApiClient,
  type ApiOptions,
  connect,
  Refused,
  Unreachable,
  withApi,
} from './api-client.ts'
import type { CommandBody } from './bodies.ts'
import { Failure } from './failure.ts'
import { otherOutcome, printOutcome } from './outcome.ts'
import { printJson } from './print.ts'

interface Options extends ApiOptions {
  readonly wait?: number | true
  readonly now?: true
  readonly ttl?: number
  readonly expect?: string
  readonly replyTimeout?: number
  readonly channel?: string
  readonly collapse?: string
  readonly key?: string
  readonly json?: true
}

/** How long `--wait` waits when it says nothing else, s. */
const waitDefaultS = 10
/** The longest wait one call may ask for, s; longer ones are made of several. */
const waitCallMaxS = 60
/** Between tries to reach a gateway that went away while we waited, ms. */
const retryMs = 500

export const sendCommand = (): Command =>
  withApi(new Command('send'))
    .summary('send a command to a device')
    .description('Sends a command to a device and, with --wait, tells how it ended.')
    .argument('<device>', 'device id')
    .argument('<name>', 'what is to be done, e.g. open')
    .argument('[json]', 'payload, any JSON', parseJson)
    .option('--wait [seconds]', `wait for the outcome (default ${waitDefaultS} s)`, positive)
    .option('--now', 'for actuators: only to a device connected now, before the deadline or never')
    .option('--ttl <seconds>', 'how long it may wait to be handed over', positive)
    .option(
      '--expect <what>',
      '"ack": ends when received; "reply": ends with the answer',
      expectation,
    )
    .option('--reply-timeout <seconds>', 'how long the reply may take once delivered', positive)
    .option('--channel <name>', 'another channel than main, e.g. urgent')
    .option('--collapse <key>', 'replaces an older unsent command with the same key')
    .option('--key <key>', 'Idempotency-Key; a random one when left out, so that retries are safe')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Exit codes:
  0  accepted; or, once it ended: delivered or done
  1  not accepted: bad arguments, no gateway, unknown device, ...
  2  ended in another way (expired, rejected, undeliverable, ...), or with --wait: not ended in time

Examples:
  pike send SZ-0042 open '{"door":7}'
  pike send SZ-0042 open '{"door":7}' --now --expect reply --wait
  pike send SZ-0042 open '{"door":7}' --ttl 3600 --key order-1234 --json`,
    )
    .action(async (device: string, name: string, payload: unknown, options: Options) => {
      const waitS = options.wait === true ? waitDefaultS : (options.wait ?? 0)
      const { status, command } = await send(connect(options), device, options, waitS, {
        name,
        ...(payload === undefined ? {} : { payload }),
        ...(options.now === true ? { delivery: 'now' } : {}),
        ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
        ...(options.expect === undefined ? {} : { expect: options.expect }),
        ...(options.replyTimeout === undefined ? {} : { replyTimeout: options.replyTimeout }),
        ...(options.channel === undefined ? {} : { channel: options.channel }),
        ...(options.collapse === undefined ? {} : { collapse: options.collapse }),
      })
      if (options.json) printJson(command)
      else printOutcome(command)
      const ended = status === 200
      if (ended ? !['delivered', 'done'].includes(command.status) : waitS > 0) {
        if (!ended && !options.json)
          process.stderr.write(
            `not ended after ${waitS} s; it goes on. Ask again: pike show ${command.id}\n`,
          )
        process.exitCode = otherOutcome
      }
    })

/**
 * Sends, and waits by sending again with the same key: rule 28 makes it the same command, also
 * when the gateway was restarted meanwhile.
 */
async function send(
  api: ApiClient,
  device: string,
  options: Options,
  waitS: number,
  body: unknown,
): Promise<{ status: number; command: CommandBody }> {
  const key = options.key ?? randomUUID()
  const path = `/v1/devices/${encodeURIComponent(device)}/commands`
  const untilMs = performance.now() + waitS * 1000
  let accepted: { status: number; command: CommandBody } | undefined
  for (;;) {
    const leftS = Math.min(waitCallMaxS, Math.ceil((untilMs - performance.now()) / 1000))
    try {
      const { status, body: command } = await api.call<CommandBody>('POST', path, {
        body,
        headers: {
          'idempotency-key': key,
          ...(leftS > 0 ? { prefer: `wait=${leftS}` } : {}),
        },
        expected: [404],
      })
      if (status === 404)
        throw new Failure(
          `no device ${device}; "pike device list" shows them, "pike device add ${device}" makes it`,
        )
      accepted = { status, command }
      if (status === 200 || performance.now() >= untilMs) return accepted
    } catch (error) {
      // It may have been accepted all the same; asking again cannot make a second one.
      if (accepted === undefined || !passes(error)) throw error
      if (performance.now() >= untilMs) return accepted
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

/** A gateway that is stopping, starting or short of its store. */
const passes = (error: unknown): boolean =>
  error instanceof Unreachable || (error instanceof Refused && error.status === 503)

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidArgumentError(`that is no JSON; quote it for the shell, like '{"door":7}'`)
  }
}

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('use a number of seconds above 0')
  return value
}

function expectation(text: string): string {
  if (text !== 'ack' && text !== 'reply') throw new InvalidArgumentError('use ack or reply')
  return text
}

/** One command by its id; nobody having it is a failure in words. */
export async function findCommand<Body>(
  api: ApiClient,
  method: string,
  id: string,
  rest = '',
): Promise<Body> {
  const { status, body } = await api.call<Body>(
    method,
    `/v1/commands/${encodeURIComponent(id)}${rest}`,
    { expected: [404] },
  )
  if (status === 404)
    throw new Failure(`no command ${id}: is it the whole id, as "pike send" gave it?`)
  return body
}
