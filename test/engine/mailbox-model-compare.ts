import assert from 'node:assert/strict'
import type { AppId, ChannelId, Found, HistoryQuery, KeptEvent } from '../../src/contract/index.ts'
import { deviceKey, deviceOf } from '../../src/contract/index.ts'
import type { Rig } from '../support/engine-subject.ts'
import { allEvents, same } from '../support/engine-words.ts'
import type { Model, ModelCommand, Places } from './mailbox-model-state.ts'
import { bytesOf } from './mailbox-model-state.ts'

export const channels: readonly ChannelId[] = [
  'shop/ab/main',
  'shop/ab/urgent',
  'shop/abc/main',
  'shop2/ab/main',
]
const apps: readonly AppId[] = ['shop', 'shop2']

export const payloadOf = (name: string, bytes: number): Uint8Array =>
  Buffer.from(name.repeat(bytes).slice(0, bytes))

/** Does the engine hold what the model holds? Throws where not. Nothing is outstanding. */
export async function compare(rig: Rig, model: Model, places: Places): Promise<void> {
  for (const app of apps) await compareApp(rig, model, app)
  for (const channel of channels) await compareChannel(rig, model, places, channel)
  for (const device of new Set(channels.map(deviceOf))) await compareDevice(rig, model, device)
  await compareDue(rig, model)
}

/** Learn from the engine where it put what a crash left unanswered. */
export async function learnPlaces(rig: Rig, places: Places): Promise<void> {
  for (const channel of channels) {
    const head = await rig.engine.mailbox.open(channel)
    for (const { name, epoch, offset } of head.open) {
      if (!places.has(name)) places.set(name, { epoch, offset })
    }
  }
  for (const app of apps) {
    for (const event of await allEvents(rig, app)) {
      if (event.kind !== 'command.ended') continue
      const { name, epoch, offset } = event.ended
      if (!places.has(name)) places.set(name, { epoch, offset })
    }
  }
}

async function compareApp(rig: Rig, model: Model, app: AppId): Promise<void> {
  const events = await allEvents(rig, app)
  assert.deepEqual(events.map(labelOf), model.log(app), `events of ${app}`)
  const commands = channels
    .filter((channel) => channel.startsWith(`${app}/`))
    .flatMap((channel) => model.channel(channel).commands)
  const ended: Record<string, number> = {}
  for (const command of commands) {
    if (command.ended === undefined) continue
    const status = command.ended.slice(0, command.ended.indexOf('('))
    ended[status] = (ended[status] ?? 0) + 1
  }
  const open = commands.filter((command) => command.ended === undefined).length
  const counts = await rig.engine.mailbox.counts(app)
  assert.deepEqual(
    { accepted: counts.accepted, open: counts.open, ended: { ...counts.ended } },
    { accepted: commands.length, open, ended },
    `counts of ${app}`,
  )
}

async function compareChannel(
  rig: Rig,
  model: Model,
  places: Places,
  channel: ChannelId,
): Promise<void> {
  const { mailbox } = rig.engine
  const state = model.channel(channel)
  const open = model.open(channel)
  const undelivered = model.undelivered(channel)
  const head = await mailbox.open(channel)
  model.attached.add(channel)
  assert.deepEqual(
    head.open.map(({ name, epoch, offset, maybeSent, deliveredAtMs }) => ({
      ...{ name, epoch, offset, maybeSent, deliveredAtMs },
    })),
    open.map((command) => ({
      name: command.name,
      ...places.get(command.name),
      maybeSent: model.maybeSent(command),
      deliveredAtMs: command.deliveredAtMs,
    })),
    `open commands of ${channel}`,
  )
  const { top, sentUpTo, intended, uplinks } = head
  assert.deepEqual(
    { top, sentUpTo, intended, uplinks },
    {
      top: model.top(channel),
      sentUpTo: state.sentUpTo,
      intended: model.intended(channel),
      uplinks: state.uplinks,
    },
    `head of ${channel}`,
  )
  const lowest = Math.min(...undelivered.map((command) => model.offset(command)!))
  assert.ok(head.cursor < lowest && head.cursor <= top, `cursor of ${channel}`)
  const tried = undelivered.find((command) => model.offset(command) === state.attempts?.offset)
  if (tried !== undefined) assert.deepEqual(head.attempts, state.attempts)

  const read = await mailbox.read(channel, 0, 1_000)
  assert.deepEqual(
    read.commands.map(({ name, payload }) => ({ name, payload: Buffer.from(payload).toString() })),
    undelivered.map(({ name, bytes }) => ({
      name,
      payload: Buffer.from(payloadOf(name, bytes)).toString(),
    })),
    `read of ${channel}`,
  )
  assert.equal(read.lookedUpTo, top, `how far ${channel} was looked at`)
  same(await mailbox.depth(channel), {
    commands: open.length,
    bytes: bytesOf(open),
    oldestAtMs: open[0]?.acceptedAtMs,
  })
  for (const command of state.commands) {
    const { epoch, offset } = places.get(command.name)!
    const found = await mailbox.find(channel, epoch, offset)
    assert.equal(found && statusOf(found), command.ended ?? 'open', `find ${command.name}`)
    const other = (epoch % 0xffff_ffff) + 1
    assert.equal(await mailbox.find(channel, other, offset), undefined)
  }
}

async function compareDevice(rig: Rig, model: Model, device: string): Promise<void> {
  const commands = channels
    .filter((channel) => deviceOf(channel) === device)
    .flatMap((channel) => model.channel(channel).commands)
    .sort((a, b) => b.acceptedAtMs - a.acceptedAtMs)
  const expected = (query: HistoryQuery) =>
    commands
      .filter(({ ended = 'open' }) => query.status === undefined || ended.startsWith(query.status))
      .map(({ name, ended = 'open' }) => `${name} ${ended}`)
  for (const query of [
    { limit: 3 },
    { limit: 100, status: 'open' },
    { limit: 2, status: 'done' },
  ] as const) {
    const seen: string[] = []
    for (let next: HistoryQuery = query; ; ) {
      const page = await rig.engine.mailbox.history(device, next)
      seen.push(...page.items.map((item) => `${item.command.name} ${statusOf(item)}`))
      if (page.next === undefined) break
      next = { ...query, after: page.next }
    }
    assert.deepEqual(seen, expected(query), `history of ${device} by ${JSON.stringify(query)}`)
  }
}

async function compareDue(rig: Rig, model: Model): Promise<void> {
  const open = channels.flatMap((channel) => model.open(channel))
  const soonestMs = Math.min(...open.map((command: ModelCommand) => model.dueAtMs(command)))
  assert.ok(rig.engine.mailbox.nextDueMs() <= soonestMs, 'the next deadline')
  const nowMs = rig.clock.nowMs()
  const due = await rig.engine.mailbox.due(nowMs, 1_000)
  const names = (commands: readonly { readonly name: string }[]) =>
    commands.map(({ name }) => name).sort()
  assert.deepEqual(
    names(due),
    names(open.filter((command) => model.dueAtMs(command) <= nowMs)),
    'what is due',
  )
  assert.ok(rig.engine.mailbox.nextDueMs() <= soonestMs, 'the next deadline, asked again')
}

export const statusOf = (found: Found): string =>
  found.kind === 'open' ? 'open' : `${found.command.status}(${found.command.reason ?? ''})`

function labelOf(event: KeptEvent): string {
  if (event.kind === 'command.ended') {
    assert.ok(
      deviceKey(event.app, event.device) === deviceOf(event.ended.channel),
      'the event is of its command',
    )
    const { name, status, reason = '' } = event.ended
    return `${name} ${status}(${reason})`
  }
  return event.kind === 'event' ? event.name : event.kind
}
