import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ChannelName, Core, Position } from '../../src/contract/index.ts'
import { isIdentifier, mainChannel } from '../../src/contract/index.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import { httpBounds } from './bounds.ts'
import type { LinkParts } from './link.ts'
import { Poll } from './poll.ts'
import { defaultChannels, readPositions } from './position.ts'
import { badField, type Refusal, refusalOf, refuse } from './problems.ts'
import { Seat } from './seat.ts'
import { CommandStream, StreamLink } from './sse.ts'
import type { Visitor, Visitors } from './visitors.ts'

export type Query = Readonly<Record<string, string | undefined>>

/** What a device asks for. */
interface Asked {
  readonly channels: readonly ChannelName[]
  readonly positions: ReadonlyMap<ChannelName, Position>
  readonly about: ChannelName
  readonly waitMs: number
  readonly sleepMs: number | undefined
  readonly max: number | undefined
}

/** How devices receive: by polls or by a stream, one receiver a channel (rule 18). */
export class Reception {
  readonly #core: Core
  readonly #visitors: Visitors
  readonly #lingering: Sweep<Seat>
  readonly #answering: Sweep<Seat>
  readonly #polls = new Set<Poll>()
  readonly #streams = new Set<CommandStream>()
  pollsTotal = 0

  constructor(core: Core, visitors: Visitors) {
    this.#core = core
    this.#visitors = visitors
    const { clock } = core
    const { pollLingerMs, answerStalledMs } = httpBounds
    const giveUp = (seat: Seat): void => seat.giveUp()
    this.#lingering = new Sweep(clock, pollLingerMs, 'http-seats', giveUp)
    this.#answering = new Sweep(clock, answerStalledMs, 'http-answers', giveUp)
  }

  get polls(): number {
    return this.#polls.size
  }

  get streams(): number {
    return this.#streams.size
  }

  /** All links are closed by now, or are about to be. */
  stop(): void {
    this.#lingering.stop()
    this.#answering.stop()
  }

  async poll(visitor: Visitor, query: Query, response: ServerResponse): Promise<void> {
    const asked = this.#read(query)
    if ('problem' in asked) return refuse(response, asked)
    this.pollsTotal++
    const seats: Seat[] = []
    for (const channel of asked.channels) {
      const seat = await this.#seat(visitor, channel, asked, response)
      if (seat instanceof Seat) {
        seats.push(seat)
        continue
      }
      for (const one of seats) one.abandoned()
      return refuse(response, seat)
    }
    // One of them may have been taken over while the others were attached.
    const lost = seats.find(({ closed }) => closed !== undefined)?.closed
    if (lost !== undefined) {
      for (const one of seats) one.abandoned()
      return refuse(response, refusalOf(lost.reason, lost.retryAfterMs))
    }
    const { about, waitMs, sleepMs } = asked
    const { clock } = this.#core
    const ended = (poll: Poll): void => void this.#polls.delete(poll)
    const poll = new Poll({ response, visitor, seats, about, waitMs, sleepMs, clock, ended })
    if (!poll.isOver) this.#polls.add(poll)
  }

  async stream(visitor: Visitor, query: Query, response: ServerResponse): Promise<void> {
    const asked = this.#read(query)
    if ('problem' in asked) return refuse(response, asked)
    const { clock, limits } = this.#core
    const ended = (one: CommandStream): void => void this.#streams.delete(one)
    const stream = new CommandStream(response, clock, limits.linkMaxBytes, ended)
    const links: StreamLink[] = []
    for (const channel of asked.channels) {
      const older = visitor.links.get(channel)
      const goesOn = older instanceof Seat && !older.isWaitedFor
      if (goesOn) older.detach(true)
      const link = new StreamLink(this.#parts(visitor, channel, response), stream)
      const refusal = await link.attach(asked.positions.get(channel), asked.max, goesOn)
      if (refusal === undefined) links.push(link)
      if (refusal === undefined && !stream.isOver) continue
      for (const one of links) one.detach(true)
      if (refusal !== undefined) refuse(response, refusal)
      return
    }
    // One of them may have been taken over while the others were attached.
    const lost = links.find(({ closed }) => closed !== undefined)?.closed
    if (lost !== undefined) {
      for (const one of links) one.detach(true)
      return refuse(response, refusalOf(lost.reason, lost.retryAfterMs))
    }
    this.#streams.add(stream)
    stream.begin(links)
  }

  /**
   * It says goodbye, for whatever receives for it, or for the receiver it was told to be: that may be
   * over by now, and another be there.
   */
  leave(visitor: Visitor, { receiver }: Query): void {
    const ids = receiver?.split('.')
    for (const link of [...visitor.links.values()]) {
      if (ids === undefined || ids.includes(link.id)) link.finish('normal')
    }
  }

  /** The seat of the poll before, where the device goes on from there; else a new one. */
  async #seat(
    visitor: Visitor,
    channel: ChannelName,
    { positions, max }: Asked,
    response: ServerResponse,
  ): Promise<Seat | Refusal> {
    const told = visitor.untold(channel)
    if (told !== undefined) return refusalOf(told.reason, told.retryAfterMs)
    const position = positions.get(channel)
    const older = visitor.links.get(channel)
    const goesOn = older instanceof Seat && !older.isWaitedFor
    if (goesOn) {
      const how = older.windowMaxCommands === max ? older.comesBack(position) : 'again'
      if (how === 'not-sent') return { problem: 'not-sent', said: older.standing }
      if (how === 'goes-on') {
        older.hold()
        return older
      }
      older.detach(true)
    }
    const patience = { lingering: this.#lingering, answering: this.#answering }
    const seat = new Seat(this.#parts(visitor, channel, response), patience, max)
    return (await seat.attach(position, max, goesOn)) ?? seat
  }

  #parts(visitor: Visitor, channel: ChannelName, response: ServerResponse): LinkParts {
    const core = this.#core
    const id = this.#visitors.makeToken()
    return { core, id, visitor, channel, peer: response.socket?.remoteAddress ?? 'unknown' }
  }

  #read(query: Query): Asked | Refusal {
    const { limits } = this.#core
    const channels = query.channel === undefined ? defaultChannels : query.channel.split(',')
    if (channels.length > limits.connectionMaxChannels || new Set(channels).size < channels.length)
      return badField('query', 'channel', 'must name each channel once, and not too many')
    if (!channels.every(isIdentifier))
      return badField('query', 'channel', 'must be names of channels, with commas between')
    const read = readPositions(query.epoch, query.after, channels)
    if ('problem' in read) return read
    const wait = seconds(query.wait ?? '0', limits.waitMaxMs / 1000)
    if (wait === undefined) return badField('query', 'wait', 'must be a number of seconds')
    const sleep = query.sleep === undefined ? 0 : seconds(query.sleep, Number.POSITIVE_INFINITY)
    if (sleep === undefined || sleep > httpBounds.sleepMaxS)
      return badField('query', 'sleep', `must be seconds, at most ${httpBounds.sleepMaxS}`)
    const max = query.max === undefined ? undefined : Number(query.max)
    if (max !== undefined && !(Number.isInteger(max) && max >= 1 && max <= 1_000))
      return badField('query', 'max', 'must be a whole number of commands above 0')
    return {
      channels,
      positions: read.positions,
      about: read.first ?? (channels.includes(mainChannel) ? mainChannel : channels[0]!),
      waitMs: Math.max(httpBounds.pollLookMs, wait * 1000),
      sleepMs: query.sleep === undefined ? undefined : sleep * 1000,
      max,
    }
  }
}

/** Asked for more than there is: as much as there is. */
const seconds = (text: string, max: number): number | undefined =>
  /^[0-9]{1,9}(?:\.[0-9]{1,3})?$/.test(text) ? Math.min(Number(text), max) : undefined

/** Does it want a stream rather than one answer? */
export const wantsStream = ({ headers }: IncomingMessage): boolean =>
  /(?:^|[,\s])text\/event-stream(?:$|[;,\s])/i.test(headers.accept ?? '')
