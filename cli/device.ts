import { Command, InvalidArgumentError } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import type { DeviceBody, Page } from './bodies.ts'
import { Failure } from './failure.ts'
import { print, printJson, table } from './print.ts'

type Options = ApiOptions & { json?: true }

const pathOf = (device: string): string => `/v1/devices/${encodeURIComponent(device)}`

export const deviceCommand = (): Command =>
  new Command('device')
    .summary('register, list, show and remove devices')
    .description('Registers, lists, shows and removes devices.')
    .addCommand(add())
    .addCommand(list())
    .addCommand(show())
    .addCommand(remove())

const add = (): Command =>
  withApi(new Command('add'))
    .summary('register a device')
    .description('Registers a device and prints its secret, this once.')
    .argument('<device>', 'device id: letters, digits and ._~-')
    .option('--secret <secret>', 'use this secret; without it a strong one is made')
    .option('--tag <tag...>', 'names for many devices')
    .option('--attributes <json>', 'anything worth knowing, a JSON object', parseObject)
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike device add SZ-0042
  pike device add SZ-0042 --tag shenzhen --attributes '{"doors":12}'
  secret=$(pike device add SZ-0042 --json | jq -r .secret)`,
    )
    .action(
      async (
        device: string,
        options: Options & { secret?: string; tag?: string[]; attributes?: object },
      ) => {
        const api = connect(options)
        const before = await api.call('GET', pathOf(device), { expected: [404] })
        if (before.status !== 404)
          throw new Failure(
            `${device} is registered already; see it with "pike device show ${device}"\nto start over: pike device remove ${device}`,
          )
        const { body } = await api.call<DeviceBody>('PUT', pathOf(device), {
          body: {
            ...(options.secret === undefined ? {} : { secret: options.secret }),
            ...(options.tag === undefined ? {} : { tags: options.tag }),
            ...(options.attributes === undefined ? {} : { attributes: options.attributes }),
          },
        })
        if (options.json) return printJson(body)
        print(`${device} is registered`)
        if (body.secret !== undefined && options.secret === undefined) {
          print(`secret: ${body.secret}   (shown this once)`)
          print(`be that device: pike locker ${device} --secret ${body.secret}`)
        }
      },
    )

const list = (): Command =>
  withApi(new Command('list'))
    .summary('all devices, with presence and mailbox')
    .description('Lists all devices in order of their ids, with presence and mailbox.')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  pike device list
  pike device list --json | jq -r 'select(.presence.state == "online") | .device'`,
    )
    .action(async (options: Options) => {
      const api = connect(options)
      const rows: string[][] = []
      let after = ''
      for (;;) {
        const { body } = await api.call<Page<DeviceBody>>(
          'GET',
          `/v1/devices${after === '' ? '' : `?after=${encodeURIComponent(after)}`}`,
        )
        for (const one of body.items) {
          if (options.json) printJson(one)
          else rows.push(row(one))
        }
        if (body.next === null || body.next === undefined) break
        after = body.next
      }
      if (options.json) return
      if (rows.length === 0) print('no devices yet; register one: pike device add <device>')
      else print(table(['DEVICE', 'PRESENCE', 'SINCE', 'OVER', 'WAITING', 'TAGS'], rows))
    })

const row = (one: DeviceBody): string[] => [
  one.device,
  one.disabled === true ? 'disabled' : (one.presence?.state ?? ''),
  one.presence?.since ?? '',
  one.presence?.protocol ?? '',
  String(one.mailbox?.commands ?? 0),
  one.tags?.join(' ') ?? '',
]

const show = (): Command =>
  withApi(new Command('show'))
    .summary('one device')
    .description('Shows one device with presence and mailbox.')
    .argument('<device>', 'device id')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike device show SZ-0042')
    .action(async (device: string, options: Options) => {
      const { status, body } = await connect(options).call<DeviceBody>('GET', pathOf(device), {
        expected: [404],
      })
      if (status === 404) throw unknown(device)
      if (options.json) printJson(body)
      else print(JSON.stringify(body, null, 2))
    })

const remove = (): Command =>
  withApi(new Command('remove'))
    .summary('forget a device')
    .description(
      'Forgets a device: its links are closed, what waits for it ends as undeliverable, what may have been sent as in-doubt.',
    )
    .argument('<device>', 'device id')
    .addHelpText('after', '\nExample:\n  pike device remove SZ-0042')
    .action(async (device: string, options: Options) => {
      const { status } = await connect(options).call('DELETE', pathOf(device), { expected: [404] })
      if (status === 404) throw unknown(device)
      print(`${device} is removed`)
    })

const unknown = (device: string): Failure =>
  new Failure(`no device ${device}; "pike device list" shows them, "pike device add" makes one`)

function parseObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('that is no JSON object')
}
