import type { ChannelId } from '../../../contract/index.ts'
import { appOf } from '../appending.ts'
import { decodeCommand } from '../command-record.ts'
import { channelBeforeNumber, lastScheduledKey, scheduledOf } from '../keys.ts'
import { decodeNumber, decodePlaced } from '../schedule-record.ts'
import type { Entry, Looking } from './looking.ts'
import { names, number } from './looking.ts'

const keysOf = {
  q: names('q', 3, number),
  y: names('y', 3, number),
  p: names('p', 3, number),
  r: names('r', 3),
} as const

/** Commands that wait for their time, each of three records. `placed`: those that have their place. */
export async function checkSchedule(looking: Looking, placed: number): Promise<void> {
  await looking.kind('r', 'last scheduled', (entries) => {
    for (const [key, value] of known(looking, 'r', entries)) {
      looking.read(key, () => decodeNumber(value))
    }
  })
  let whole = 0
  await looking.kind('y', 'scheduled commands', async (entries) => {
    const waiting = known(looking, 'y', entries)
    const parts = await looking.many(
      waiting.flatMap(([key]) => [`q${key.slice(1)}`, `p${key.slice(1)}`]),
    )
    for (const [at, [key, value]] of waiting.entries()) {
      looking.seen(appOf(channelBeforeNumber(key))).open += 1
      const [ripe, place] = [parts[2 * at], parts[2 * at + 1]]
      if (place !== undefined) looking.found('schedule-broken', key, 'it waits, and has its place')
      if (ripe !== undefined) whole += 1
      else looking.found('schedule-broken', key, 'nothing says when it is due')
      const command = looking.read(key, () => decodeCommand(scheduledOf(key), value))
      if (command === undefined || ripe === undefined) continue
      const dueMs = looking.read(`q${key.slice(1)}`, () => decodeNumber(ripe))
      const { more, acceptedAtMs } = command
      const notBeforeMs = more?.notBeforeMs ?? acceptedAtMs
      if (dueMs !== undefined && dueMs !== notBeforeMs) {
        looking.found('schedule-broken', key, `due ${notBeforeMs}, kept for ${dueMs}`)
      }
    }
    await checkLast(looking, waiting)
  })
  let ripe = 0
  await looking.kind('q', 'when they are due', (entries) => {
    ripe += known(looking, 'q', entries).length
  })
  if (ripe !== whole) await sayHalf(looking)
  let ways = 0
  await looking.kind('p', 'where they lie', async (entries) => {
    const all = known(looking, 'p', entries)
    ways += all.length
    await checkLast(looking, all)
  })
  if (ways !== placed) await sayStray(looking)
}

function known(looking: Looking, letter: keyof typeof keysOf, entries: readonly Entry[]): Entry[] {
  return entries.filter(([key]) => {
    if (keysOf[letter].test(key)) return true
    looking.found('unknown-key', key)
    return false
  })
}

/** No number of a channel is above the last one, else it would be given again. */
async function checkLast(looking: Looking, entries: readonly Entry[]): Promise<void> {
  const highest = new Map<ChannelId, number>()
  for (const [key] of entries) highest.set(channelBeforeNumber(key), scheduledOf(key))
  const channels = [...highest.keys()]
  const lasts = await looking.many(channels.map(lastScheduledKey))
  for (const [at, channel] of channels.entries()) {
    const value = lasts[at]
    let last = 0
    try {
      if (value !== undefined) last = decodeNumber(value)
    } catch {
      // Said when it was looked at.
      continue
    }
    const number = highest.get(channel)!
    if (number > last) {
      looking.found('schedule-broken', lastScheduledKey(channel), `${number} is above ${last}`)
    }
  }
}

async function sayHalf(looking: Looking): Promise<void> {
  await looking.range({ gte: 'q/', lt: 'q0' }, async (entries) => {
    const all = entries.filter(([key]) => keysOf.q.test(key))
    const commands = await looking.many(all.map(([key]) => `y${key.slice(1)}`))
    for (const [at, [key]] of all.entries()) {
      if (commands[at] === undefined) looking.found('schedule-broken', key, 'it has no command')
    }
  })
}

/** Ways to nothing. */
async function sayStray(looking: Looking): Promise<void> {
  await looking.range({ gte: 'p/', lt: 'p0' }, async (entries) => {
    for (const [key, value] of entries) {
      if (!keysOf.p.test(key)) continue
      const channel = channelBeforeNumber(key)
      let offset: number
      try {
        offset = decodePlaced(value).offset
      } catch {
        looking.found('unreadable', key)
        continue
      }
      const at = `${channel}/${offset.toString(36).padStart(11, '0')}`
      const [open, ended] = await looking.many([`m/${at}`, `h/${at}`])
      if (open === undefined && ended === undefined) {
        looking.found('schedule-broken', key, `it leads to ${offset}, where nothing is`)
      }
    }
  })
}
