import assert from 'node:assert/strict'
import fc from 'fast-check'
import { endStatuses } from '../../../src/contract/index.ts'
import { type App, type Command, isOpen, maybeSent } from '../state.ts'
import type { Answer, Ask, Caller, Sent, Story } from '../story.ts'
import { aliasName, as, deviceName, nth } from './names.ts'
import {
  applySend,
  expectSend,
  type Idempotency,
  isAccepted,
  judgeView,
  lostSend,
  makePost,
  type Post,
  type PostFields,
  postFields,
  remembered,
  repeatOf,
} from './post.ts'

export const commandAsks = {
  send: fc.record({
    do: fc.constant('send' as const),
    as,
    device: deviceName,
    alias: fc.oneof(
      { weight: 4, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: aliasName },
    ),
    key: fc.constantFrom(undefined, undefined, 'k1', 'k2', 'k3', 'bad key'),
    wait: fc.constantFrom(undefined, undefined, undefined, 2, 45),
    ...postFields,
  }),
  repeat: fc.record({ do: fc.constant('repeat' as const), which: fc.nat(1_000) }),
  look: fc.record({
    do: fc.constant('look' as const),
    as,
    which: fc.nat(1_000),
    explain: fc.boolean(),
    strange: fc.constantFrom(
      undefined,
      undefined,
      undefined,
      undefined,
      'no-id',
      'd1:main:1:1',
      'foreign',
    ),
  }),
  cancel: fc.record({
    do: fc.constant('cancel' as const),
    as,
    which: fc.nat(1_000),
    strange: fc.constantFrom(
      undefined,
      undefined,
      undefined,
      undefined,
      'no-id',
      'd1:main:1:1',
      'foreign',
    ),
  }),
  history: fc.record({
    do: fc.constant('history' as const),
    as,
    device: deviceName,
    status: fc.constantFrom(undefined, undefined, 'open', 'later', ...endStatuses),
    limit: fc.constantFrom(undefined, 1, 2, 1_000, 0, 1_001),
  }),
}

type Of<K extends keyof typeof commandAsks> =
  (typeof commandAsks)[K] extends fc.Arbitrary<infer T> ? T : never

/** What is asked, and what is to be done with the answer; not yet asked. */
export interface Prepared {
  readonly ask: Ask
  readonly caller: Caller
  readonly expect: () => readonly string[]
  readonly answered: (answer: Answer) => void
  /** No answer came. */
  readonly lost: () => void
  readonly name: string
  readonly idempotency: Idempotency | undefined
}

/** The command of a call that is held. */
async function heldId(
  story: Story,
  { caller, lost, name, idempotency }: Prepared,
): Promise<string | undefined> {
  const repeated = remembered(story, caller.app, idempotency)
  if (repeated !== undefined) return repeated.id
  lost()
  await story.ledger.claim(story.lost.pop()!, false)
  return [...caller.app.commands.values()].find(({ spec }) => spec.name === name)?.id
}

export function prepareSend(story: Story, fields: Of<'send'>): Prepared {
  const caller = story.caller(fields.as, 'commands')
  const { app, key } = caller
  const post = makePost(story, fields as PostFields)
  const { alias } = fields
  const resolve = () => (alias === undefined ? fields.device : resolved(story, app, alias))
  const url =
    alias === undefined ? `/v1/devices/${fields.device}/commands` : `/v1/aliases/${alias}/commands`
  const route =
    alias === undefined ? '/v1/devices/{device}/commands' : '/v1/aliases/{alias}/commands'
  const idempotency =
    fields.key === undefined ? undefined : { key: fields.key, hash: `POST ${url}\n${post.raw}` }
  const headers = {
    ...(fields.key !== undefined && { 'idempotency-key': fields.key }),
    ...(fields.wait !== undefined && { prefer: `wait=${fields.wait}` }),
  }
  const ask: Ask = { method: 'POST', route, url, raw: post.raw, headers }
  let device = resolve()
  // Nobody waits a second time.
  const again: Sent = {
    ask: { ...ask, key: key.text, headers: { 'idempotency-key': fields.key ?? '' } },
    again: (answer) => answered(answer),
    expect: () => expect(),
  }
  const asked = () => ({ device: device ?? '', askedBy: key.name, idempotency })
  const expect = () => {
    if (post.flaw !== undefined) return [post.flaw]
    if (fields.key === 'bad key') return ['400 invalid-request']
    if (post.spec.callback !== undefined && !app.webhooks.has('callbacks'))
      return ['409 no-callback-secret']
    device = resolve()
    const known = remembered(story, app, idempotency)
    if (known !== undefined) return repeatOf(known)
    if (device === undefined) return ['404 unknown-alias']
    return expectSend(story, app, device, post, idempotency)
  }
  const answered = (answer: Answer) => {
    if (story.broken && story.excuses(ask, answer)) lost()
    if (!isAccepted(answer) || caller.refusal !== undefined) return
    const command = applySend(story, app, post, asked(), answer.body)
    if (answer.status === 202)
      assert.equal(answer.headers.location, `/v1/commands/${command.id}`, 'Location leads to it')
    if (idempotency !== undefined) story.sent.push(again)
  }
  const lost = () => {
    if (caller.refusal !== undefined || fields.key === 'bad key' || device === undefined) return
    lostSend(story, app, post, { ...asked(), tag: undefined })
    if (idempotency !== undefined && post.flaw === undefined) story.sent.push(again)
  }
  return { ask, caller, expect, answered, lost, name: post.spec.name, idempotency }
}

export function resolved(story: Story, app: App, alias: string): string | undefined {
  const bound = app.aliases.get(alias)
  if (bound === undefined || (bound.expiresAtMs ?? Infinity) <= story.nowMs) return undefined
  return bound.device
}

export const commands = {
  async send(story: Story, fields: Of<'send'>) {
    const prepared = prepareSend(story, fields)
    const { ask, caller, expect, answered } = prepared
    if (fields.wait === undefined) {
      answered(await story.call(ask, expect(), caller))
      return
    }
    const may = expect()
    const asking = story.raw(ask, caller)
    let answer: Answer | undefined
    void asking.then(
      (it) => {
        answer = it
      },
      () => {},
    )
    await story.system.quiet()
    if (answer !== undefined) {
      const atOnce = may.includes('202') ? ['200', ...may] : may
      story.judgeAnswer(ask, await asking, atOnce, caller)
      answered(await asking)
      return
    }
    // It is held, so its command is kept and open.
    const id = await heldId(story, prepared)
    assert.ok(id, `${ask.url} is held, and nothing was kept`)
    await story.pass(fields.wait * 1_000)
    story.judgeAnswer(ask, await asking, ['200', '202'], caller)
    const { body } = await asking
    if (story.excuses(ask, await asking)) return
    assert.equal(body.id, id)
    const command = caller.app.commands.get(id)!
    if ((await asking).status === 200) judgeView(command, body, story.broken)
    else assert.ok(['queued', 'sent', 'delivered'].includes(body.status), body.status)
  },

  /** The same call again, with its key: after an answer, or because none came. */
  async repeat(story: Story, { which }: Of<'repeat'>) {
    const sent = nth(story.sent, which)
    if (sent === undefined) return
    const stillMay = [...story.apps.values()].some((app) =>
      [...app.keys.values()].some((key) => key.text === sent.ask.key),
    )
    if (!stillMay) return
    const { scopes } = [...story.apps.values()]
      .flatMap((app) => [...app.keys.values()])
      .find(({ text }) => text === sent.ask.key)!
    if (!scopes.includes('commands') && !scopes.includes('admin')) return
    sent.again(await story.call(sent.ask, sent.expect()))
  },

  async look(story: Story, { as, which, explain, strange }: Of<'look'>) {
    const caller = story.caller(as, 'commands')
    const { id, command } = pick(story, caller, which, strange)
    const url = `/v1/commands/${id}${explain ? '/explain' : ''}`
    const route = explain ? '/v1/commands/{command}/explain' : '/v1/commands/{command}'
    const may = [command === undefined ? '404 unknown-command' : '200']
    const answer = await story.call({ method: 'GET', route, url }, may, caller)
    if (answer.status !== 200 || command === undefined) return
    judgeView(command, explain ? answer.body.command : answer.body, story.broken)
    if (explain) judgeExplanation(story, command, answer.body)
  },

  async cancel(story: Story, { as, which, strange }: Of<'cancel'>) {
    const caller = story.caller(as, 'commands')
    const { id, command } = pick(story, caller, which, strange)
    const ask: Ask = {
      method: 'DELETE',
      route: '/v1/commands/{command}',
      url: `/v1/commands/${id}`,
    }
    const may =
      command === undefined
        ? ['404 unknown-command']
        : [
            isOpen(command) && !maybeSent(command) && command.acks.length === 0
              ? '200'
              : '409 not-cancelable',
          ]
    // Of a store that failed nobody knows yet what it counts as sent.
    const unsure = story.broken && command?.exposed === true
    const answer = await story.call(ask, unsure ? [...may, '409 not-cancelable'] : may, caller)
    if (command === undefined || caller.refusal !== undefined) return
    if (answer.status === 200) {
      assert.deepEqual([answer.body.status, answer.body.ended], ['canceled', true])
      command.cancels.push(story.fact())
    } else if (story.excuses(ask, answer)) command.cancels.push({ ...story.fact(), maybe: true })
    else if (!story.broken && answer.problem === 'not-cancelable') {
      const status = command.end?.status ?? (command.acks.length > 0 ? 'delivered' : 'sent')
      assert.deepEqual([answer.body.command, answer.body.commandStatus], [command.id, status])
    }
  },

  async history(story: Story, { as, device, status, limit }: Of<'history'>) {
    const caller = story.caller(as, 'commands')
    const isWrong = status === 'later' || limit === 0 || limit === 1_001
    const may = isWrong
      ? ['400 invalid-request']
      : [caller.app.devices.has(device) ? '200' : '404 unknown-device']
    const query = [status && `status=${status}`, limit !== undefined && `limit=${limit}`].filter(
      Boolean,
    )
    const route = '/v1/devices/{device}/commands'
    const url = `/v1/devices/${device}/commands?${query.join('&')}`
    let page = await story.call({ method: 'GET', route, url }, may, caller)
    if (page.status !== 200) return
    const all = [...page.body.items]
    for (let pages = 0; page.body.next !== null && pages < 500; pages++) {
      assert.ok(page.body.items.length <= (limit ?? 100))
      const after = encodeURIComponent(page.body.next)
      page = await story.call(
        { method: 'GET', route, url: `${url}&after=${after}` },
        ['200'],
        caller,
      )
      if (page.status !== 200) return
      all.push(...page.body.items)
    }
    const wanted = [...caller.app.commands.values()].filter(
      (one) =>
        one.device === device &&
        (status === undefined || (status === 'open' ? isOpen(one) : one.end?.status === status)),
    )
    const ids = all.map(({ id }) => id)
    assert.equal(new Set(ids).size, ids.length, 'no command twice')
    for (const view of all) {
      const command = caller.app.commands.get(view.id)
      assert.ok(command, `${view.id} in the history of ${device} was never asked for`)
      judgeView(command, view, story.broken)
    }
    const forgottenMs = story.nowMs - story.forgetsMs
    for (const one of wanted)
      if (isOpen(one) || one.end!.atMs > forgottenMs)
        assert.ok(ids.includes(one.id), `${one.id} is missing from the history of ${device}`)
    const times = all.map(({ acceptedAt }) => Date.parse(acceptedAt))
    assert.deepEqual(
      times,
      [...times].sort((a, b) => b - a),
      'newest first',
    )
  },
}

/** One that was scheduled is also found by its place; stores of one epoch have the same places. */
const at = (app: App, id: string): Command | undefined =>
  [...app.commands.values()].find(({ device, spec, place }) => {
    if (place === undefined || spec.notBeforeMs === undefined) return false
    return id === `${device}:${spec.channel}:${place.epoch.toString(36)}:${place.offset}`
  })

/** A command of the caller's app, or an id that is none of his. */
function pick(
  story: Story,
  { app }: Caller,
  which: number,
  strange: string | undefined,
): { readonly id: string; readonly command: Command | undefined } {
  const forgottenMs = story.nowMs - story.forgetsMs
  if (strange === 'foreign') {
    const others = [...story.apps.values()].filter((other) => other !== app)
    const foreign = nth(
      others.flatMap((other) => [...other.commands.keys()]),
      which,
    )
    const has = (one: Command) => foreign?.startsWith(`${one.device}:${one.spec.channel}:`) === true
    // What was canceled before its time has a place that nobody is told.
    const untold = [...app.commands.values()].some(
      (one) => one.end !== undefined && one.place === undefined && has(one),
    )
    const own = foreign && (app.commands.get(foreign) ?? at(app, foreign))
    const isForgotten = own && own.end !== undefined && own.end.atMs <= forgottenMs
    if (foreign !== undefined && !untold && isForgotten !== true)
      return { id: foreign, command: own || undefined }
  } else if (strange !== undefined) return { id: strange, command: app.commands.get(strange) }
  const known = [...app.commands.values()].filter(
    (one) => isOpen(one) || one.end!.atMs > forgottenMs,
  )
  const command = nth(known, which)
  return { id: command?.id ?? 'd1:main:zz:1', command }
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function judgeExplanation(story: Story, command: Command, said: any): void {
  const { code, session } = said
  const { end } = command
  const channel = `${command.app}/${command.device}/${command.spec.channel}`
  const about = `${command.id}: ${code}`
  if (end !== undefined) {
    assert.ok(code === `ended.${end.status}` || code === `ended.${end.status}.${end.reason}`, about)
    return
  }
  assert.match(code, /^waiting\./, about)
  if (story.broken) return
  if (command.place === undefined) assert.equal(code, 'waiting.not-before')
  else if (command.acks.length > 0) assert.equal(code, 'waiting.reply')
  else if (!story.isAttached(channel))
    assert.equal(code, maybeSent(command) ? 'waiting.device-after-sent' : 'waiting.no-link', about)
  assert.equal(session !== undefined, story.isAttached(channel), about)
}

export type { Post }
