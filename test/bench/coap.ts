import { type Options, wants } from './options.ts'
import { bareCoap, libcoap } from './peers.ts'
import { eventsRows, rateOf } from './protocol-events.ts'
import { gatewaySide, peerSide } from './sides.ts'
import { verdict } from './verdict.ts'

/** With more, the receive buffer they leave as it is overflows, and they stand still for seconds. */
const peerDevices = 200
const targets = { eventsPerSecond: 12_000 }

/** CoAP; beside it servers that keep nothing. */
export async function coapPart(options: Options): Promise<void> {
  if (wants(options, 'events')) await events(options)
}

async function events(options: Options): Promise<void> {
  const ours = await gatewaySide(options, 'coap')
  const beside = [
    await peerSide(options, bareCoap, 'coap', { listens: false, devices: peerDevices }),
    await peerSide(options, libcoap, 'coap', { listens: false, devices: peerDevices }),
  ]
  const sides = [ours, ...beside.filter((side) => side !== undefined)]
  const rows = await eventsRows(
    ...[options, sides, [1]],
    `coap events: confirmable, ${options.devices} devices (others: ${peerDevices}), 54 B; ours are on disk before the answer, the others' are not kept`,
  )
  for (const side of sides) await side.stop()
  console.log()
  const what = `events a second, ${ours.name}`
  verdict(what, rateOf(rows, ours, 1), targets.eventsPerSecond, undefined, 0)
}
