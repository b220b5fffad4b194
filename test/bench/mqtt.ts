import type { EventsRun } from './events-load.ts'
import { median } from './figures.ts'
import { type Options, wants } from './options.ts'
import { bareAedes, mosquitto } from './peers.ts'
import { commandRows } from './protocol-commands.ts'
import { type EventsRow, eventsRows, rateOf } from './protocol-events.ts'
import { gatewaySides, type ProtocolSide, peerSide, stopAll } from './sides.ts'
import { verdict } from './verdict.ts'

const versions = ['mqtt', 'mqtt5'] as const
const targets = {
  single: 5_000,
  lines: 8_000,
  oneInFlight: 12_000,
  fourInFlight: 20_000,
  ofBareAedes: 0.8,
}

/** MQTT 3.1.1 and 5; beside them brokers that keep nothing. */
export async function mqttPart(options: Options): Promise<void> {
  if (wants(options, 'events')) await durableEvents(options)
  if (wants(options, 'qos0')) await fleetingEvents(options)
  if (wants(options, 'single') || wants(options, 'lines')) await commands(options)
}

async function commands(options: Options): Promise<void> {
  const sides = await gatewaySides(options, versions)
  const what = `→ ${options.devices} devices → PUBACK, QoS 1, durable, with outcomes, 100 B`
  if (wants(options, 'single')) {
    const title = `mqtt commands: single calls, ${options.connections} connections ${what} (others: kept nowhere)`
    const beside = [
      await peerSide(options, mosquitto, 'mqtt', { listens: false, glue: true }),
      await peerSide(options, bareAedes, 'mqtt', { listens: false, glue: true }),
    ].filter((side) => side !== undefined)
    const rows = await commandRows(options, [...sides, ...beside], 'single', title)
    await stopAll(beside)
    for (const { side, perSecond } of rows) {
      verdict(`single commands a second, ${side.name}`, perSecond, targets.single, undefined, 0)
    }
  }
  if (wants(options, 'lines')) {
    const title = `mqtt lines: NDJSON ${what}`
    for (const { side, perSecond } of await commandRows(options, sides, 'lines', title)) {
      verdict(`commands a second by NDJSON, ${side.name}`, perSecond, targets.lines, undefined, 0)
    }
  }
  await stopAll(sides)
}

async function durableEvents(options: Options): Promise<void> {
  const ours = await gatewaySides(options, versions)
  const beside = [
    await peerSide(options, bareAedes, 'mqtt', { listens: true }),
    await peerSide(options, mosquitto, 'mqtt', { listens: true }),
  ]
  const sides = [...ours, ...beside.filter((side) => side !== undefined)]
  const rows = await eventsRows(
    ...[options, sides, [1, 4]],
    `mqtt events: QoS 1, ${options.devices} devices, 54 B; ours are on disk before the PUBACK, the others' are in memory`,
  )
  await stopAll(sides)
  console.log()
  for (const side of ours) {
    const said = (inFlight: string): string => `events a second, ${inFlight}, ${side.name}`
    verdict(said('one in flight'), rateOf(rows, side, 1), targets.oneInFlight, undefined, 0)
    verdict(said('four in flight'), rateOf(rows, side, 4), targets.fourInFlight, undefined, 0)
  }
}

const burst = 8

async function fleetingEvents(options: Options): Promise<void> {
  const ours = await gatewaySides(options, versions, { qos: 0 })
  const aedes = await peerSide(options, bareAedes, 'mqtt', { listens: true, qos: 0 })
  const beside = [
    aedes,
    await peerSide(options, bareAedes, 'mqtt', { listens: false, qos: 0 }),
    await peerSide(options, mosquitto, 'mqtt', { listens: true, qos: 0 }),
  ]
  const sides = [...ours, ...beside.filter((side) => side !== undefined)]
  const rows = await eventsRows(
    ...[options, sides, [burst]],
    `mqtt QoS 0: ${options.devices} devices, 54 B, ${burst} events and a PINGREQ at a time; ours are kept, a broker's are passed on to one subscriber, or dropped where there is none`,
  )
  await stopAll(sides)
  console.log()
  for (const side of aedes === undefined ? [] : ours) {
    const what = `of bare aedes with one subscriber, QoS 0, ${side.name}`
    const byRate = ratioOf(rows, side, aedes!, (our, their) => our.perSecond / their.perSecond)
    const byCpu = ratioOf(rows, side, aedes!, (our, their) => usOf(their) / usOf(our))
    verdict(what, byRate, targets.ofBareAedes, undefined, 2)
    verdict(`${what}, by CPU`, byCpu, targets.ofBareAedes, undefined, 2)
  }
}

const usOf = (run: EventsRun): number => run.server.totalUs / run.done

function ratioOf(
  rows: readonly EventsRow[],
  side: ProtocolSide,
  to: ProtocolSide,
  of: (ours: EventsRun, theirs: EventsRun) => number,
): number {
  const runs = (one: ProtocolSide): EventsRow['runs'] => rows.find((row) => row.side === one)!.runs
  return median(runs(side).map((run, i) => of(run, runs(to)[i]!)))
}
