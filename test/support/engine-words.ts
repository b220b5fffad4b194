import assert from 'node:assert/strict'
import type {
  Appended,
  AppendOptions,
  ChannelId,
  Command,
  EndStatus,
  Engine,
  KeptCommand,
  KeptEvent,
  NewEvent,
  Offset,
  Settled,
  Settlement,
} from '../../src/contract/index.ts'
import type { ManualClock } from './manual-clock.ts'

/** Short words for what exams do to an engine all the time. */

export const roomy: AppendOptions = {
  maxCommands: 1_000,
  maxBytes: 1_048_576,
  overflow: 'reject',
  intendUpTo: 0,
}

/** A live link takes it at once. */
export const linked = { intendUpTo: Number.MAX_SAFE_INTEGER } as const

/** A command accepted now, good for a minute. */
export const command = (clock: ManualClock, parts: Partial<Command> = {}): Command => ({
  name: 'open',
  payload: Buffer.from('{"door":7}'),
  contentType: 'application/json',
  delivery: 'queue',
  expect: 'ack',
  acceptedAtMs: clock.nowMs(),
  expiresAtMs: clock.nowMs() + 60_000,
  replyTimeoutMs: 60_000,
  askedBy: 'shop',
  ...parts,
})

interface Running {
  readonly engine: Engine
  readonly clock: ManualClock
}

export const append = (
  { engine, clock }: Running,
  channel: ChannelId,
  parts: Partial<Command> = {},
  options: Partial<AppendOptions> = {},
): Promise<Appended> =>
  engine.mailbox.append(channel, command(clock, parts), { ...roomy, ...options })

/** Append what must find room. */
export async function keep(
  running: Running,
  channel: ChannelId,
  parts: Partial<Command> = {},
  options: Partial<AppendOptions> = {},
): Promise<KeptCommand> {
  const appended = await append(running, channel, parts, options)
  assert.ok(appended.kind === 'kept', `not kept but ${appended.kind}`)
  return appended.command
}

export const settle = (
  { engine }: Running,
  channel: ChannelId,
  settlement: Partial<Settlement>,
): Promise<Settled> =>
  new Promise((resolve) => {
    engine.mailbox.settle(channel, { changes: [], ...settlement }, resolve)
  })

/** The change that ends a command. */
export const end = (offset: Offset, status: EndStatus, atMs: number) =>
  ({ kind: 'ended', offset, status, atMs }) as const

/** Names of what can be read, in order. */
export async function readNames(
  { engine }: Running,
  channel: ChannelId,
  after = 0,
  max = 1_000,
): Promise<readonly string[]> {
  return (await engine.mailbox.read(channel, after, max)).commands.map(({ name }) => name)
}

export const logEvents = ({ engine }: Running, events: readonly NewEvent[]): Promise<Settled> =>
  new Promise((resolve) => {
    engine.events.append(events, resolve)
  })

/** All events of an app, page by page. */
export async function allEvents(
  { engine }: Running,
  app: string,
  after?: string,
): Promise<readonly KeptEvent[]> {
  const items: KeptEvent[] = []
  for (let cursor = after; ; ) {
    const page = await engine.events.read(app, { limit: 7, ...(cursor && { after: cursor }) })
    assert.ok(page.kind === 'page', 'the cursor is gone')
    items.push(...page.items)
    cursor = page.next
    if (page.caughtUp) return items
  }
}

/** What ended, in the order it did: `name status(reason)`. */
export async function endings(running: Running, app: string): Promise<readonly string[]> {
  const events = await allEvents(running, app)
  return events.flatMap((event) =>
    event.kind === 'command.ended'
      ? [`${event.ended.name} ${event.ended.status}(${event.ended.reason ?? ''})`]
      : [],
  )
}

/**
 * The same value in comparable words: bytes as hex, whatever class they have; what is undefined,
 * left out; a name like `__proto__`, a name.
 */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, part]) => part !== undefined)
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, plain(v)]))
}

export const same = (actual: unknown, expected: unknown, message?: string): void =>
  assert.deepEqual(plain(actual), plain(expected), message)
