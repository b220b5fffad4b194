import { Command, InvalidArgumentError, Option } from 'commander'
import { Failure } from './failure.ts'
import { print, printJson } from './print.ts'
import { wholeNumber } from './values.ts'
import { type Conditions, readConditions } from './weather/conditions.ts'
import { relayDatagrams } from './weather/datagram-relay.ts'
import type { Figures, Relay } from './weather/relay.ts'
import { relayStreams } from './weather/stream-relay.ts'

interface Place {
  readonly host: string
  readonly port: number
}

interface Options {
  readonly listen: Place
  readonly to: Place
  readonly udp?: true
  readonly weather: Conditions
  readonly seed: number
  readonly json?: true
}

/** Between two lines of what it did, ms. */
const tellMs = 10_000

export const weatherHelp = `
Weather is parts with commas; shares are of packets, times are means where chance decides:
  loss=5%     lost; what TCP carries comes after a retransmission
  rtt=200ms   there and back          jitter=50ms   up to so much more, each way
  torn=2%     split, the rest later   stall=1%      everything waits 1 to 5 s
  reset=1%    the connection is reset instead
  flap=30s    the link dies after about so long, half of them without a word; UDP: dark for 1 to 5 s
  nat=60s     a link idle for longer is forgotten on the way; UDP: another address
  UDP only:   twice=10%   reorder=20%   rebind=5s (another address, though in use)`

export const weatherCommand = (): Command =>
  new Command('weather')
    .summary('bad weather before a device: a relay that loses, delays, tears and forgets')
    .description(
      'Listens, and passes on to another port what comes, as a bad network would. TCP, or UDP for CoAP. Chance is the same for the same seed.',
    )
    .addOption(
      new Option('--listen <place>', 'where devices connect: a port, or host:port')
        .argParser(placeOf)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--to <place>', 'where the gateway listens')
        .argParser(placeOf)
        .makeOptionMandatory(),
    )
    .option('--udp', 'datagrams, for CoAP')
    .addOption(
      new Option('--weather <parts>', 'how bad')
        .argParser(conditionsOf)
        .default(
          conditionsOf('loss=2%,rtt=100ms,flap=60s,torn=2%'),
          'loss=2%,rtt=100ms,flap=60s,torn=2%',
        ),
    )
    .option('--seed <number>', 'chance is the same for the same seed', wholeNumber, 1)
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `${weatherHelp}

Examples:
  pike weather --listen 17450 --to 127.0.0.1:7450 --weather loss=5%,rtt=200ms,flap=30s
  pike locker SZ-0042 --port 17450
  pike weather --listen 15683 --to 127.0.0.1:5683 --udp --weather loss=20%,twice=10%,rebind=5s`,
    )
    .action(async ({ listen, to, udp, weather, seed, json }: Options) => {
      const options = { ...listen, to, conditions: weather, seed }
      const relay = await (udp ? relayDatagrams : relayStreams)(options).catch((error) => {
        throw new Failure(`cannot listen at ${listen.host}:${listen.port}: ${error.message}`)
      })
      const place = `${listen.host}:${relay.port}`
      if (json) printJson({ event: 'weather.ready', host: listen.host, port: relay.port })
      else print(`weather at ${place} before ${to.host}:${to.port}; end it with Ctrl-C`)
      const telling = setInterval(() => tell(relay, json), tellMs)
      await new Promise((resolve) => {
        process.once('SIGINT', resolve)
        process.once('SIGTERM', resolve)
      })
      clearInterval(telling)
      await relay.stop()
      tell(relay, json)
    })

function tell({ figures }: Relay, json: true | undefined): void {
  if (json) printJson({ event: 'weather', ...figures })
  else print(told(figures))
}

/** In a line. */
export const told = (figures: Figures): string =>
  `${figures.links} ${figures.links === 1 ? 'link' : 'links'}, ${figures.carried} pieces carried, ${figures.lost} lost, ${figures.resets} resets, ${figures.silenced} fell silent, ${figures.rebinds} new addresses`

function placeOf(text: string): Place {
  const [, host = '127.0.0.1', digits = ''] = /^(?:(.+):)?(\d{1,5})$/.exec(text) ?? []
  const port = digits === '' ? Number.NaN : Number(digits)
  if (!(port <= 65_535)) throw new InvalidArgumentError('write it like 7450 or 127.0.0.1:7450')
  return { host, port }
}

export function conditionsOf(text: string): Conditions {
  const conditions = readConditions(text)
  if (typeof conditions === 'string') throw new InvalidArgumentError(conditions)
  return conditions
}
