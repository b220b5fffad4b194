import type { ServerResponse } from 'node:http'
import type {
  Answered,
  ChannelName,
  Intake,
  Limits,
  Reply,
  Stamp,
  Taken,
  Uplink,
} from '../../src/contract/index.ts'
import { isIdentifier, locateCommand, mainChannel } from '../../src/contract/index.ts'
import { readJson } from '../../src/listen/json.ts'
import { isBlank, LineCutter, tooLong } from '../../src/listen/lines.ts'
import { readPayload } from '../../src/listen/payload.ts'
import { httpBounds } from './bounds.ts'
import { badField, type Refusal, refusalOf, refuse } from './problems.ts'
import type { Visitor } from './visitors.ts'

const octets = 'application/octet-stream'
const unavailableMs = 2_000
const limitedMs = 1_000
const nothing = Buffer.alloc(0)

/** What a device sends up, as it came. */
export interface Sent {
  readonly body: Buffer | undefined
  readonly contentType: string | undefined
  /** `Pike-Stamp`. */
  readonly stamp: string | undefined
  readonly channel: string | undefined
}

/** `epoch.sequence`, as a header and in lines. */
export function readStamp(text: string): Stamp | undefined {
  const match = /^([1-9][0-9]{0,9})\.([1-9][0-9]{0,15})$/.exec(text)
  if (match === null) return undefined
  const epoch = Number(match[1])
  const sequence = Number(match[2])
  return epoch <= 0xffff_ffff && Number.isSafeInteger(sequence) ? { epoch, sequence } : undefined
}

const badStamp = (where: 'header' | 'body', path: string): Refusal =>
  badField(where, path, 'must be EPOCH.SEQUENCE, two whole numbers above 0')

/** One event: its type in the path, its payload the body as it is. */
export async function receiveEvent(
  visitor: Visitor,
  name: string,
  sent: Sent,
  limits: Limits,
  response: ServerResponse,
): Promise<void> {
  const channel = channelOf(sent.channel)
  if (typeof channel !== 'string') return refuse(response, channel)
  const body = sent.body ?? nothing
  const { contentType = octets } = sent
  if (contentType.length > httpBounds.contentTypeMaxChars)
    return refuse(response, badField('header', 'content-type', 'is too long'))
  const misfit = nameMisfit(name, limits)
  if (misfit !== undefined) return refuse(response, badField('path', 'type', misfit))
  if (body.length > limits.payloadMaxBytes) return refuse(response, tooLarge(limits))
  const stamp = sent.stamp === undefined ? undefined : readStamp(sent.stamp)
  if (sent.stamp !== undefined && stamp === undefined)
    return refuse(response, badStamp('header', 'pike-stamp'))
  const uplink: Uplink = { name, payload: body, contentType, ...(stamp && { stamp }) }
  await take(visitor, channel, [uplink], response)
}

/**
 * Many events, one JSON object a line, kept together or not at all:
 * `{"type":"door-opened","payload":{"door":7},"stamp":"9.1"}`.
 */
export async function receiveEvents(
  visitor: Visitor,
  sent: Sent,
  limits: Limits,
  response: ServerResponse,
): Promise<void> {
  const channel = channelOf(sent.channel)
  if (typeof channel !== 'string') return refuse(response, channel)
  const uplinks = readLines(sent.body ?? nothing, limits)
  if ('problem' in uplinks) return refuse(response, uplinks)
  if (uplinks.length === 0) return empty(response)
  await take(visitor, channel, uplinks, response)
}

/** The answer to a command: a fact, whatever link it came by (rule 19). */
export async function receiveReply(
  visitor: Visitor,
  id: string,
  sent: Sent,
  limits: Limits,
  response: ServerResponse,
): Promise<void> {
  const stamp = sent.stamp === undefined ? undefined : readStamp(sent.stamp)
  if (sent.stamp !== undefined && stamp === undefined)
    return refuse(response, badStamp('header', 'pike-stamp'))
  const reply = readReply(sent.body ?? nothing, limits)
  if ('problem' in reply) return refuse(response, reply)
  const intake = await wayUp(visitor)
  if ('problem' in intake) return refuse(response, intake)
  intake.reply(id, { ...reply, ...(stamp && { stamp }) }, (outcome) => {
    if (outcome === 'kept') {
      const place = locateCommand(visitor.app, id)
      for (const link of visitor.links.values()) if (place !== undefined) link.replied(id)
    }
    settled(response, outcome)
  })
}

async function take(
  visitor: Visitor,
  channel: ChannelName,
  uplinks: readonly Uplink[],
  response: ServerResponse,
): Promise<void> {
  const intake = await wayUp(visitor)
  if ('problem' in intake) return refuse(response, intake)
  intake.receive(channel, uplinks, (outcome) => settled(response, outcome))
}

async function wayUp(visitor: Visitor): Promise<Intake | Refusal> {
  const intake = await visitor.intake()
  if ('problem' in intake) return intake
  // It has as many on their way as it may, or its app is over its quota.
  return intake.wants(noMore) ? intake : refusalOf('rate-limited', limitedMs)
}

const noMore = (): void => {}

/** It is told only when what the answer promises has happened. */
function settled(response: ServerResponse, outcome: Taken | Answered): void {
  if (outcome === 'kept') empty(response)
  else refuse(response, refusals[outcome])
}

const refusals: Record<Exclude<Taken | Answered, 'kept'>, Refusal> = {
  stale: { problem: 'stale-stamp' },
  unknown: { problem: 'unknown-command' },
  'unknown-channel': refusalOf('unknown-channel'),
  unavailable: refusalOf('unavailable', unavailableMs),
}

export function empty(response: ServerResponse): void {
  if (response.headersSent || response.destroyed) return
  response.statusCode = 204
  response.end()
}

function channelOf(named: string | undefined): ChannelName | Refusal {
  if (named === undefined) return mainChannel
  return isIdentifier(named) ? named : badField('query', 'channel', 'is no name of a channel')
}

function nameMisfit(name: unknown, { nameMaxBytes }: Limits): string | undefined {
  if (typeof name !== 'string' || name === '') return 'must be a name'
  return Buffer.byteLength(name) > nameMaxBytes ? `is longer than ${nameMaxBytes} bytes` : undefined
}

const tooLarge = ({ payloadMaxBytes }: Limits): Refusal => ({
  problem: 'too-large',
  said: { detail: `a payload has at most ${payloadMaxBytes} bytes` },
})

function readLines(body: Buffer, limits: Limits): readonly Uplink[] | Refusal {
  const cutter = new LineCutter(httpBounds.eventsBodyMaxBytes)
  cutter.feed(body)
  const uplinks: Uplink[] = []
  for (let at = 1; ; at++) {
    const line = cutter.next() ?? cutter.last()
    if (line === undefined) return uplinks
    if (line === tooLong) return { problem: 'too-large' }
    if (isBlank(line)) continue
    if (uplinks.length === httpBounds.eventsMaxLines)
      return {
        problem: 'too-large',
        said: { detail: `at most ${httpBounds.eventsMaxLines} events in one request` },
      }
    const uplink = readLine(line, limits)
    if ('problem' in uplink) {
      const { said, problem } = uplink
      return { problem, said: { ...said, line: at, detail: `line ${at}: ${said?.detail ?? ''}` } }
    }
    uplinks.push(uplink)
  }
}

function readLine(line: Buffer, limits: Limits): Uplink | Refusal {
  const read = readJson(line)
  if ('problem' in read) return read
  const { value, sent } = read
  if (!isObject(value)) return badField('body', '', 'must be an object')
  const { type, stamp: stampText } = value
  const misfit = nameMisfit(type, limits)
  if (misfit !== undefined) return badField('body', '/type', misfit)
  const carried = readCarried(value, sent, limits)
  if ('problem' in carried) return carried
  const stamp = typeof stampText === 'string' ? readStamp(stampText) : undefined
  if (stampText !== undefined && stamp === undefined) return badStamp('body', '/stamp')
  return { name: type as string, ...carried, ...(stamp && { stamp }) }
}

function readReply(body: Buffer, limits: Limits): Reply | Refusal {
  const read = readJson(body)
  if ('problem' in read) return read
  const { value, sent } = read
  if (!isObject(value)) return badField('body', '', 'must be an object')
  const { status, reason } = value
  if (status !== 'done' && status !== 'failed' && status !== 'rejected')
    return badField('body', '/status', 'must be one of done, failed, rejected')
  const misfit = reason === undefined ? undefined : nameMisfit(reason, limits)
  if (misfit !== undefined) return badField('body', '/reason', misfit)
  const carried = readCarried(value, sent, limits)
  if ('problem' in carried) return carried
  return { status, ...(reason !== undefined && { reason: reason as string }), ...carried }
}

/** `payload`, or `payloadBase64` with its `contentType`. */
function readCarried(
  { payload, payloadBase64, contentType }: Record<string, unknown>,
  sent: Parameters<typeof readPayload>[1],
  limits: Limits,
): { readonly payload: Uint8Array; readonly contentType: string } | Refusal {
  if (payloadBase64 !== undefined && typeof payloadBase64 !== 'string')
    return badField('body', '/payloadBase64', 'must be text')
  if (contentType !== undefined) {
    if (typeof contentType !== 'string' || contentType === '')
      return badField('body', '/contentType', 'must be text')
    if (contentType.length > httpBounds.contentTypeMaxChars)
      return badField('body', '/contentType', 'is too long')
  }
  const carried = readPayload(
    {
      payload,
      ...(payloadBase64 !== undefined && { payloadBase64 }),
      ...(contentType !== undefined && { contentType }),
    },
    sent,
  )
  if ('path' in carried) return badField('body', carried.path, carried.message)
  return carried.payload.length > limits.payloadMaxBytes ? tooLarge(limits) : carried
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
