import { progress } from './bench.ts'
import { fixed, printTable, whole } from './figures.ts'
import { settledRss } from './idle.ts'
import { collectableArgs, collectGarbage, rssOf } from './machine.ts'
import type { Options } from './options.ts'
import { bareCoap, libcoap, coapPeerDevices as peerDevices } from './peers.ts'
import { gatewaySides, type ProtocolSide, peerSide, stopAll } from './sides.ts'
import { verdict } from './verdict.ts'

const requests = 1_000_000
const steps = 4
/** What may be added by the last three quarters; the first one fills what is bounded. */
const grownMaxMb = 32
const mb = 1_048_576

/** Memory of a server while it answers a million requests. */
export async function memoryAfterMany(options: Options): Promise<void> {
  const ours = await gatewaySides(options, ['coap'], { nodeArgs: collectableArgs })
  const beside = [
    await peerSide(options, bareCoap, 'coap', { listens: false, devices: peerDevices }),
    await peerSide(options, libcoap, 'coap', { listens: false, devices: peerDevices }),
  ]
  const sides = [...ours, ...beside.filter((side) => side !== undefined)]
  const rows: string[][] = []
  const grown: number[] = []
  for (const side of sides) {
    const { cells, grownMb } = await oneSide(side)
    rows.push(cells)
    grown.push(grownMb)
  }
  progress('')
  await stopAll(sides)
  const at = Array.from({ length: steps + 1 }, (_, i) => whole((i * requests) / steps))
  printTable(
    `coap memory: RSS, MB, after so many confirmable requests of ${options.devices} devices (others: ${peerDevices}), in brackets without mapped files; ours are events, on disk before the answer`,
    ['server', ...at, 'then, settled', 'heap, collected', 'requests/s'],
    rows,
  )
  console.log()
  for (const [i] of ours.entries()) {
    const what = `MB of heap more after ${whole(requests)} requests than after ${at[1]}`
    verdict(what, grown[i]!, grownMaxMb, undefined, 0, 'less')
  }
}

async function oneSide(
  side: ProtocolSide,
): Promise<{ readonly cells: string[]; readonly grownMb: number }> {
  const { name, pid, load, gateway } = side
  /** MB, garbage collected: what is resident goes up and down by what is not collected yet. */
  const heap = async (): Promise<number> => {
    if (gateway === undefined) return Number.NaN
    await collectGarbage(pid)
    return ((await gateway.metrics()).get('nodejs_heap_size_used_bytes') ?? Number.NaN) / mb
  }
  const look = (): string =>
    `${fixed(rssOf(pid) / mb, 0)} (${fixed(rssOf(pid, 'RssAnon') / mb, 0)})`
  const heaps = [await heap()]
  const rss = [look()]
  let perSecond = 0
  for (let step = 1; step <= steps; step++) {
    progress(`${name}: ${step} of ${steps}`)
    const asked = { seconds: 0, warmupSeconds: 0, outstanding: 1, serverPid: pid }
    const run = await load.ask('events', { ...asked, events: requests / steps })
    if (run.acknowledged !== run.sent) {
      const text = `${run.acknowledged} of ${run.sent} answered`
      // Another's server may run out of memory, which is what is looked at.
      if (gateway === undefined && Number.isNaN(rssOf(pid))) {
        while (rss.length <= steps) rss.push('ended')
        return { cells: [name, ...rss, `ended: ${text}`, '', ''], grownMb: Number.NaN }
      }
      throw new Error(text)
    }
    perSecond += run.perSecond / steps
    rss.push(look())
    heaps.push(await heap())
  }
  progress(`${name}: settling`)
  const settled = fixed((await settledRss(pid)) / mb, 0)
  const shown = gateway === undefined ? '' : heaps.map((value) => fixed(value, 0)).join(', ')
  return {
    cells: [name, ...rss, settled, shown, whole(perSecond)],
    grownMb: heaps.at(-1)! - heaps[1]!,
  }
}
