import type { ChannelId } from '../../../contract/index.ts'
import { channelParts, epochsKept, idOfCommand } from '../../../contract/index.ts'
import { appOf } from '../appending.ts'
import type { Channel } from '../channel.ts'
import type { Entry as Command } from '../command-record.ts'
import { decodeCommand } from '../command-record.ts'
import { channelBeforeNumber, channelKey, channelOfKey, memberKey, offsetOf } from '../keys.ts'
import { decodeRecord } from '../record.ts'
import type { Entry, Looking } from './looking.ts'
import { names, number } from './looking.ts'
import { placedOf, sayPlaced } from './placed.ts'

const channelKeys = names('c', 3)
const commandKeys = names('m', 3, number)

/** What is said of the open commands of a channel, while they pass by in order. */
interface Group {
  readonly channel: ChannelId
  count: number
  bytes: number
  first: { readonly offset: number; readonly acceptedAtMs: number } | undefined
  last: number
  /** One is damaged: what it adds nobody knows. */
  damaged: boolean
  readonly commands: Command[]
}

/** Records of channels against their open commands. @returns scheduled ones that have their place. */
export async function checkChannels(looking: Looking): Promise<number> {
  let counted = 0
  await looking.kind('c', 'channels', (entries) => {
    for (const [key, value] of entries) {
      const channel = read(looking, key, value)
      if (channel === undefined) continue
      counted += channel.count
      if (channel.count === 0) checkEmpty(looking, channel)
      checkSelf(looking, channel)
    }
  })
  const commands = new OpenCommands(looking)
  await looking.kind('m', 'open commands', (entries) => commands.look(entries))
  await commands.end()
  // Each channel that has some was held against them; only if more are counted, others have none.
  if (counted > commands.counted) await sayLost(looking)
  return commands.placed
}

function read(looking: Looking, key: string, value: Buffer): Channel | undefined {
  if (channelKeys.test(key)) return looking.read(key, () => decodeRecord(channelOfKey(key), value))
  looking.found('unknown-key', key)
  return undefined
}

function checkEmpty(looking: Looking, { id, floor, top, bytes, oldestAtMs }: Channel): void {
  const isTrue = bytes === 0 && oldestAtMs === 0 && floor <= top + 1
  if (!isTrue) looking.found('channel-record', id, 'it has no open commands, and says more of them')
}

function checkSelf(looking: Looking, channel: Channel): void {
  const { id, top, sentUpTo, older, epoch, attempts } = channel
  if (sentUpTo > top) looking.found('channel-record', id, `sent up to ${sentUpTo}, top ${top}`)
  if (attempts !== undefined && attempts.offset > top) {
    looking.found('channel-record', id, `attempts of ${attempts.offset}, top ${top}`)
  }
  let before = 0
  for (let at = 1; at < older.length; at += 2) {
    if (older[at]! < before || older[at]! > top) {
      looking.found('channel-record', id, `an epoch ends at ${older[at]}`)
    }
    before = older[at]!
  }
  if (top > 0 && epoch === 0) looking.found('channel-record', id, 'it has commands and no epoch')
}

class OpenCommands {
  /** As channels that have some count them. */
  counted = 0
  placed = 0
  readonly #looking: Looking
  #group: Group | undefined

  constructor(looking: Looking) {
    this.#looking = looking
  }

  async look(entries: readonly Entry[]): Promise<void> {
    const looking = this.#looking
    const known = entries.filter(([key]) => {
      if (commandKeys.test(key)) return true
      looking.found('unknown-key', key)
      return false
    })
    const histories = await looking.many(known.map(([key]) => `h${key.slice(1)}`))
    for (const [at, [key, value]] of known.entries()) {
      if (histories[at] !== undefined) looking.found('open-and-ended', key)
      const channel = channelBeforeNumber(key)
      if (this.#group?.channel !== channel) {
        await this.end()
        this.#group = {
          ...{ channel, count: 0, bytes: 0, first: undefined, last: 0, damaged: false },
          commands: [],
        }
      }
      this.#add(this.#group!, key, value)
    }
    await this.#settle()
  }

  #add(group: Group, key: string, value: Buffer): void {
    const offset = offsetOf(key)
    group.count += 1
    group.last = offset
    this.#looking.seen(appOf(group.channel)).open += 1
    const command = this.#looking.read(key, () => decodeCommand(offset, value))
    if (command === undefined) {
      group.damaged = true
      if (group.first === undefined) group.first = { offset, acceptedAtMs: Number.NaN }
      return
    }
    group.first ??= { offset, acceptedAtMs: command.acceptedAtMs }
    group.bytes += command.bytes
    command.payload = undefined
    group.commands.push(command)
  }

  /** The last channel is over. */
  async end(): Promise<void> {
    await this.#settle()
    const group = this.#group
    this.#group = undefined
    if (group === undefined) return
    const looking = this.#looking
    const channel = await this.#channel(group.channel)
    if (channel === undefined) {
      looking.found('channel-missing', group.channel, `${group.count} open commands`)
      return
    }
    this.counted += channel.count
    const { count, bytes, first, last, damaged } = group
    const differs = (what: string, says: number, is: number) => {
      if (says !== is) looking.found('channel-record', group.channel, `${what} ${says}, is ${is}`)
    }
    differs('open commands', channel.count, count)
    if (channel.count === 0) return
    differs('oldest one', channel.floor, first!.offset)
    if (!damaged) differs('payload bytes', channel.bytes, bytes)
    if (!Number.isNaN(first!.acceptedAtMs)) {
      differs('oldest accepted at', channel.oldestAtMs, first!.acceptedAtMs)
    }
    if (last > channel.top) differs('top', channel.top, last)
  }

  async #channel(id: ChannelId): Promise<Channel | undefined> {
    const value = await this.#looking.store.get(channelKey(id))
    if (value === undefined) return undefined
    try {
      return decodeRecord(id, value)
    } catch {
      // Said when it was looked at.
      return undefined
    }
  }

  /** What single commands are held against, for those that were read in this step. */
  async #settle(): Promise<void> {
    const group = this.#group
    if (group === undefined || group.commands.length === 0) return
    const commands = group.commands.splice(0)
    const channel = await this.#channel(group.channel)
    for (const command of commands) {
      if (channel !== undefined) this.#one(channel, command)
    }
    await this.#scheduled(group.channel, commands)
    await this.#members(group.channel, commands)
  }

  #one(channel: Channel, command: Command): void {
    const looking = this.#looking
    const { offset, epoch, deliveredAtMs, replyTimeoutMs, expiresAtMs } = command
    const { older, sentUpTo, intended, dueAtMs, id } = channel
    const isForgotten = older.length >= 2 * (epochsKept - 1) && offset <= older[1]!
    if (!isForgotten && channel.epochOf(offset) !== epoch) {
      looking.found('channel-epochs', id, `command ${offset} is of epoch ${epoch}`)
    }
    // What may have been sent waits longer, by a setting that the store does not know.
    const dueMs =
      deliveredAtMs !== undefined
        ? deliveredAtMs + replyTimeoutMs
        : offset > Math.max(sentUpTo, intended)
          ? expiresAtMs
          : Number.POSITIVE_INFINITY
    if (dueMs < dueAtMs) {
      looking.found('late-deadline', id, `command ${offset}, due ${dueMs}, looked at ${dueAtMs}`)
    }
  }

  async #scheduled(id: ChannelId, commands: readonly Command[]): Promise<void> {
    const placed = commands.flatMap(({ offset, epoch, acceptedAtMs, more }) =>
      more?.scheduled === undefined
        ? []
        : [{ channel: id, scheduled: more.scheduled, offset, epoch, acceptedAtMs }],
    )
    const ways = await placedOf(this.#looking, placed)
    for (const [at, one] of placed.entries())
      if (sayPlaced(this.#looking, one, ways[at])) this.placed += 1
  }

  async #members(id: ChannelId, commands: readonly Command[]): Promise<void> {
    const { app, device } = channelParts(id)
    const casts = this.#looking.casts
    const placed = commands.filter(({ more }) => casts.get(`${app}/${more?.broadcast}`)?.made)
    const keys = placed.map(({ more }) => memberKey(app, more!.broadcast!, device))
    const members = await this.#looking.many(keys)
    for (const [at, { offset, epoch, more }] of placed.entries()) {
      const { broadcast, scheduled } = more!
      casts.get(`${app}/${broadcast}`)!.open += 1
      const command = idOfCommand(id, epoch, offset, scheduled)
      if (members[at]?.toString() === command) continue
      this.#looking.found('broadcast-member', keys[at]!, `its command is ${command}`)
    }
  }
}

/** Channels that count open commands, and have none. */
async function sayLost(looking: Looking): Promise<void> {
  await looking.range({ gte: 'c/', lt: 'c0' }, async (entries) => {
    for (const [key, value] of entries) {
      const id = channelOfKey(key)
      let count = 0
      try {
        count = decodeRecord(id, value).count
      } catch {
        continue
      }
      if (count === 0) continue
      const range = { gte: `m/${id}/`, lt: `m/${id}0`, limit: 1 }
      const [first] = await looking.store.keys(range).all()
      if (first === undefined) {
        looking.found('channel-record', id, `open commands ${count}, is 0`)
      }
    }
  })
}
