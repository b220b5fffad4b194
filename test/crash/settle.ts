import type { BroadcastLoad } from './broadcasts.ts'
import type { Follower } from './follow.ts'
import type { Api } from './http.ts'
import type { Journal } from './journal.ts'
import { Findings, gather } from './judge/facts.ts'
import { missingPushes } from './judge/pushes.ts'
import { sleep } from './load.ts'
import { appCounts, lookAtCommands, ownCounts } from './look.ts'
import type { NamesLoad } from './names.ts'
import type { WorldDevice } from './raw-device.ts'

export interface SettleOptions {
  readonly journal: Journal
  readonly api: Api
  readonly follower: Follower
  readonly devices: readonly WorldDevice[]
  readonly broadcasts: BroadcastLoad | undefined
  readonly names: NamesLoad
  readonly progress: (text: string) => void
  /** How long to wait for what does not come any nearer; undefined: as long as it may take. */
  readonly patienceMs: number | undefined
}

/** Nothing that is due may take longer than this once all is calm: 3 s of ttl, 10 s of doubt, 3 s
 * for a reply; on top of that a channel two clients fought for is held for 60 s, and CoAP gives up
 * what was sent five times in vain after 93. */
const quiesceMaxMs = 120_000
/** Receivers are well again: retries come every 1.5 s at the most, of each device's events in turn. */
const settleMaxMs = 45_000

/** Nobody asks for anything any more: wait until nothing is due, then look at everything once. */
export async function settle(options: SettleOptions): Promise<void> {
  const { journal, api, follower, devices, broadcasts, names } = options
  await nothingDue(options)
  // The reader's page in flight brings what was published last.
  await sleep(1_500)
  await follower.stop()
  journal.counts = await ownCounts(api)
  journal.appCounts = await appCounts(api)
  journal.rereadAtMs = Date.now()
  journal.reread = await follower.reread()
  await allPushed(options)
  await names.readAll()
  await broadcasts?.readAll()
  await lookAtCommands(api, journal, true)
  for (const { name, state, waiting } of devices) {
    if (waiting === 0) continue
    const text = `${name} is ${state} with ${waiting} uplinks unacknowledged`
    journal.oddities.push({ rule: 'outbox-stuck', text })
  }
}

async function nothingDue(options: SettleOptions): Promise<void> {
  const { journal, api, devices, broadcasts, progress, patienceMs = quiesceMaxMs } = options
  const untilMs = Date.now() + quiesceMaxMs
  let last = ''
  let lastAtMs = Date.now()
  for (;;) {
    const open = openIn(journal)
    const there = (await ownCounts(api))?.open
    const running = (await broadcasts?.running()) ?? 0
    const waiting = devices.reduce((sum, device) => sum + device.waiting, 0)
    if (open + waiting + running + (there ?? 0) === 0) return
    const rest = `${open} open here, ${there} there, ${waiting} in outboxes, ${running} broadcasts`
    progress(`quiescing: ${rest}`)
    if (rest !== last) lastAtMs = Date.now()
    last = rest
    if (Date.now() > untilMs || Date.now() > lastAtMs + patienceMs) return
    await sleep(250)
  }
}

/** Accepted commands of which no end was read yet. */
function openIn({ log, asks }: Journal): number {
  const ended = new Set<string>()
  for (const { type, command } of log) {
    if (type === 'command.ended' && command !== undefined) ended.add(command)
  }
  let open = 0
  for (const ask of asks) {
    for (const { accepted } of ask.attempts) {
      if (accepted !== undefined && !ended.has(accepted.id)) open++
    }
  }
  return open
}

/** Everything in the log has come to whom it is due. */
async function allPushed({ journal, progress, patienceMs }: SettleOptions): Promise<void> {
  const untilMs = Date.now() + (patienceMs ?? settleMaxMs)
  for (;;) {
    const missing = missingPushes(gather(journal), new Findings())
    if (missing === 0 || Date.now() > untilMs) return
    progress(`settling: ${missing} to be pushed`)
    await sleep(250)
  }
}
