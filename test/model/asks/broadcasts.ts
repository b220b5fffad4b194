import assert from 'node:assert/strict'
import fc from 'fast-check'
import { endStatuses, shareOfApp } from '../../../src/contract/index.ts'
import { limits } from '../limits.ts'
import { type App, type Broadcast, isOpen, maybeSent } from '../state.ts'
import type { Answer, Ask, Caller, Sent, Story } from '../story.ts'
import { pages } from './devices.ts'
import { as, nth, tagName } from './names.ts'
import {
  type Idempotency,
  lostSend,
  makePost,
  over,
  type Post,
  type PostFields,
  postFields,
  remembered,
} from './post.ts'

export const castFields = {
  rate: fc.constantFrom(undefined, undefined, 1, 2, 10_000),
  stopAfterFailures: fc.constantFrom(undefined, undefined, 1, 2),
}

export const broadcastAsks = {
  cast: fc.record({
    do: fc.constant('cast' as const),
    as,
    tag: fc.oneof(
      { weight: 8, arbitrary: tagName },
      { weight: 1, arbitrary: fc.constant('nobody') },
    ),
    key: fc.constantFrom(undefined, undefined, 'k1', 'k2', 'k3'),
    ...castFields,
    wrong: fc.constantFrom(...new Array(9).fill(undefined), 'rate', 'failures', 'later'),
    ...postFields,
  }),
  castReport: fc.record({
    do: fc.constant('castReport' as const),
    as,
    which: fc.nat(100),
    strange: fc.nat(9),
  }),
  casts: fc.record({
    do: fc.constant('casts' as const),
    as,
    limit: fc.constantFrom(undefined, 1, 2),
  }),
  members: fc.record({
    do: fc.constant('members' as const),
    as,
    which: fc.nat(100),
    status: fc.constantFrom(
      ...[undefined, undefined, 'waiting', 'not-placed', 'queued', 'sent'],
      ...endStatuses,
    ),
    limit: fc.constantFrom(undefined, 1, 2),
  }),
  halt: fc.record({ do: fc.constant('halt' as const), as, which: fc.nat(100), strange: fc.nat(9) }),
}

type Of<K extends keyof typeof broadcastAsks> =
  (typeof broadcastAsks)[K] extends fc.Arbitrary<infer T> ? T : never

export interface CastAsked {
  readonly tag: string
  readonly askedBy: string
  readonly rate: number | undefined
  readonly stopAfterFailures: number | undefined
  readonly idempotency: Idempotency | undefined
}

const taggedBy = (app: App, tag: string): string[] =>
  [...app.devices.values()].filter(({ tags }) => tags.includes(tag)).map(({ name }) => name)

export function expectCast(
  story: Story,
  app: App,
  { tag, idempotency }: CastAsked,
): readonly string[] {
  const known = remembered(story, app, idempotency)
  if (known !== undefined)
    return [
      known.same && !known.id.includes(':') ? '202' : '409 idempotency-conflict',
      ...over(story, app),
    ]
  const members = taggedBy(app, tag)
  const all = [...story.apps.values()].flatMap((each) => [...each.broadcasts.values()])
  const running = all.filter(({ state }) => state === 'running')
  const isFull =
    running.length >= limits.broadcastsMaxRunning ||
    running.filter((one) => one.app === app.name).length >= shareOfApp(limits.broadcastsMaxRunning)
  const fits =
    members.length === 0
      ? '404 unknown-tag'
      : members.length > limits.broadcastMaxDevices
        ? '409 too-many-devices'
        : '202'
  // What is looked at first is nobody's business.
  return [
    ...over(story, app),
    ...(isFull ? ['429 too-many-broadcasts'] : []),
    ...(isFull && fits === '202' ? [] : [fits]),
  ]
}

export function applyCast(
  story: Story,
  app: App,
  post: Post,
  asked: CastAsked,
  view: { readonly broadcast: string; readonly devices: number },
): void {
  const { tag, askedBy, rate, stopAfterFailures, idempotency } = asked
  const known = remembered(story, app, idempotency)
  if (known !== undefined) {
    assert.equal(view.broadcast, known.id, 'the same key, the same broadcast')
    return
  }
  const members = taggedBy(app, tag)
  assert.equal(view.devices, members.length, `${view.broadcast}: those who have the tag`)
  assert.ok(!app.broadcasts.has(view.broadcast), `${view.broadcast} was given twice`)
  app.broadcasts.set(view.broadcast, {
    ...{
      id: view.broadcast,
      app: app.name,
      tag,
      spec: post.spec,
      askedBy,
      rate,
      stopAfterFailures,
    },
    createdAtMs: story.nowMs,
    members: new Map(members.sort().map((name) => [name, undefined])),
    stopAskedAt: undefined,
    state: 'running',
    lives: 1,
  })
  if (idempotency !== undefined) {
    const { key, hash } = idempotency
    app.remembered.set(key, { hash, id: view.broadcast, atMs: story.nowMs })
  }
}

/** What a broadcast's view says is what became of its members. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function judgeCast(broadcast: Broadcast, view: any): void {
  const { id, tag, spec, askedBy, rate, stopAfterFailures, createdAtMs, members } = broadcast
  assert.deepEqual(
    [
      view.id,
      view.tag,
      view.name,
      view.channel,
      view.askedBy,
      view.rate,
      view.stopAfterFailures,
      view.createdAt,
      view.devices,
    ],
    [
      id,
      tag,
      spec.name,
      spec.channel,
      askedBy,
      rate,
      stopAfterFailures,
      new Date(createdAtMs).toISOString(),
      members.size,
    ],
  )
  const ended = Object.values(view.ended as Record<string, number>).reduce((a, b) => a + b, 0)
  const without = view.waiting + view.notPlaced
  assert.equal(without + view.open + ended, view.devices, `${id}: without a command + open + ended`)
  const none = view.state === 'stopped' ? view.waiting : view.notPlaced
  assert.equal(
    none,
    0,
    `${id}: only of one that was stopped members are not placed, and all of them`,
  )
  assert.equal(view.state === 'stopped', view.why !== undefined, `${id}: why`)
}

export const broadcasts = {
  async cast(story: Story, fields: Of<'cast'>) {
    const { tag, rate, stopAfterFailures, wrong } = fields
    const caller = story.caller(fields.as, 'commands')
    const { app, key } = caller
    const more: Record<string, unknown> = { rate, stopAfterFailures }
    if (wrong === 'rate') more.rate = 10_001
    else if (wrong === 'failures') more.stopAfterFailures = 0
    const later = wrong === 'later' ? 5 : undefined
    const post = makePost(story, { ...(fields as PostFields), notBefore: later }, more)
    const url = `/v1/tags/${tag}/commands`
    const idempotency =
      fields.key === undefined ? undefined : { key: fields.key, hash: `POST ${url}\n${post.raw}` }
    const asked: CastAsked = { tag, askedBy: key.name, rate, stopAfterFailures, idempotency }
    const ask: Ask = {
      method: 'POST',
      route: '/v1/tags/{tag}/commands',
      url,
      raw: post.raw,
      ...(fields.key !== undefined && { headers: { 'idempotency-key': fields.key } }),
    }
    const misfit = wrong === undefined ? undefined : '400 invalid-request'
    // How large a payload is is looked at last.
    const flaw =
      post.flaw === '413 payload-too-large' ? (misfit ?? post.flaw) : (post.flaw ?? misfit)
    const expect = () => {
      if (flaw !== undefined) return [flaw]
      if (post.spec.callback !== undefined && !app.webhooks.has('callbacks'))
        return ['409 no-callback-secret']
      return expectCast(story, app, asked)
    }
    const again: Sent = {
      ask: { ...ask, key: key.text },
      expect,
      again: (answer) => answered(answer),
    }
    const answered = (answer: Answer) => {
      if (caller.refusal !== undefined || flaw !== undefined) return
      if (story.broken && story.excuses(ask, answer))
        lostSend(story, app, post, { ...asked, device: undefined })
      if (answer.status === 202) {
        applyCast(story, app, post, asked, answer.body)
        assert.equal(answer.headers.location, `/v1/broadcasts/${answer.body.broadcast}`)
      }
      if (idempotency !== undefined && (answer.status === 202 || story.broken))
        story.sent.push(again)
    }
    answered(await story.call(ask, expect(), caller))
  },

  async castReport(story: Story, { as, which, strange }: Of<'castReport'>) {
    const caller = story.caller(as, 'commands')
    const { id, broadcast } = pick(story, caller, which, strange)
    const ask: Ask = {
      method: 'GET',
      route: '/v1/broadcasts/{broadcast}',
      url: `/v1/broadcasts/${id}`,
    }
    const answer = await story.call(
      ask,
      [broadcast === undefined ? '404 unknown-broadcast' : '200'],
      caller,
    )
    if (answer.status === 200) judgeCast(broadcast!, answer.body)
  },

  async casts(story: Story, { as, limit }: Of<'casts'>) {
    const caller = story.caller(as, 'commands')
    const all = await pages(story, caller, '/v1/broadcasts', '/v1/broadcasts', '', limit)
    if (all === undefined) return
    const ids = all.map(({ id }) => id)
    assert.deepEqual([...ids].sort(), [...caller.app.broadcasts.keys()].sort())
    const times = all.map(({ createdAt }) => createdAt)
    assert.deepEqual(times, [...times].sort().reverse(), 'newest first')
    for (const view of all) judgeCast(caller.app.broadcasts.get(view.id)!, view)
  },

  async members(story: Story, { as, which, status, limit }: Of<'members'>) {
    const caller = story.caller(as, 'commands')
    const { id, broadcast } = pick(story, caller, which, 0)
    const route = '/v1/broadcasts/{broadcast}/devices'
    const query = status === undefined ? '' : `&status=${status}`
    const may = [broadcast === undefined ? '404 unknown-broadcast' : '200']
    const all = await pages(story, caller, route, `/v1/broadcasts/${id}/devices`, query, limit, may)
    if (all === undefined || broadcast === undefined || story.broken) return
    const forgottenMs = story.nowMs - story.forgetsMs
    const kept = story.system.life.engine.broadcasts.find(caller.app.name, id)
    const without = kept?.state === 'stopped' ? 'not-placed' : 'waiting'
    const known = [...broadcast.members].map(([device, command]) => {
      if (command === undefined) return { device, status: without }
      const { id: named, end } = command
      const open = command.acks.length > 0 ? 'delivered' : maybeSent(command) ? 'sent' : 'queued'
      return { device, command: named, status: isOpen(command) ? open : end!.status }
    })
    const isForgotten = (device: string) => {
      const end = broadcast.members.get(device)?.end
      return end !== undefined && end.atMs <= forgottenMs
    }
    const wanted = known.filter((one) => status === undefined || one.status === status)
    const sure = (one: { device: string }) => !isForgotten(one.device)
    assert.deepEqual(all.filter(sure), wanted.filter(sure), `${id}: its members`)
  },

  async halt(story: Story, { as, which, strange }: Of<'halt'>) {
    const caller = story.caller(as, 'commands')
    const { id, broadcast } = pick(story, caller, which, strange)
    const ask: Ask = {
      method: 'DELETE',
      route: '/v1/broadcasts/{broadcast}',
      url: `/v1/broadcasts/${id}`,
    }
    const answer = await story.call(
      ask,
      [broadcast === undefined ? '404 unknown-broadcast' : '200'],
      caller,
    )
    if (broadcast === undefined || caller.refusal !== undefined) return
    const isSure = answer.status === 200
    const fact = { ...story.fact(), ...(!isSure && { maybe: true }) }
    broadcast.stopAskedAt ??= fact
    for (const command of broadcast.members.values())
      if (command !== undefined && isOpen(command)) command.cancels.push(fact)
    if (!isSure) return
    assert.notEqual(answer.body.state, 'running', `${id}: goes on`)
    judgeCast(broadcast, answer.body)
  },
}

/** A broadcast of the caller's app, or an id that is none of his. */
function pick(
  story: Story,
  { app }: Caller,
  which: number,
  strange: number,
): { readonly id: string; readonly broadcast: Broadcast | undefined } {
  const others = [...story.apps.values()].filter((other) => other !== app)
  const foreign = nth(
    others.flatMap((other) => [...other.broadcasts.keys()]),
    which,
  )
  if (strange === 9 && foreign !== undefined)
    return { id: foreign, broadcast: app.broadcasts.get(foreign) }
  const broadcast = nth([...app.broadcasts.values()], which)
  return { id: broadcast?.id ?? 'b0', broadcast }
}
