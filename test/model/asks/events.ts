import assert from 'node:assert/strict'
import fc from 'fast-check'
import { eventKinds } from '../../../src/contract/index.ts'
import type { App } from '../state.ts'
import type { Ask, Caller, Story } from '../story.ts'
import { as, deviceName, nth } from './names.ts'

export const eventAsks = {
  events: fc.record({
    do: fc.constant('events' as const),
    as,
    /** Where to go on: the oldest kept, one that was told, or what nobody gave. */
    after: fc.constantFrom(
      'start',
      'start',
      'told',
      'told',
      'told',
      'last',
      'made-up',
      'wrong',
      'foreign',
    ),
    which: fc.nat(10_000),
    limit: fc.constantFrom(undefined, 1, 3, 0),
    device: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: deviceName },
    ),
    types: fc.constantFrom<(readonly string[] | undefined)[]>(
      undefined,
      undefined,
      ['command.ended'],
      ['event,reply'],
      ['presence', 'command.late'],
      ['birthday'],
    ),
    tag: fc.constantFrom(undefined, undefined, undefined, 't1', 'nobody'),
    wait: fc.constantFrom(undefined, undefined, undefined, 3),
  }),
  follow: fc.record({
    do: fc.constant('follow' as const),
    as,
    which: fc.nat(10_000),
    fromNow: fc.boolean(),
  }),
}

type Of<K extends keyof typeof eventAsks> =
  (typeof eventAsks)[K] extends fc.Arbitrary<infer T> ? T : never

export const events = {
  async events(story: Story, fields: Of<'events'>) {
    const { after, which, limit, device, types, tag, wait } = fields
    const caller = story.caller(fields.as, 'events')
    const { app } = caller
    const from = cursor(story, app, after, which)
    const query = [
      from.after && `after=${from.after}`,
      limit !== undefined && `limit=${limit}`,
      device && `device=${device}`,
      tag && `tag=${tag}`,
      wait && `wait=${wait}`,
      ...(types ?? []).map((type) => `type=${type}`),
    ]
    const url = `/v1/events?${query.filter(Boolean).join('&')}`
    const ask: Ask = { method: 'GET', route: '/v1/events', url }
    const kinds = types?.flatMap((list) => list.split(','))
    const isWrong =
      after === 'wrong' || limit === 0 || kinds?.some((kind) => !eventKinds.some((k) => k === kind))
    const may = isWrong
      ? ['400 invalid-request']
      : from.mayBeGone
        ? ['200', '410 cursor-gone']
        : ['200']
    const asking = story.raw(ask, caller)
    void asking.catch(() => {})
    if (wait !== undefined) {
      await story.system.quiet()
      await story.pass(wait * 1_000)
    }
    const answer = await asking
    story.judgeAnswer(ask, answer, from.isGone && !isWrong ? ['410 cursor-gone'] : may, caller)
    if (answer.said === '410 cursor-gone')
      assert.match(answer.body.oldest, /^[0-9a-z]{1,7}-[0-9a-z]{10}$/)
    if (answer.status !== 200 || story.broken) return
    // What was kept in this call's own time is told to the model first.
    await story.settle()
    const { told } = app.log
    const start = from.at
    // biome-ignore lint/suspicious/noExplicitAny: events are looked into field by field
    const fits = (event: any) =>
      (device === undefined || event.device === device) &&
      (kinds === undefined || kinds.includes(event.type))
    const { items, next, caughtUp } = answer.body
    assert.ok(items.length <= (limit ?? 100))
    const end = next === from.after ? start : told.findIndex(({ id }) => id === next) + 1
    const expected = told.slice(start, Math.max(start, end)).filter(fits)
    const has = (name: string) =>
      tag === undefined || app.devices.get(name)?.tags.includes(tag) === true
    const kept = expected.filter(
      (event) => Date.parse(event.at) > story.nowMs - story.forgetsMs && has(event.device),
    )
    const shown = items.map(({ id }: { id: string }) => id)
    // Those that may be forgotten by their age may be there or not.
    const surely = new Set(kept.map(({ id }) => id))
    const young = shown.filter((id: string) => surely.has(id))
    for (const id of shown)
      assert.ok(
        told.some((event) => event.id === id),
        `${id} is of this app`,
      )
    // A cursor of another log means nothing here.
    if (wait === undefined && after !== 'foreign') {
      assert.deepEqual(
        young,
        kept.map(({ id }) => id),
        `${url}: up to ${next}`,
      )
      for (const item of items)
        assert.deepEqual(
          item,
          told.find(({ id }) => id === item.id),
          'an event never changes',
        )
      if (caughtUp)
        assert.ok(
          end === told.length || told.length === 0 || end === 0,
          `${url}: caught up at ${end} of ${told.length}`,
        )
      else assert.ok(items.length > 0 || tag !== undefined, 'not caught up, and nothing shown')
    }
  },

  /** As server-sent events: what follows a cursor, as it comes. */
  async follow(story: Story, { as, which, fromNow }: Of<'follow'>) {
    const caller = story.caller(as, 'events')
    if (caller.refusal !== undefined || story.broken) return
    const { app } = caller
    const from = cursor(story, app, fromNow ? 'last' : 'told', which)
    if (from.isGone || from.mayBeGone) return
    const expected = fromNow ? [] : app.log.told.slice(from.at)
    const answer = await story.system.life.api.app.inject({
      method: 'GET',
      url: '/v1/events',
      headers: {
        authorization: `Bearer ${caller.text}`,
        accept: 'text/event-stream',
        ...(!fromNow && from.after && { 'last-event-id': from.after }),
      },
      payloadAsStream: true,
    })
    assert.equal(answer.statusCode, 200)
    story.figures.called('GET /v1/events (stream)', '200')
    let text = ''
    const stream = answer.stream()
    stream.setEncoding('utf8')
    stream.on('data', (part: string) => {
      text += part
    })
    await story.system.quiet()
    const ids = text
      .split('\n')
      .filter((line) => line.startsWith('data:'))
      .map((line) => JSON.parse(line.slice(5)).id)
    stream.destroy()
    answer.raw.res.destroy()
    await story.system.quiet()
    if (from.after === undefined && !fromNow) return
    assert.deepEqual(
      ids,
      expected.map(({ id }) => id),
      `after ${from.after}`,
    )
  },
}

interface From {
  readonly after: string | undefined
  /** How many of those told lie before it. */
  readonly at: number
  readonly isGone: boolean
  readonly mayBeGone: boolean
}

function cursor(story: Story, app: App, after: Of<'events'>['after'], which: number): From {
  const { told } = app.log
  const start: From = { after: undefined, at: 0, isGone: false, mayBeGone: false }
  if (after === 'start') return start
  if (after === 'wrong') return { ...start, after: 'yesterday' }
  if (after === 'made-up') return { ...start, after: 'zzz-0000000001', isGone: true }
  if (after === 'foreign') {
    const others = [...story.apps.values()].filter((other) => other !== app)
    const foreign = nth(
      others.flatMap((other) => other.log.told),
      which,
    )
    // A place in another log: it may happen to be one in this log too.
    if (foreign === undefined) return start
    const at = told.findIndex(({ id }) => id === foreign.id) + 1
    return { after: foreign.id, at, isGone: false, mayBeGone: true }
  }
  const event = after === 'last' ? told.at(-1) : nth(told, which)
  if (event === undefined) return start
  const at = told.indexOf(event) + 1
  const oldestMs = story.nowMs - story.forgetsMs
  return { after: event.id, at, isGone: false, mayBeGone: Date.parse(event.at) <= oldestMs }
}

export type { Caller }
