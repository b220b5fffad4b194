import { type Options, wants } from './options.ts'
import { commandRows } from './protocol-commands.ts'
import { eventsRows } from './protocol-events.ts'
import { gatewaySides, stopAll } from './sides.ts'

/** Events of one NDJSON request. */
const linesOfRequest = 16

/** HTTP for devices; nothing is promised of its rates. */
export async function httpPart(options: Options): Promise<void> {
  if (wants(options, 'events')) {
    const sides = await gatewaySides(options, ['poll'], {
      ...{ receives: false, name: 'Pike IoT, HTTP' },
    })
    await eventsRows(
      ...[options, sides, [1, linesOfRequest]],
      `http events: ${options.devices} devices, 54 B, one a request and ${linesOfRequest} as NDJSON; on disk before the 204`,
    )
    await stopAll(sides)
  }
  if (!wants(options, 'single') && !wants(options, 'lines')) return
  const sides = await gatewaySides(options, ['poll', 'sse'])
  const what = `→ ${options.devices} devices → their acknowledgement, durable, with outcomes, 100 B`
  if (wants(options, 'single')) {
    const title = `http commands: single calls, ${options.connections} connections ${what}`
    await commandRows(options, sides, 'single', title)
  }
  if (wants(options, 'lines')) {
    await commandRows(options, sides, 'lines', `http lines: NDJSON ${what}`)
  }
  await stopAll(sides)
}
