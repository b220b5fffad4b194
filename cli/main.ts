#!/usr/bin/env node
import { Command } from 'commander'
import { aliasCommand } from './alias.ts'
import { failureOf } from './api-client.ts'
import { appCommand } from './app.ts'
import { backupCommand } from './backup.ts'
import { broadcastCommand } from './broadcast.ts'
import { cancelCommand } from './cancel.ts'
import { checkCommand } from './check.ts'
import { configCommand } from './config.ts'
import { demoCommand } from './demo.ts'
import { deviceCommand } from './device.ts'
import { drainCommand } from './drain.ts'
import { eventsCommand } from './events.ts'
import { explainCommand } from './explain.ts'
import { fleetCommand } from './fleet.ts'
import { historyCommand } from './history.ts'
import { keyCommand } from './key.ts'
import { lockerCommand } from './locker.ts'
import { restoreCommand } from './restore.ts'
import { sendCommand } from './send.ts'
import { serveCommand } from './serve.ts'
import { showCommand } from './show.ts'
import { tagCommand } from './tag.ts'
import { traceCommand } from './trace.ts'
import { withOtherWords } from './verbs.ts'
import { version } from './version.ts'
import { weatherCommand } from './weather.ts'
import { webhookCommand } from './webhook.ts'

const program = new Command('pike')
  .description('Pike IoT: one HTTP call in, one honest outcome out, whatever the device speaks.')
  .version(version)
  .showHelpAfterError('(add --help for what there is)')
  .addCommand(serveCommand())
  .addCommand(demoCommand())
  .addCommand(deviceCommand())
  .addCommand(aliasCommand())
  .addCommand(tagCommand())
  .addCommand(sendCommand())
  .addCommand(broadcastCommand())
  .addCommand(showCommand())
  .addCommand(explainCommand())
  .addCommand(traceCommand())
  .addCommand(cancelCommand())
  .addCommand(historyCommand())
  .addCommand(eventsCommand())
  .addCommand(webhookCommand())
  .addCommand(appCommand())
  .addCommand(keyCommand())
  .addCommand(backupCommand())
  .addCommand(restoreCommand())
  .addCommand(checkCommand())
  .addCommand(drainCommand())
  .addCommand(lockerCommand())
  .addCommand(fleetCommand())
  .addCommand(weatherCommand())
  .addCommand(configCommand())
  .addHelpText(
    'after',
    `
Examples:
  pike demo                                    the whole story in a few seconds
  pike serve                                   start a gateway here
  pike device add SZ-0042                      register a device; prints its secret once
  pike locker SZ-0042 --secret ...             be that device
  pike send SZ-0042 open '{"door":7}' --now --expect reply --wait
  pike device import lockers.csv --csv --out secrets.csv
  pike broadcast berlin show-text '{"text":"hello"}' --rate 50 --follow
  pike events --follow                         what devices report, as it comes`,
  )

withOtherWords(program)

// `pike events | head` is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await program.parseAsync()
} catch (error) {
  const failure = failureOf(error)
  if (failure === undefined) throw error
  process.stderr.write(`pike: ${failure.message}\n`)
  process.exitCode = failure.exitCode
}
