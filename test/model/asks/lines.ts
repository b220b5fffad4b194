import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { limits } from '../limits.ts'
import type { Ask, Caller, Story } from '../story.ts'
import { applyCast, type CastAsked, castFields, expectCast } from './broadcasts.ts'
import { resolved } from './commands.ts'
import { changed, type DeviceBody, deviceBody, doubtful } from './devices.ts'
import { aliasName, as, deviceName, tagName } from './names.ts'
import {
  applySend,
  expectSend,
  lostSend,
  makePost,
  type PostFields,
  postFields,
  remembered,
  repeatOf,
} from './post.ts'

const target = fc.oneof(
  { weight: 5, arbitrary: fc.record({ device: deviceName }) },
  { weight: 1, arbitrary: fc.record({ alias: aliasName }) },
  { weight: 1, arbitrary: fc.record({ tag: tagName }) },
  { weight: 1, arbitrary: fc.constantFrom({}, { device: 'd1', tag: 't1' }) },
)

export const lineAsks = {
  many: fc.record({
    do: fc.constant('many' as const),
    as,
    lines: fc.array(
      fc.record({
        to: target as fc.Arbitrary<{ device?: string; alias?: string; tag?: string }>,
        key: fc.constantFrom(undefined, undefined, undefined, 'k1', 'k2', 'k4'),
        blank: fc.constantFrom(false, false, false, false, true),
        ...castFields,
        ...postFields,
      }),
      { minLength: 1, maxLength: 5 },
    ),
    header: fc.constantFrom(...new Array(9).fill(undefined), 'key', 'json'),
  }),
  /** A call that is not over when another comes, or the gateway stops. */
  lasting: fc.record({
    do: fc.constant('lasting' as const),
    stops: fc.boolean(),
    device: deviceName,
  }),
  register: fc.record({
    do: fc.constant('register' as const),
    as,
    lines: fc.array(
      fc.record({
        device: fc.oneof(
          { weight: 8, arbitrary: deviceName },
          { weight: 1, arbitrary: fc.constant('no way') },
        ),
        ...deviceBody,
      }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    csv: fc.constantFrom(false, false, true),
    header: fc.constantFrom(...new Array(9).fill(undefined), 'json', 'column'),
  }),
}

type Of<K extends keyof typeof lineAsks> =
  (typeof lineAsks)[K] extends fc.Arbitrary<infer T> ? T : never

const ndjson = 'application/x-ndjson'

/** The answers of a call line by line, each as `202` or `404 unknown-device`. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function answersOf(story: Story, text: string): { line: number; said: string; view: any }[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const view = JSON.parse(line)
      const problem =
        view.problem === undefined ? '' : ` ${view.problem.type.slice('/problems/'.length)}`
      const said = `${view.status}${problem}`
      assert.notEqual(problem, ' internal', line)
      story.figures.line(said)
      return { line: view.line, said, view }
    })
}

export const lines = {
  async many(story: Story, fields: Of<'many'>) {
    const caller = story.caller(fields.as, 'commands')
    const { app, key } = caller
    const asked = fields.lines.map((line) => {
      const { to, rate, stopAfterFailures } = line
      const post = makePost(story, line as PostFields, {
        to,
        idempotencyKey: line.key,
        ...(to.tag !== undefined && { rate, stopAfterFailures, notBefore: undefined }),
      })
      const isOne = Object.keys(to).length === 1
      const raw = line.blank ? '  ' : post.raw
      const idempotency =
        line.key === undefined ? undefined : { key: line.key, hash: `POST /v1/commands\n${raw}` }
      const cast: CastAsked = {
        tag: to.tag ?? '',
        askedBy: key.name,
        rate,
        stopAfterFailures,
        idempotency,
      }
      const spec = to.tag === undefined ? post.spec : { ...post.spec, notBeforeMs: undefined }
      // To whom is asked before how large its payload is.
      const nobody = isOne ? undefined : '400 invalid-request'
      const flaw =
        post.flaw === '413 payload-too-large' ? (nobody ?? post.flaw) : (post.flaw ?? nobody)
      return { line, to, raw, idempotency, cast, post: { ...post, spec }, flaw }
    })
    const raw = asked.map((one) => `${one.raw}\n`).join('')
    const headers = {
      'content-type': fields.header === 'json' ? 'application/json' : ndjson,
      ...(fields.header === 'key' && { 'idempotency-key': 'k1' }),
    }
    const ask: Ask = { method: 'POST', route: '/v1/commands', url: '/v1/commands', raw, headers }
    const may = { key: '400 invalid-request', json: '415 unsupported-media-type' }[
      fields.header as 'key'
    ]
    const held = may === undefined && caller.refusal === undefined ? drive(story) : undefined
    const answer = await story.call(ask, [may ?? '200'], caller)
    held?.()
    if (answer.status !== 200) return
    const answers = answersOf(story, answer.text)
    let next = 0
    for (const [index, one] of asked.entries()) {
      if (one.line.blank) continue
      const { line, said, view } = answers[next++]!
      assert.equal(line, index + 1, 'answered in the order of the lines')
      const isOver = story.excuses(ask, { said } as never)
      const device =
        one.to.device ??
        (one.to.alias === undefined ? undefined : resolved(story, app, one.to.alias))
      const lost = () => lostSend(story, app, one.post, { ...one.cast, tag: one.to.tag, device })
      if (isOver) {
        if (
          story.broken &&
          one.flaw === undefined &&
          (device !== undefined || one.to.tag !== undefined)
        )
          lost()
        continue
      }
      const known = one.to.tag === undefined ? remembered(story, app, one.idempotency) : undefined
      const noSecret = one.post.spec.callback !== undefined && !app.webhooks.has('callbacks')
      const expected =
        one.flaw !== undefined
          ? [one.flaw]
          : noSecret
            ? ['409 no-callback-secret']
            : one.to.tag !== undefined
              ? expectCast(story, app, one.cast)
              : device === undefined
                ? known === undefined
                  ? ['404 unknown-alias']
                  : repeatOf(known)
                : expectSend(story, app, device, one.post, one.idempotency)
      // Lines wait for the quota; and the pump may or may not have come to those before it.
      const loose =
        expected.includes('202') &&
        one.to.tag === undefined &&
        story.isAttached(`${app.name}/${device}/${one.post.spec.channel}`)
      // Lines are under way side by side: what a key stands for may be what a later line asked for.
      const shared =
        one.idempotency !== undefined &&
        asked.some((it) => it !== one && it.line.key === one.line.key)
      const alone = { ...one.cast, idempotency: undefined }
      const first =
        one.to.tag !== undefined
          ? expectCast(story, app, alone)
          : device === undefined
            ? ['404 unknown-alias']
            : expectSend(story, app, device, one.post, undefined)
      const allowed = [
        ...expected,
        ...(shared && one.flaw === undefined && !noSecret ? first : []),
        ...(loose ? ['429 mailbox-full'] : []),
        ...(shared && one.flaw === undefined ? ['409 idempotency-conflict'] : []),
      ]
      assert.ok(
        allowed.includes(said),
        `line ${line}: ${one.raw} was answered ${said}, not ${allowed.join(' or ')}`,
      )
      if (said !== '200' && said !== '202') continue
      if (one.to.tag !== undefined) applyCast(story, app, one.post, one.cast, view)
      else await accepted(story, caller, one, device!, view)
    }
    assert.equal(next, answers.length, 'an answer for each line')
  },

  async lasting(story: Story, { stops, device }: Of<'lasting'>) {
    if (story.failing || story.broken) return
    const { app, text } = story.caller(0, 'commands')
    if (app.quota !== undefined) return
    const body = new PassThrough()
    const headers = { authorization: `Bearer ${text}`, 'content-type': ndjson }
    const call = story.system.life.api.app.inject({
      method: 'POST',
      url: '/v1/commands',
      payload: body,
      headers,
    })
    const asking = call.then((it) => it)
    body.write(`{"to":{"device":"${device}-nobody"},"name":"x"}\n`)
    await story.system.quiet()
    if (stops) {
      await story.settle()
      for (const { line } of story.lockers.values()) if (line !== undefined) line.dead = true
      await story.system.restart()
      story.began()
      await story.recover()
    } else {
      const ask: Ask = {
        method: 'POST',
        route: '/v1/commands',
        url: '/v1/commands',
        raw: '{}',
        headers,
      }
      await story.call(ask, [limits.lineCallsMax > 1 ? '200' : '503 too-many-streams'])
    }
    body.end()
    const answers = answersOf(story, (await asking).payload)
    const expected = stops ? ['404 unknown-device', '503 stopping'] : ['404 unknown-device']
    assert.deepEqual(
      answers.map(({ said }) => said),
      expected,
    )
  },

  async register(story: Story, fields: Of<'register'>) {
    const caller = story.caller(fields.as, 'devices')
    const { app } = caller
    const isRows = fields.csv || fields.header === 'column'
    const asked = fields.lines.map(({ device, flaw, ...body }) => {
      const isBad = device === 'no way' || (!isRows && flaw === 'field')
      const more = !isRows && flaw === 'field' ? { tag: 'berlin' } : {}
      return {
        device,
        isBad,
        body: isRows ? rowBody(body) : body,
        raw: { device, ...body, ...more },
      }
    })
    const raw = isRows
      ? rows(asked, fields.header === 'column')
      : asked.map((one) => `${JSON.stringify(one.raw)}\n`).join('')
    const type = fields.header === 'json' ? 'application/json' : isRows ? 'text/csv' : ndjson
    const ask: Ask = {
      method: 'POST',
      route: '/v1/devices',
      url: '/v1/devices',
      raw,
      headers: { 'content-type': type },
    }
    const wrong = { json: '415 unsupported-media-type', column: '400 invalid-request' }[
      fields.header as 'json'
    ]
    const answer = await story.call(ask, [wrong ?? '200'], caller)
    if (answer.status !== 200) return
    const answers = answersOf(story, answer.text)
    assert.equal(answers.length, asked.length, 'an answer for each line')
    for (const [index, one] of asked.entries()) {
      const { line, said, view } = answers[index]!
      assert.equal(line, index + 1, 'answered in the order of the lines')
      const isNew = !app.devices.has(one.device)
      const after = one.isBad ? undefined : changed(story, app, one.device, one.body)
      if (after !== undefined && story.excuses(ask, { said } as never)) {
        doubtful(story, app, one.device, after)
        continue
      }
      assert.equal(
        said,
        one.isBad ? '400 invalid-request' : isNew ? '201' : '200',
        JSON.stringify(view),
      )
      if (after === undefined) continue
      app.devices.set(one.device, after)
      assert.equal(view.device, one.device)
      assert.equal(view.secret !== undefined, isNew && one.body.secret === undefined, 'shown once')
    }
  },
}

/** Lines over the quota wait: time must pass for them while the call is under way. */
function drive(story: Story): () => void {
  let over = false
  const step = () => {
    if (over) return
    const waiting = story.system.clock.waiting().find(({ name }) => name === 'lines over quota')
    if (waiting !== undefined) story.system.clock.set(Math.max(waiting.atMs, story.nowMs))
    setImmediate(step)
  }
  step()
  return () => {
    over = true
  }
}

async function accepted(
  story: Story,
  { app, key }: Caller,
  one: {
    readonly post: ReturnType<typeof makePost>
    readonly idempotency: CastAsked['idempotency']
  },
  device: string,
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
  view: any,
): Promise<void> {
  if (app.commands.has(view.id)) {
    assert.ok(
      one.idempotency !== undefined && app.remembered.get(one.idempotency.key)?.id === view.id,
    )
    return
  }
  // A line is answered with the id alone; the rest is looked up.
  const found = await story.ledger.find(app, view.id)
  assert.ok(found, `${view.id} was answered and is lost`)
  const { command } = found
  const asked = { device, askedBy: key.name, idempotency: one.idempotency }
  const isLater = command.epoch === 0
  applySend(
    story,
    app,
    one.post,
    asked,
    {
      ...{ id: view.id, device, channel: one.post.spec.channel },
      expiresAt: new Date(command.expiresAtMs).toISOString(),
      ...(isLater ? {} : { epoch: command.epoch, offset: command.offset }),
      ...(command.notBeforeMs !== undefined && {
        notBefore: new Date(command.notBeforeMs).toISOString(),
      }),
    },
    command.acceptedAtMs,
  )
}

/** What a row can say, and what it then means. */
const rowBody = ({ secret, disabled, tags, attributes }: DeviceBody): DeviceBody => ({
  secret,
  disabled,
  tags: tags?.length === 0 ? undefined : tags,
  attributes:
    attributes === undefined
      ? undefined
      : Object.fromEntries(
          Object.entries(attributes as object).map(([name, value]) => [name, String(value)]),
        ),
})

const own = (attributes: unknown, name: string): string =>
  attributes !== undefined && Object.hasOwn(attributes as object, name)
    ? (attributes as Record<string, string>)[name]!
    : ''

function rows(
  asked: readonly { readonly device: string; readonly body: DeviceBody }[],
  strange: boolean,
): string {
  const named = [
    ...new Set(asked.flatMap(({ body }) => Object.keys((body.attributes as object) ?? {}))),
  ]
  const header = [
    'device',
    'secret',
    'disabled',
    'tags',
    ...named.map((name) => `attributes.${name}`),
  ]
  if (strange) header.push('colour')
  const cells = asked.map(({ device, body }) => [
    `"${device}"`,
    body.secret ?? '',
    body.disabled === undefined ? '' : String(body.disabled),
    body.tags?.join(';') ?? '',
    ...named.map((name) => own(body.attributes, name)),
    ...(strange ? ['red'] : []),
  ])
  return [header, ...cells].map((row) => `${row.join(',')}\r\n`).join('')
}
