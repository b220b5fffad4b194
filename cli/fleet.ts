import { Command, InvalidArgumentError, Option } from 'commander'
import { type ApiOptions, connect, settingsFor, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import type { FleetRow } from './fleet/fleet.ts'
import { type Mix, readMix } from './fleet/mix.ts'
import { print, printJson, table } from './print.ts'
import { type Protocol, type ProtocolName, protocolNames, protocols } from './protocols.ts'
import type { Conditions } from './weather/conditions.ts'
import { relayDatagrams } from './weather/datagram-relay.ts'
import type { Relay } from './weather/relay.ts'
import { relayStreams } from './weather/stream-relay.ts'
import { conditionsOf, told, weatherHelp } from './weather.ts'

const loopback = '127.0.0.1'

interface Options extends ApiOptions {
  readonly devices: number
  readonly mix: Mix
  readonly seed: number
  readonly commands: number
  readonly prefix: string
  readonly host: string
  readonly ports?: ReadonlyMap<ProtocolName, number>
  readonly weather?: Conditions
  readonly json?: true
}

export const fleetCommand = (): Command =>
  withApi(new Command('fleet'))
    .summary('be many lockers at once: connect them, open doors, count what came of it')
    .description(
      'Registers many devices and runs a locker for each in this process, over the protocols of --mix. Each gets its commands; at the end a table says how it went, protocol by protocol. The devices stay registered; run again with the same --prefix they get new secrets.',
    )
    .option('--devices <number>', 'how many', whole, 100)
    .addOption(
      new Option('--mix <shares>', 'who speaks what, in shares')
        .argParser(mixOf)
        .default(mixOf('pike=3,http=1'), 'pike=3,http=1'),
    )
    .option('--seed <number>', 'chance is the same for the same seed', whole, 1)
    .option('--commands <number>', 'commands for each device', whole, 1)
    .option('--prefix <text>', 'what the ids of its devices begin with', 'fleet')
    .option('--host <host>', 'where the gateway listens for devices', loopback)
    .option('--ports <ports>', 'its ports, like pike=7450,http=8081 (default: settings)', portsOf)
    .addOption(
      new Option('--weather <parts>', 'bad weather between them and the gateway').argParser(
        conditionsOf,
      ),
    )
    .option('--json', 'for a script: one JSON object for each protocol')
    .addHelpText(
      'after',
      `${weatherHelp}

Exit codes:
  0  all connected, and every command is done
  1  it did not get through: no gateway, no key, ...
  2  some did not connect, or some commands ended otherwise; the table says how many

Examples:
  pike fleet --devices 500 --mix mqtt=4,coap=2,http=1,pike=3 --seed 1
  pike fleet --devices 50 --mix http --commands 10
  pike fleet --devices 100 --commands 5 --weather "loss=5%,rtt=200ms,flap=30s,nat=60s,torn=2%"`,
    )
    .action(async (options: Options) => {
      const pike = connect(options)
      const { app } = await pike.key()
      const relays = await weatherOver(options)
      const port = (name: ProtocolName): number => relays.get(name)?.port ?? portOf(name, options)
      const fair = options.weather === undefined
      const host = fair ? options.host : loopback
      const { runFleet } = await import('./fleet/fleet.ts')
      const rows = await runFleet({
        ...{ ...options, pike, app, host, port },
        ...(fair ? { patienceS: 30 } : { patienceS: 300, keepalive: { minS: 10, maxS: 20 } }),
      })
      for (const [name, relay] of relays) {
        process.stderr.write(`weather over ${protocols[name].title}: ${told(relay.figures)}\n`)
        await relay.stop()
      }
      if (options.json) for (const row of rows) printJson(row)
      else show(rows)
      const bad = rows.some((row) => row.connected < row.devices || row.otherwise > 0)
      if (bad) process.exitCode = 2
    })

function show(rows: readonly FleetRow[]): void {
  const ms = (value: number | undefined): string =>
    value === undefined ? '-' : `${value.toFixed(value < 10 ? 1 : 0)} ms`
  print(
    table(
      ['PROTOCOL', 'DEVICES', 'CONNECTED', 'P50', 'P99', 'COMMANDS', 'DONE', 'P50', 'P99', 'DOORS'],
      rows.map((row) => [
        protocols[row.protocol].title,
        String(row.devices),
        String(row.connected),
        ms(row.connectP50Ms),
        ms(row.connectP99Ms),
        String(row.sent),
        row.otherwise === 0 ? String(row.done) : `${row.done} (${otherwise(row)})`,
        ms(row.doneP50Ms),
        ms(row.doneP99Ms),
        String(row.opened),
      ]),
    ),
  )
  for (const { protocol, devices, connected, notConnected } of rows)
    if (connected < devices)
      print(
        `${protocols[protocol].title}: ${devices - connected} of ${devices} did not connect; the first of them said: ${notConnected ?? 'nothing'}`,
      )
}

/** `2 queued, 1 in-doubt`. */
const otherwise = ({ otherwiseAs }: FleetRow): string =>
  Object.entries(otherwiseAs)
    .map(([status, count]) => `${count} ${status}`)
    .join(', ')

/** A relay before each protocol's port; none in fair weather. */
async function weatherOver(options: Options): Promise<ReadonlyMap<ProtocolName, Relay>> {
  const relays = new Map<ProtocolName, Relay>()
  const { weather, mix, host, seed } = options
  if (weather === undefined) return relays
  for (const name of mix.keys()) {
    const { datagrams }: Protocol = protocols[name]
    const to = { host, port: portOf(name, options) }
    const relay = { host: loopback, port: 0, to, conditions: weather, seed }
    relays.set(name, await (datagrams ? relayDatagrams : relayStreams)(relay))
  }
  return relays
}

function portOf(name: ProtocolName, options: Options): number {
  const port = options.ports?.get(name) ?? protocols[name].port(settingsFor(options), false)
  if (port !== 'off' && port !== 0) return port
  throw new Failure(`the gateway's port for ${name} is "${port}" in the settings; name it: --ports`)
}

function whole(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 100_000)
    throw new InvalidArgumentError('use a whole number above 0')
  return value
}

function mixOf(text: string): Mix {
  const mix = readMix(text)
  if (typeof mix === 'string') throw new InvalidArgumentError(mix)
  return mix
}

function portsOf(text: string): ReadonlyMap<ProtocolName, number> {
  const ports = new Map<ProtocolName, number>()
  for (const part of text.split(',')) {
    const [name = '', port = ''] = part.split('=')
    const value = Number(port)
    if (!Object.hasOwn(protocols, name) || !Number.isInteger(value) || value < 1 || value > 65_535)
      throw new InvalidArgumentError('write it like pike=7450,http=8081')
    ports.set(name as ProtocolName, value)
  }
  // MQTT is one port for both its versions.
  for (const [name, port] of [...ports])
    for (const other of protocolNames)
      if (!ports.has(other) && protocols[other].listener === protocols[name].listener)
        ports.set(other, port)
  return ports
}
