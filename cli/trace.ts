import { Command } from 'commander'
import { PikeProblem, type TraceEntry } from '../src/backend/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { knownDevice, unknownDevice } from './known.ts'
import { print, printJson } from './print.ts'
import { traceLine } from './trace-line.ts'
import { wholeNumber } from './values.ts'

interface Options extends ApiOptions {
  readonly follow?: true
  readonly payloads?: true
  readonly since?: string
  readonly limit?: number
  readonly connection?: string
  readonly json?: true
}

export const traceCommand = (): Command =>
  withApi(new Command('trace'))
    .summary('what happened last, of one device: its story')
    .description(
      'Tells what happened last to a device: what was asked of it, every frame to and from it, over all its connections and protocols, and what came of it.',
    )
    .argument('<device>', 'device id')
    .option('--follow', 'go on with what comes')
    .option('--payloads', 'show how payloads begin; the key needs the scope payloads')
    .option('--since <id-or-time>', 'from behind this entry, or from this time on')
    .option('--limit <number>', 'so many of the last', wholeNumber)
    .option('--connection <token>', 'only what went over this connection')
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
Examples:
  pike trace SZ-0042
  pike trace SZ-0042 --follow --payloads
  pike trace SZ-0042 --json --since 2026-11-21T10:00:00Z`,
    )
    .action(async (device: string, { follow, json, ...options }: Options) => {
      const pike = connect(options)
      const { payloads, since, limit, connection } = options
      const asked = {
        ...(payloads && { payloads }),
        ...(since !== undefined && { since }),
        ...(limit !== undefined && { limit }),
        ...(connection !== undefined && { connection }),
      }
      const show = (entry: TraceEntry): void => (json ? printJson(entry) : print(traceLine(entry)))
      if (follow) {
        if (!json) process.stderr.write(`following ${device}; Ctrl-C ends\n`)
        try {
          for await (const entry of pike.followTrace(device, asked)) show(entry)
        } catch (error) {
          const unknown = error instanceof PikeProblem && error.code === 'unknown-device'
          throw unknown ? unknownDevice(device) : error
        }
        return
      }
      const trace = await knownDevice(device, pike.trace(device, asked))
      for (const entry of trace.items) show(entry)
      if (json || trace.items.length > 0) return
      throw new Failure(
        `nothing of ${device} is remembered${trace.ringFrom === undefined ? '' : ` (since ${trace.ringFrom})`}`,
      )
    })
