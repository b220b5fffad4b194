import { memoryAfterMany } from './coap-memory.ts'
import { type Options, wants } from './options.ts'
import { bareCoap, libcoap, coapPeerDevices as peerDevices } from './peers.ts'
import { commandRows } from './protocol-commands.ts'
import { eventsRows, rateOf } from './protocol-events.ts'
import { gatewaySides, peerSide, stopAll } from './sides.ts'
import { verdict } from './verdict.ts'

const targets = { eventsPerSecond: 12_000, notificationsPerSecond: 4_000 }

/** CoAP; beside it servers that keep nothing. */
export async function coapPart(options: Options): Promise<void> {
  if (wants(options, 'events')) await events(options)
  if (wants(options, 'memory')) await memoryAfterMany(options)
  if (wants(options, 'single') || wants(options, 'lines')) await commands(options)
}

async function commands(options: Options): Promise<void> {
  const sides = await gatewaySides(options, ['coap'])
  const what = `→ notification to ${options.devices} observers → ACK, durable, with outcomes, 100 B`
  if (wants(options, 'single')) {
    const title = `coap commands: single calls, ${options.connections} connections ${what}`
    await commandRows(options, sides, 'single', title)
  }
  if (wants(options, 'lines')) {
    const rows = await commandRows(options, sides, 'lines', `coap lines: NDJSON ${what}`)
    for (const { side, perSecond } of rows) {
      const said = `notifications a second, acknowledged, ${side.name}`
      verdict(said, perSecond, targets.notificationsPerSecond, undefined, 0)
    }
  }
  await stopAll(sides)
}

async function events(options: Options): Promise<void> {
  const [ours] = await gatewaySides(options, ['coap'])
  if (ours === undefined) return
  const beside = [
    await peerSide(options, bareCoap, 'coap', { listens: false, devices: peerDevices }),
    await peerSide(options, libcoap, 'coap', { listens: false, devices: peerDevices }),
  ]
  const sides = [ours, ...beside.filter((side) => side !== undefined)]
  const rows = await eventsRows(
    ...[options, sides, [1]],
    `coap events: confirmable, ${options.devices} devices (others: ${peerDevices}), 54 B; ours are on disk before the answer, the others' are not kept`,
  )
  await stopAll(sides)
  console.log()
  const what = `events a second, ${ours.name}`
  verdict(what, rateOf(rows, ours, 1), targets.eventsPerSecond, undefined, 0)
}
