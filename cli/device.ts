import { Command } from 'commander'
import type { Device, DeviceFilter } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { pikeAsCalled } from './called.ts'
import { deviceChannelCommand } from './device-channel.ts'
import { deviceImportCommand } from './device-import.ts'
import { deviceShowCommand } from './device-show.ts'
import { Failure } from './failure.ts'
import { knownDevice, unknownDevice } from './known.ts'
import { print, printJson, table } from './print.ts'
import { parseObject } from './values.ts'

type Options = ApiOptions & { json?: true }

export const deviceCommand = (): Command =>
  new Command('device')
    .summary('register, list, show, change and remove devices')
    .description('Registers, lists, shows, changes and removes devices.')
    .addCommand(add())
    .addCommand(deviceImportCommand())
    .addCommand(list())
    .addCommand(deviceShowCommand())
    .addCommand(deviceChannelCommand())
    .addCommand(rotateSecret())
    .addCommand(
      switching(
        'disable',
        true,
        'Closes its connections and lets it in no more; keeps its mailbox.',
      ),
    )
    .addCommand(switching('enable', false, 'Lets a disabled device in again.'))
    .addCommand(remove())

const add = (): Command =>
  withApi(new Command('add'))
    .summary('register a device')
    .description('Registers a device and prints its secret, this once.')
    .argument('<device>', 'device id: letters, digits and ._~-')
    .option('--secret <secret>', 'use this secret; without it a strong one is made')
    .option('--tag <tag...>', 'names for many devices')
    .option('--gateway <device...>', 'a controller that may speak for it')
    .option('--attributes <json>', 'anything worth knowing, a JSON object', parseObject)
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike device add SZ-0042
  pike device add SZ-0042 --tag shenzhen --attributes '{"doors":12}'
  pike device add box-1 --gateway CAB-1
  secret=$(pike device add SZ-0042 --json | jq -r .secret)`,
    )
    .action(
      async (
        device: string,
        options: Options & {
          secret?: string
          tag?: string[]
          gateway?: string[]
          attributes?: Record<string, unknown>
        },
      ) => {
        const pike = connect(options)
        if ((await pike.devices.get(device)) !== undefined)
          throw new Failure(
            `${device} is registered already; see it with "${pikeAsCalled()} device show ${device}"\nif its secret is lost, give it another: ${pikeAsCalled()} device rotate-secret ${device}\nto start over: ${pikeAsCalled()} device remove ${device}`,
          )
        const body = await pike.devices.put(device, {
          ...(options.secret === undefined ? {} : { secret: options.secret }),
          ...(options.tag === undefined ? {} : { tags: options.tag }),
          ...(options.gateway === undefined ? {} : { gateways: options.gateway }),
          ...(options.attributes === undefined ? {} : { attributes: options.attributes }),
        })
        if (options.json) return printJson(body)
        print(`${device} is registered`)
        if (body.secret !== undefined && options.secret === undefined) {
          print(`secret: ${body.secret}   (shown this once)`)
          const { app } = await pike.key()
          const named = app === 'default' ? '' : ` --app ${app}`
          print(
            `be that device: ${pikeAsCalled()} locker ${device}${named} --secret ${body.secret}`,
          )
        }
      },
    )

const list = (): Command =>
  withApi(new Command('list'))
    .summary('all devices, with presence and mailbox')
    .description('Lists all devices in order of their ids, with presence and mailbox.')
    .option('--tag <tag>', 'only those that have it')
    .option('--presence <state>', 'only those that are online, suspect, asleep or offline now')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  pike device list
  pike device list --tag berlin
  pike device list --presence offline
  pike device list --json | jq -r 'select(.presence.state == "online") | .device'`,
    )
    .action(async ({ tag, presence, ...options }: Options & DeviceFilter) => {
      const rows: string[][] = []
      for await (const one of connect(options).devices.list({
        ...(tag !== undefined && { tag }),
        ...(presence !== undefined && { presence }),
      })) {
        if (options.json) printJson(one)
        else rows.push(row(one))
      }
      if (options.json) return
      if (rows.length > 0)
        print(table(['DEVICE', 'PRESENCE', 'SINCE', 'OVER', 'WAITING', 'TAGS'], rows))
      else if (presence !== undefined) print(`no device is ${presence}`)
      else if (tag !== undefined)
        print(`no device has the tag ${tag}; give it: pike tag add ${tag} <device>`)
      else print('no devices yet; register one: pike device add <device>')
    })

const row = (one: Device): string[] => [
  one.device,
  one.disabled ? 'disabled' : one.presence.state,
  one.presence.since ?? '',
  one.presence.protocol ?? '',
  String(one.mailbox.commands),
  one.tags.join(' '),
]

const rotateSecret = (): Command =>
  withApi(new Command('rotate-secret'))
    .summary('give a device a new secret, while the one before stays valid')
    .description(
      'Makes a new secret and prints it, this once. The one before stays valid until the device has changed over: then end it with --drop-older. With --drop-older nothing is made.',
    )
    .argument('<device>', 'device id')
    .option('--drop-older', 'only the newest secret stays valid')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike device rotate-secret SZ-0042
  pike device rotate-secret SZ-0042 --drop-older`,
    )
    .action(async (device: string, options: Options & { dropOlder?: true }) => {
      const { devices } = connect(options)
      if (options.dropOlder) {
        const body = await knownDevice(device, devices.dropOlderSecret(device))
        return options.json
          ? printJson(body)
          : print(`only the newest secret of ${device} is valid`)
      }
      const body = await knownDevice(device, devices.rotateSecret(device))
      if (options.json) return printJson(body)
      print(`secret: ${body.secret}   (shown this once; the one before stays valid)`)
      print(`once ${device} uses it: pike device rotate-secret ${device} --drop-older`)
    })

const switching = (name: string, disabled: boolean, what: string): Command =>
  withApi(new Command(name))
    .summary(disabled ? 'let a device in no more' : 'let a disabled device in again')
    .description(what)
    .argument('<device>', 'device id')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', `\nExample:\n  pike device ${name} SZ-0042`)
    .action(async (device: string, options: Options) => {
      const { devices } = connect(options)
      // A PUT would register it.
      if ((await devices.get(device)) === undefined) throw unknownDevice(device)
      const body = await devices.put(device, { disabled })
      if (options.json) printJson(body)
      else print(`${device} is ${name}d`)
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
      if (!(await connect(options).devices.remove(device))) throw unknownDevice(device)
      print(`${device} is removed`)
    })
