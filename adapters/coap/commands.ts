import type { ChannelName, Position } from '../../src/contract/index.ts'
import { locateCommand } from '../../src/contract/index.ts'
import { commandBlock } from './answers.ts'
import { type Block, blockOf, szxMax } from './blocks.ts'
import { optionOf, uintOf, uintOption } from './codec.ts'
import { code, option } from './codes.ts'
import type { Exchange } from './exchange.ts'
import type { House } from './house.ts'
import { CoapLink, type Held, type Way } from './link.ts'
import { Observation } from './observation.ts'
import { type Query, secondsOf } from './query.ts'
import { refusal, wrong } from './reasons.ts'
import { Sending } from './sending.ts'
import type { CoapSession } from './session.ts'
import type { Refused } from './speaking.ts'

/** `GET s/{token}/commands`: observe, stop observing, poll, fetch another block, acknowledge. */
export async function takeCommands(
  house: House,
  session: CoapSession,
  exchange: Exchange,
  resource: string,
  channels: readonly ChannelName[],
  query: Query,
): Promise<void> {
  const { options, token } = exchange.message
  const block = blockOf(options, option.block2)
  const waitMs = secondsOf(query, 'wait') ?? 0
  const sleepMs = secondsOf(query, 'sleep')
  if (block === 'malformed' || waitMs === 'malformed' || sleepMs === 'malformed') {
    session.answer(exchange, wrong(code.badRequest, 'Block2, ?wait= or ?sleep= is malformed'))
    return
  }
  if (block !== undefined && block.number > 0) {
    giveBlock(session, exchange, resource, block)
    return
  }
  const szx = block?.szx ?? szxMax
  const observe = observeOf(exchange)
  const ack = query.get('ack')
  if (ack !== undefined && ack !== 'explicit') {
    session.answer(exchange, wrong(code.badRequest, '?ack= is explicit, or left out'))
    return
  }
  if (observe === 1) {
    const observation = observationOf(session, resource)
    if (observation !== undefined) session.sendingOver(observation, true)
    session.answer(exchange, { code: code.content })
    return
  }
  const after = query.get('after')
  if (after !== undefined && !(await acknowledge(session, after, session.polling))) {
    session.answer(exchange, wrong(code.badRequest, '?after= is no id of a command of this device'))
    return
  }
  if (observe === 0) {
    const how = { token, szx, isExplicit: ack !== undefined }
    await register(house, session, exchange, resource, channels, how)
    return
  }
  if (session.sendingOf(resource) !== undefined) {
    // What comes is notified; whoever asks gets what is out, once more.
    const held = after === undefined ? outOf(house, session, resource, channels) : undefined
    const given = held && commandBlock(held, 0, szx, session.reach.room)
    session.answer(exchange, given ?? { code: code.content })
    return
  }
  const refused = await attachAll(session, channels, session.polling)
  if (refused !== undefined) {
    refuse(session, exchange, refused)
    return
  }
  const { nowMs, waitMaxMs } = { nowMs: house.core.clock.nowMs(), ...house.core.limits }
  session.polling.backAtMs = sleepMs === undefined ? undefined : nowMs + sleepMs
  session.polling.ask(exchange, resource, channels, szx, Math.min(waitMs, waitMaxMs))
}

/** What a device asks for with it. */
interface Registration {
  readonly token: Buffer
  readonly szx: number
  readonly isExplicit: boolean
}

async function register(
  house: House,
  session: CoapSession,
  exchange: Exchange,
  resource: string,
  channels: readonly ChannelName[],
  { token, szx, isExplicit }: Registration,
): Promise<void> {
  let observation = observationOf(session, resource)
  if (observation === undefined) {
    observation = new Observation(house, session, resource, channels, token, szx, isExplicit)
    observation.isAnswered = false
    session.addSending(observation)
  } else observation.renew(token, szx, isExplicit)
  const refused = await attachAll(session, channels, observation)
  if (refused !== undefined) {
    session.sendingOver(observation, true)
    refuse(session, exchange, refused)
    return
  }
  try {
    // Kept before it is told: after a restart its device would not know that it must ask again.
    await house.keep(session)
  } catch {
    session.sendingOver(observation, true)
    session.answer(exchange, refusal('unavailable'))
    return
  }
  const maxAgeS = Math.floor(session.keepaliveMs / 1000)
  // Without a command: nobody would acknowledge it (rule 25).
  session.answer(exchange, {
    code: code.content,
    options: [
      observation.registeredOption(),
      uintOption(option.maxAge, maxAgeS),
      // Only to who knows of us: node-coap-client ends its process at an option it does not know.
      ...(isExplicit ? [uintOption(option.time, Math.floor(house.core.clock.nowMs()))] : []),
    ],
  })
  observation.run()
}

function observationOf(session: CoapSession, resource: string): Observation | undefined {
  const sending = session.sendingOf(resource)
  return sending instanceof Observation ? sending : undefined
}

export async function attachAll(
  session: CoapSession,
  channels: readonly ChannelName[],
  way: Way,
): Promise<Refused | undefined> {
  for (const attached of await Promise.all(channels.map((one) => session.links.attach(one, way)))) {
    if (!(attached instanceof CoapLink)) {
      session.links.detach(true, undefined, way)
      return attached
    }
  }
  return undefined
}

function refuse(session: CoapSession, exchange: Exchange, { reason, retryAfterMs }: Refused): void {
  session.answer(exchange, refusal(reason, retryAfterMs))
  session.silenced(reason)
}

function outOf(
  { core }: House,
  session: CoapSession,
  resource: string,
  channels: readonly ChannelName[],
): Held | undefined {
  for (const channel of channels) {
    const link = session.links.of(channel)
    const { held } = link ?? {}
    if (link === undefined || held?.mayBeWritten(core.clock.nowMs()) !== true) continue
    held.written = true
    held.isPolled = true
    session.shows(resource, link)
    return held
  }
  return undefined
}

function giveBlock(
  session: CoapSession,
  exchange: Exchange,
  resource: string,
  { number, szx }: Block,
): void {
  const link = session.shown(resource)
  const held = link?.held
  const response =
    held === undefined ? undefined : commandBlock(held, number, szx, session.reach.room)
  if (link === undefined || response === undefined) {
    session.answer(exchange, wrong(code.badRequest, 'there is no such block'))
    return
  }
  session.answer(exchange, response)
  const isLast = (number + 1) * 2 ** (szx + 4) >= held!.body.length
  if (isLast && link.way instanceof Observation) link.way.wasFetched(link)
}

/**
 * `?after=`, by the id of a command: it and all before it in its channel have arrived (rules 12, 14).
 * @returns false: that is no command of this device.
 */
async function acknowledge(session: CoapSession, id: string, way: Way): Promise<boolean> {
  const place = locateCommand(session.app, id)
  if (place === undefined || place.device !== session.device) return false
  const channel = place.channel.slice(place.channel.lastIndexOf('/') + 1)
  const link = session.links.of(channel)
  if (link?.held?.isNamed(id) === true) {
    link.acknowledged(link.held)
    if (link.way instanceof Sending) link.way.released(link)
    return true
  }
  if (place.epoch === 0) return true // scheduled: its place is known only while it is held
  const position: Position = { epoch: place.epoch, offset: place.offset }
  if (link?.session !== undefined) {
    // Of another epoch, or not sent yet: what is out comes again, and is told from it by its id.
    if (link.session.position.epoch === position.epoch) {
      link.session.acknowledgeUpTo(position.offset)
    }
    return true
  }
  await session.links.attach(channel, way, position)
  return true
}

/** undefined: neither registers nor deregisters, RFC 7641 §2. */
function observeOf({ message }: Exchange): number | undefined {
  const value = optionOf(message.options, option.observe)
  return value === undefined ? undefined : uintOf(value, 3)
}
