import { Command } from 'commander'
import type { Device } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { unknownDevice } from './known.ts'
import { print, printJson } from './print.ts'
import { oneOf, wholeNumber } from './values.ts'

type Settings = Device['channels'][string]

interface Options extends ApiOptions {
  readonly connection?: Settings['connection']
  readonly maxCommands?: number
  readonly overflow?: Settings['overflow']
  readonly remove?: true
  readonly json?: true
}

export const deviceChannelCommand = (): Command =>
  withApi(new Command('channel'))
    .summary('add, set or remove a channel of a device')
    .description(
      'Gives a device a channel beside main and urgent, or sets one: what is not named stays as it is. A connection is switched at once, while the channel is in use; nothing is lost or repeated by that.',
    )
    .argument('<device>', 'device id')
    .argument('<channel>', 'its name, e.g. media')
    .option(
      '--connection <kind>',
      'shared, or independent: one to itself',
      oneOf('shared', 'independent'),
    )
    .option('--max-commands <number>', 'how many may wait in it', wholeNumber)
    .option(
      '--overflow <kind>',
      'beyond that: reject or drop-oldest',
      oneOf('reject', 'drop-oldest'),
    )
    .option('--remove', 'its own settings go; a channel beside main and urgent goes with them')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText(
      'after',
      `
Examples:
  pike device channel SZ-0042 media
  pike device channel SZ-0042 media --connection independent
  pike device channel SZ-0042 main --max-commands 50 --overflow drop-oldest
  pike device channel SZ-0042 media --remove`,
    )
    .action(async (device: string, channel: string, options: Options) => {
      const { devices } = connect(options)
      const known = await devices.get(device)
      if (known === undefined) throw unknownDevice(device)
      const { [channel]: before, ...others } = known.channels
      if (options.remove && before === undefined)
        throw new Failure(`${device} has no channel ${channel} with settings of its own`)
      const after = options.remove ? others : { ...others, [channel]: changed(before, options) }
      const body = await devices.put(device, { channels: after })
      if (options.json) printJson(body)
      else print(sentence(device, channel, body.channels[channel]))
    })

const changed = (before: Settings = {}, options: Options): Settings => ({
  ...before,
  ...(options.connection !== undefined && { connection: options.connection }),
  ...(options.maxCommands !== undefined && { maxCommands: options.maxCommands }),
  ...(options.overflow !== undefined && { overflow: options.overflow }),
})

function sentence(device: string, channel: string, settings: Settings | undefined): string {
  if (settings === undefined) return `${channel} of ${device} is as it was made`
  const { connection = 'shared', maxCommands, overflow } = settings
  const how = connection === 'independent' ? 'has a connection of its own' : 'shares the connection'
  const bounds = [
    ...(maxCommands === undefined ? [] : [`at most ${maxCommands} commands wait`]),
    ...(overflow === undefined ? [] : [overflow]),
  ]
  return [`${channel} of ${device} ${how}`, ...bounds].join(', ')
}
