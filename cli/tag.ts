import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { knownDevice } from './known.ts'
import { print, printJson } from './print.ts'

export const tagCommand = (): Command =>
  new Command('tag')
    .summary('names for many devices, to send to all of them')
    .description('Gives tags to devices, takes them away, and lists who has one.')
    .addCommand(change('add'))
    .addCommand(change('remove'))
    .addCommand(list())

const change = (how: 'add' | 'remove'): Command =>
  withApi(new Command(how))
    .summary(how === 'add' ? 'give a tag to devices' : 'take a tag from devices')
    .description(
      how === 'add'
        ? 'Gives a tag to one or more devices. Repeating it changes nothing.'
        : 'Takes a tag from one or more devices. Repeating it changes nothing.',
    )
    .argument('<tag>', 'letters, digits and ._~-')
    .argument('<device...>', 'device ids')
    .addHelpText('after', `\nExample:\n  pike tag ${how} berlin SZ-0042 SZ-0043`)
    .action(async (tag: string, devices: readonly string[], options: ApiOptions) => {
      const { tags } = connect(options)
      for (const device of devices) {
        await knownDevice(device, how === 'add' ? tags.add(tag, device) : tags.remove(tag, device))
        print(how === 'add' ? `${device} has ${tag}` : `${device} has ${tag} no more`)
      }
    })

const list = (): Command =>
  withApi(new Command('list'))
    .summary('who has a tag')
    .description('Lists the devices that have a tag, in order of their ids.')
    .argument('<tag>', 'the tag')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText('after', '\nExample:\n  pike tag list berlin')
    .action(async (tag: string, options: ApiOptions & { json?: true }) => {
      let count = 0
      for await (const one of connect(options).tags.devices(tag)) {
        count++
        if (options.json) printJson(one)
        else print(one.device)
      }
      if (count === 0 && !options.json)
        process.stderr.write(`no device has ${tag}; give it: pike tag add ${tag} <device>\n`)
    })
