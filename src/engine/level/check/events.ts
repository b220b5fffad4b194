import type { AppId, ChannelId, EndStatus, KeptEvent } from '../../../contract/index.ts'
import { channelId, endStatuses, eventKinds } from '../../../contract/index.ts'
import { appOf } from '../appending.ts'
import type { Channel } from '../channel.ts'
import { scheduledOf } from '../ended-record.ts'
import { keptBytes } from '../event-purge.ts'
import type { Pointer } from '../event-record.ts'
import { decodeEvent, decodePointer } from '../event-record.ts'
import {
  channelBeforeNumber,
  channelKey,
  eventKey,
  historyKey,
  offsetOf,
  sequenceOf,
} from '../keys.ts'
import { decodeRecord } from '../record.ts'
import type { Entry, Looking } from './looking.ts'
import { names, number } from './looking.ts'
import type { Lying } from './placed.ts'
import { placedOf, sayPlaced } from './placed.ts'

const eventKeys = names('e', 1, number)
const historyKeys = names('h', 3, number)

interface Outcome extends Lying {
  readonly sequence: number
  readonly status: EndStatus
  readonly isScheduled: boolean
  readonly broadcast: string | undefined
}

/** Logs, and the ways to outcomes. @returns scheduled commands that ended, and are found. */
export async function checkEvents(looking: Looking): Promise<number> {
  const events = new EventsOfApps(looking)
  await looking.kind('e', 'events', (entries) => events.look(entries))
  events.end()
  let ways = 0
  let ofChannel: ChannelId | undefined
  await looking.kind('h', 'ways to outcomes', async (entries) => {
    for (const [key, value] of entries) {
      if (!historyKeys.test(key)) {
        looking.found('unknown-key', key)
        continue
      }
      ways += 1
      looking.read(key, () => pointerOf(value))
      const id = channelBeforeNumber(key)
      if (id !== ofChannel) await mustHaveChannel(looking, id, offsetOf(key))
      ofChannel = id
    }
  })
  // Each outcome was held against its way; only if there are more ways, some lead nowhere.
  if (ways !== events.reached) await sayAstray(looking)
  return events.placed
}

function pointerOf(value: Buffer): Pointer {
  const pointer = decodePointer(value)
  if (!endStatuses.includes(pointer.status)) throw new RangeError(`nothing ends ${pointer.status}`)
  return pointer
}

async function mustHaveChannel(looking: Looking, id: ChannelId, offset: number): Promise<void> {
  const value = await looking.store.get(channelKey(id))
  if (value === undefined) {
    looking.found('channel-missing', id, 'commands that ended')
    return
  }
  let channel: Channel
  try {
    channel = decodeRecord(id, value)
  } catch {
    // Said when it was looked at.
    return
  }
  if (offset > channel.top) {
    looking.found('channel-record', id, `top ${channel.top}, and ${offset} has ended`)
  }
}

class EventsOfApps {
  /** Outcomes to which their ways lead. */
  reached = 0
  placed = 0
  readonly #looking: Looking
  #app: AppId | undefined
  #next = 0
  readonly #done = new Set<AppId>()

  constructor(looking: Looking) {
    this.#looking = looking
  }

  async look(entries: readonly Entry[]): Promise<void> {
    const outcomes: Outcome[] = []
    for (const [key, value] of entries) {
      if (!eventKeys.test(key)) {
        this.#looking.found('unknown-key', key)
        continue
      }
      const event = this.#one(key, value)
      if (event?.kind === 'command.ended') outcomes.push(outcomeOf(event, sequenceOf(key)))
    }
    await this.#reach(outcomes)
    await this.#scheduled(outcomes)
    for (const outcome of outcomes) this.#count(outcome)
  }

  /** The last app's log is over, and those that should have events and have none. */
  end(): void {
    this.#over()
    for (const [app, { oldest, top }] of this.#looking.counters) {
      if (!this.#done.has(app) && oldest <= top) this.#missing(app, oldest, top)
    }
  }

  #one(key: string, value: Buffer): KeptEvent | undefined {
    const looking = this.#looking
    const sequence = sequenceOf(key)
    const app = key.split('/')[1]!
    if (app !== this.#app) this.#begin(app)
    const seen = looking.seen(app)
    seen.events += 1
    seen.logBytes += keptBytes(value)
    const counters = looking.counters.get(app)
    if (counters !== undefined) {
      if (sequence < counters.oldest || sequence > counters.top) {
        looking.found('event-outside', key, `the log is ${counters.oldest} to ${counters.top}`)
      } else {
        if (sequence > this.#next) this.#missing(app, this.#next, sequence - 1)
        this.#next = sequence + 1
      }
    }
    return looking.read(key, () => known(decodeEvent(app, key, value)))
  }

  #begin(app: AppId): void {
    this.#over()
    this.#app = app
    this.#done.add(app)
    this.#next = this.#looking.counters.get(app)?.oldest ?? 0
  }

  #over(): void {
    const app = this.#app
    const top = app === undefined ? undefined : this.#looking.counters.get(app)?.top
    if (top !== undefined && this.#next <= top) this.#missing(app!, this.#next, top)
    this.#app = undefined
  }

  #missing(app: AppId, from: number, to: number): void {
    const which = from === to ? `number ${from}` : `numbers ${from} to ${to}`
    this.#looking.found('event-missing', app, which)
  }

  async #reach(outcomes: readonly Outcome[]): Promise<void> {
    const looking = this.#looking
    const keys = outcomes.map(({ channel, offset }) => historyKey(channel, offset))
    const ways = await looking.many(keys)
    for (const [at, outcome] of outcomes.entries()) {
      const way = ways[at]
      const where = eventKey(appOf(outcome.channel), outcome.sequence)
      if (way === undefined) {
        looking.found('outcome-unreachable', where, `of ${keys[at]}`)
        continue
      }
      let pointer: Pointer
      try {
        pointer = pointerOf(way)
      } catch {
        // Said when it is looked at.
        this.reached += 1
        continue
      }
      if (pointer.sequence !== outcome.sequence) {
        looking.found('outcome-unreachable', where, `${keys[at]} leads to ${pointer.sequence}`)
        continue
      }
      this.reached += 1
      const { status, acceptedAtMs, isScheduled } = outcome
      const isSame =
        pointer.status === status &&
        pointer.acceptedAtMs === acceptedAtMs &&
        (pointer.scheduled === true) === isScheduled
      if (!isSame) looking.found('outcome-missing', keys[at]!, `it says other than ${where}`)
    }
  }

  async #scheduled(outcomes: readonly Outcome[]): Promise<void> {
    const lying = outcomes.filter(({ isScheduled }) => isScheduled)
    const ways = await placedOf(this.#looking, lying)
    for (const [at, one] of lying.entries()) {
      if (sayPlaced(this.#looking, one, ways[at])) this.placed += 1
    }
  }

  #count({ channel, status, broadcast }: Outcome): void {
    const app = appOf(channel)
    const { ended } = this.#looking.seen(app)
    ended.set(status, (ended.get(status) ?? 0) + 1)
    const cast =
      broadcast === undefined ? undefined : this.#looking.casts.get(`${app}/${broadcast}`)
    cast?.ended.set(status, (cast.ended.get(status) ?? 0) + 1)
  }
}

function known(event: KeptEvent): KeptEvent {
  const { kind, device } = event
  if (!eventKinds.includes(kind)) throw new RangeError(`there is no event ${kind}`)
  if (typeof device !== 'string') throw new RangeError('it is of no device')
  if (kind === 'command.ended' && !endStatuses.includes(event.ended.status)) {
    throw new RangeError(`nothing ends ${event.ended.status}`)
  }
  return event
}

function outcomeOf(event: KeptEvent & { kind: 'command.ended' }, sequence: number): Outcome {
  const { app, device, channel, ended } = event
  const { epoch, offset, acceptedAtMs, status, broadcast } = ended
  const scheduled = scheduledOf(ended)
  return {
    channel: channelId(app, device, channel ?? ''),
    ...{ sequence, epoch, offset, acceptedAtMs, status, broadcast },
    ...{ isScheduled: scheduled !== undefined, scheduled: scheduled ?? 0 },
  }
}

/** Ways that lead to no outcome of their own. */
async function sayAstray(looking: Looking): Promise<void> {
  await looking.range({ gte: 'h/', lt: 'h0' }, async (entries) => {
    for (const [key, value] of entries) {
      if (!historyKeys.test(key)) continue
      let pointer: Pointer
      try {
        pointer = pointerOf(value)
      } catch {
        continue
      }
      const app = key.split('/')[1]!
      const event = await looking.store.get(eventKey(app, pointer.sequence))
      if (event === undefined || !isOf(app, key, event)) {
        looking.found('outcome-missing', key, `event ${pointer.sequence}`)
      }
    }
  })
}

function isOf(app: AppId, key: string, value: Buffer): boolean {
  try {
    const event = decodeEvent(app, '', value)
    if (event.kind !== 'command.ended') return false
    return historyKey(event.ended.channel, event.ended.offset) === key
  } catch {
    // That it cannot be read is said of the event.
    return true
  }
}
