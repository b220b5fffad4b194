import type { Channel } from '../channel/index.ts'
import type { AppId, Change, Histogram, Limits, Offset, SlaSeries } from '../contract/index.ts'
import { isIdentifier, sentBeforeRestart } from '../contract/index.ts'

/** What is summed where an app or class is beyond its bound. */
export const otherSeries = 'other'
/** The class of a device that has none. */
export const noClass = 'none'
/** Longer than this is no name of a class: `none`. */
const classMaxChars = 32

/** Upper bounds, ms: a commit takes some, a round trip over a bad network seconds, a sleeping device longer. */
const boundsMs: readonly number[] = [
  1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
]
const boundsSeconds: readonly number[] = boundsMs.map((ms) => ms / 1_000)

/** Counts in fixed buckets, so that a message costs a few comparisons and additions. */
class Buckets implements Histogram {
  readonly bounds = boundsSeconds
  readonly counts: number[] = [...boundsMs, 0].fill(0)
  #sumMs = 0

  get sum(): number {
    return this.#sumMs / 1_000
  }

  add(ms: number, times: number): void {
    let at = 0
    while (at < boundsMs.length && ms > boundsMs[at]!) at++
    this.counts[at]! += times
    this.#sumMs += ms * times
  }
}

/**
 * One series, looked up once when a channel is attached and then only added to.
 *
 *     received ──▶ uplinks                      written ──▶ downlinks
 *     kept, told the device ──▶ …Acknowledged   the device has it ──▶ …Acknowledged
 */
export class Tally implements SlaSeries {
  readonly app: AppId
  readonly protocol: string
  readonly deviceClass: string
  uplinks = 0
  uplinksAcknowledged = 0
  readonly uplinkSeconds = new Buckets()
  downlinks = 0
  downlinksAcknowledged = 0
  readonly downlinkSeconds = new Buckets()
  channels = 0
  readonly channelSeconds = new Buckets()

  constructor(app: AppId, protocol: string, deviceClass: string) {
    this.app = app
    this.protocol = protocol
    this.deviceClass = deviceClass
  }

  /** So many came together and were kept together. */
  uplinksKept(times: number, ms: number): void {
    this.uplinksAcknowledged += times
    this.uplinkSeconds.add(ms, times)
  }

  downlinkAcknowledged(ms: number): void {
    this.downlinksAcknowledged++
    this.downlinkSeconds.add(ms, 1)
  }

  channelAvailable(ms: number): void {
    this.channels++
    this.channelSeconds.add(ms, 1)
  }
}

/**
 * Service figures of one process, by app, protocol and class. Apps and classes are told apart in
 * the order in which they are first seen, up to their bounds, so that no back end can grow /metrics
 * by naming things; what comes later is summed under `other`. Protocols are those of adapters.
 */
export class Sla {
  readonly #limits: Pick<Limits, 'slaAppsMax' | 'slaClassesMax'>
  readonly #apps = new Set<AppId>()
  readonly #classes = new Set<string>()
  readonly #series = new Map<string, Tally>()

  constructor(limits: Pick<Limits, 'slaAppsMax' | 'slaClassesMax'>) {
    this.#limits = limits
  }

  /** @param deviceClass `attributes.class` of the device, whatever that is. */
  tally(app: AppId, protocol: string, deviceClass: unknown): Tally {
    const known = told(app, this.#apps, this.#limits.slaAppsMax)
    const named =
      typeof deviceClass === 'string' &&
      deviceClass.length <= classMaxChars &&
      isIdentifier(deviceClass)
        ? deviceClass
        : noClass
    const kind = named === noClass ? named : told(named, this.#classes, this.#limits.slaClassesMax)
    // A slash stands in no identifier.
    const key = `${known}/${kind}/${protocol}`
    let tally = this.#series.get(key)
    if (tally === undefined) {
      tally = new Tally(known, protocol, kind)
      this.#series.set(key, tally)
    }
    return tally
  }

  all(): readonly SlaSeries[] {
    return [...this.#series.values()]
  }
}

function told(name: string, known: Set<string>, max: number): string {
  if (known.has(name)) return name
  if (known.size >= max) return otherSeries
  known.add(name)
  return name
}

/**
 * Commands that are acknowledged by these changes, once each: while one is out on this link, or
 * when its device came back standing past it. Call before they leave the window. What a process
 * before this one wrote was counted there, and nobody knows when it was written.
 */
export function tallyAcknowledged(
  tally: Tally,
  channel: Pick<Channel, 'out'>,
  resumedPast: Map<Offset, number> | undefined,
  changes: readonly Change[],
): void {
  for (const change of changes) {
    if (change.kind === 'ended' && change.status !== 'delivered' && change.reply === undefined)
      continue
    const out = channel.out(change.offset)
    if (out !== undefined) {
      if (sentBeforeRestart(out.command)) continue
      tally.downlinkAcknowledged(change.atMs - (out.command.sentAtMs ?? out.sentAtMs))
      continue
    }
    const writtenAtMs = resumedPast?.get(change.offset)
    if (writtenAtMs === undefined) continue
    resumedPast!.delete(change.offset)
    tally.downlinkAcknowledged(change.atMs - writtenAtMs)
  }
}
