import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import type { Drain } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { print, printJson } from './print.ts'
import { Progress } from './progress.ts'

interface Options extends ApiOptions {
  readonly cancel?: true
  readonly status?: true
  readonly json?: true
}

/** Between two looks. */
const lookMs = 250

export const drainCommand = (): Command =>
  withApi(new Command('drain'))
    .summary('send every device away politely, before a stop or to another gateway')
    .description(
      "Lets no device in any more and sends those there are away, slice by slice, each told when to come back; what they have said is kept and answered first. Ends when nobody is left. The gateway runs on and serves back ends, and /readyz says draining. SIGTERM does the same and then stops. Needs an administrator's key.",
    )
    .option('--status', 'say how far it is, and change nothing')
    .option('--cancel', 'let devices in again')
    .option('--json', 'for a script: {"state", "sessions", "left", …}')
    .addHelpText(
      'after',
      `
Examples:
  pike drain && systemctl restart pike
  pike drain --status
  pike drain --cancel`,
    )
    .action(async (options: Options) => {
      if (options.cancel && options.status)
        throw new Failure('--cancel changes something, --status nothing: give one of them')
      const pike = connect(options)
      if (options.status) return say(await pike.draining(), options)
      if (options.cancel) return say(await pike.cancelDrain(), options)
      let now = await pike.drain()
      const progress = new Progress('sessions gone', now.sessions)
      let gone = 0
      const moved = (): void => {
        progress.add(Math.max(0, now.sessions - now.left - gone))
        gone = Math.max(gone, now.sessions - now.left)
      }
      for (moved(); now.state === 'draining'; moved()) {
        await sleep(lookMs)
        now = await pike.draining()
      }
      progress.end()
      if (now.state === 'open') throw new Failure('somebody canceled it; devices are let in again')
      say(now, options)
    })

function say(now: Drain, { json }: Options): void {
  if (json) printJson(now)
  else print(sentence(now))
}

function sentence({ state, sessions, left, comeBackWithin }: Drain): string {
  if (state === 'open') return `not draining; ${left} sessions`
  const told = `told to come back within ${comeBackWithin} s`
  return state === 'drained'
    ? `drained: ${sessions} sessions were sent away, ${told}`
    : `draining: ${left} of ${sessions} sessions left, ${told}`
}
