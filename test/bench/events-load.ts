import type { BenchDevice } from './device.ts'
import { type Quantiles, Samples } from './figures.ts'
import { type CpuUse, cpuBetween, cpuOf } from './machine.ts'

export interface EventsAsked {
  readonly seconds: number
  readonly warmupSeconds: number
  /** Events a device has sent and not seen acknowledged, at most. */
  readonly outstanding: number
  /** So many in all, instead of for a time. */
  readonly events?: number
  readonly serverPid: number
}

export interface EventsRun {
  readonly perSecond: number
  readonly done: number
  /** Of the whole run: sent, and acknowledged after the drain. */
  readonly sent: number
  readonly acknowledged: number
  /** ms from sending to acknowledgement; one event a device at a time is looked at. */
  readonly ackMs: Quantiles
  readonly server: CpuUse
  readonly load: CpuUse
}

const drainMaxMs = 30_000

/** Devices that report as fast as they are acknowledged. */
export async function runEvents(
  devices: readonly BenchDevice[],
  { seconds, warmupSeconds, outstanding, events, serverPid }: EventsAsked,
): Promise<EventsRun> {
  const ackMs = new Samples()
  const watched = new Float64Array(devices.length)
  const watchedAtMs = new Float64Array(devices.length)
  const known = new Float64Array(devices.length)
  let running = true
  let counting = false
  let done = 0
  let acknowledged = 0
  let left = events ?? Number.POSITIVE_INFINITY
  const sentBefore = devices.reduce((sum, device) => sum + device.sequence, 0)

  const send = (device: BenchDevice): void => {
    const room = Math.min(left, outstanding - (device.sequence - device.acknowledged))
    if (!running || room <= 0) return
    if (watched[device.index] === 0) {
      watched[device.index] = device.sequence + 1
      watchedAtMs[device.index] = performance.now()
    }
    left -= room
    device.sendEvents(room)
  }
  const onAck = (device: BenchDevice, upTo: number): void => {
    const { index } = device
    const kept = upTo - known[index]!
    known[index] = upTo
    acknowledged += kept
    if (counting) done += kept
    if (watched[index] !== 0 && upTo >= watched[index]!) {
      if (counting) ackMs.add(performance.now() - watchedAtMs[index]!)
      watched[index] = 0
    }
    send(device)
  }
  for (const device of devices) {
    known[device.index] = device.acknowledged
    device.onAck = onAck
  }
  for (const device of devices) send(device)

  await sleep(warmupSeconds * 1000)
  const server = cpuOf(serverPid)
  const load = cpuOf(process.pid)
  const fromMs = performance.now()
  counting = true
  if (events === undefined) await sleep(seconds * 1000)
  else await stillAsLongAs(() => acknowledged, events)
  const elapsedMs = performance.now() - fromMs
  counting = false
  const serverUse = cpuBetween(server, cpuOf(serverPid))
  const loadUse = cpuBetween(load, cpuOf(process.pid))
  running = false

  const sent = devices.reduce((sum, device) => sum + device.sequence, 0) - sentBefore
  const untilMs = performance.now() + drainMaxMs
  while (acknowledged < sent && performance.now() < untilMs) await sleep(5)
  return {
    perSecond: (done * 1000) / elapsedMs,
    done,
    sent,
    acknowledged,
    ackMs: ackMs.summary(),
    server: serverUse,
    load: loadUse,
  }
}

const stalledAfterMs = 35_000

/** Until so many are there, or none has come for so long. */
async function stillAsLongAs(count: () => number, wanted: number): Promise<void> {
  let before = count()
  let movedMs = performance.now()
  while (count() < wanted && performance.now() - movedMs < stalledAfterMs) {
    await sleep(5)
    if (count() === before) continue
    before = count()
    movedMs = performance.now()
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
