import assert from 'node:assert/strict'
import fc from 'fast-check'
import { limits } from '../limits.ts'
import type { App, Webhook } from '../state.ts'
import type { Ask, Story } from '../story.ts'
import { pages } from './devices.ts'
import { as, webhookName } from './names.ts'

export const webhookAsks = {
  hook: fc.record({
    do: fc.constant('hook' as const),
    as,
    webhook: webhookName,
    url: fc.constantFrom('https://example.com/a', 'https://example.com/b'),
    types: fc.constantFrom(
      undefined,
      ['command.ended' as const],
      ['event' as const, 'reply' as const],
    ),
    device: fc.constantFrom(undefined, undefined, 'd1'),
    tag: fc.constantFrom(undefined, undefined, 't1'),
    disabled: fc.constantFrom(undefined, true),
    flaw: fc.constantFrom(...new Array(8).fill(undefined), 'inward', 'no-url', 'type', 'field'),
  }),
  hooks: fc.record({
    do: fc.constant('hooks' as const),
    as,
    webhook: fc.oneof(
      { weight: 2, arbitrary: webhookName },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    limit: fc.constantFrom(undefined, 1),
  }),
  unhook: fc.record({ do: fc.constant('unhook' as const), as, webhook: webhookName }),
  resecret: fc.record({
    do: fc.constant('resecret' as const),
    as,
    webhook: webhookName,
    drop: fc.boolean(),
  }),
  letters: fc.record({
    do: fc.constant('letters' as const),
    as,
    webhook: webhookName,
    how: fc.constantFrom('GET' as const, 'POST' as const, 'DELETE' as const),
    one: fc.constantFrom(undefined, '1-0000000001', 'no event'),
  }),
}

type Of<K extends keyof typeof webhookAsks> =
  (typeof webhookAsks)[K] extends fc.Arbitrary<infer T> ? T : never

const iso = (ms: number) => new Date(ms).toISOString()

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function judgeHook(webhook: Webhook, { status: _status, secret: _secret, ...view }: any): void {
  const { name, body, secretIds, createdAtMs, changedAtMs } = webhook
  const { disabled = false, ...filters } = body
  const said = Object.fromEntries(
    Object.entries(filters).filter(([, value]) => value !== undefined),
  )
  const times = { createdAt: iso(createdAtMs), changedAt: iso(changedAtMs) }
  assert.deepEqual(view, { name, ...said, disabled, ...times, secretIds: [...secretIds] })
}

/** Its answer was lost: what is there is read; it is as before, or as asked for. */
function doubtful(story: Story, app: App, name: string, body: Webhook['body'] | undefined): void {
  story.doubts.push(async () => {
    const kept = story.system.life.engine.names.webhooks(app.name).find((one) => one.name === name)
    const before = app.webhooks.get(name)
    if (kept === undefined) {
      if (before !== undefined)
        assert.equal(body, undefined, `${app.name}: the webhook ${name} is lost`)
      app.webhooks.delete(name)
      return
    }
    const { createdAtMs, changedAtMs, secrets } = kept
    const isAsBefore = before?.changedAtMs === changedAtMs
    assert.ok(isAsBefore || body !== undefined)
    const secretIds = secrets.map(({ id }) => id)
    app.webhooks.set(name, {
      name,
      body: isAsBefore ? before.body : body!,
      secretIds,
      createdAtMs,
      changedAtMs,
    })
  })
}

export const webhooks = {
  async hook(story: Story, fields: Of<'hook'>) {
    const { webhook: name, flaw, do: _do, as, webhook: _name, ...body } = fields
    const caller = story.caller(as, 'events')
    const { app } = caller
    const before = app.webhooks.get(name)
    const sent: Record<string, unknown> = { ...body }
    if (flaw === 'inward') sent.url = 'https://10.1.2.3/'
    else if (flaw === 'no-url') delete sent.url
    else if (flaw === 'type') sent.types = []
    else if (flaw === 'field') sent.uri = 'https://example.com'
    const own = [...app.webhooks.keys()].filter((one) => one !== 'callbacks').length
    const isFull = before === undefined && own >= limits.webhooksMax
    const schema = flaw !== undefined && flaw !== 'inward'
    const may = schema
      ? '400 invalid-request'
      : name === 'callbacks'
        ? '409 reserved-name'
        : flaw !== undefined
          ? '400 invalid-request'
          : isFull
            ? '409 limit-reached'
            : before === undefined
              ? '201'
              : '200'
    const ask: Ask = {
      method: 'PUT',
      route: '/v1/webhooks/{webhook}',
      url: `/v1/webhooks/${name}`,
      body: sent,
    }
    const answer = await story.call(ask, [may], caller)
    if (caller.refusal !== undefined || (may !== '200' && may !== '201')) return
    if (story.excuses(ask, answer)) {
      doubtful(story, app, name, body)
      return
    }
    assert.equal(answer.body.secret !== undefined, before === undefined, 'shown once')
    const { secretIds } = answer.body
    if (before !== undefined) assert.deepEqual(secretIds, before.secretIds)
    const createdAtMs = before?.createdAtMs ?? story.nowMs
    app.webhooks.set(name, { name, body, secretIds, createdAtMs, changedAtMs: story.nowMs })
    judgeHook(app.webhooks.get(name)!, answer.body)
  },

  async hooks(story: Story, { as, webhook, limit }: Of<'hooks'>) {
    const caller = story.caller(as, 'events')
    const { app } = caller
    if (webhook !== undefined) {
      const known = app.webhooks.get(webhook)
      const ask: Ask = {
        method: 'GET',
        route: '/v1/webhooks/{webhook}',
        url: `/v1/webhooks/${webhook}`,
      }
      const answer = await story.call(
        ask,
        [known === undefined ? '404 unknown-webhook' : '200'],
        caller,
      )
      if (answer.status === 200) judgeHook(known!, answer.body)
      return
    }
    const all = await pages(story, caller, '/v1/webhooks', '/v1/webhooks', '', limit)
    if (all === undefined) return
    assert.deepEqual(
      all.map(({ name }) => name),
      [...app.webhooks.keys()].sort(),
    )
    for (const view of all) judgeHook(app.webhooks.get(view.name)!, view)
  },

  async unhook(story: Story, { as, webhook }: Of<'unhook'>) {
    const caller = story.caller(as, 'events')
    const { app } = caller
    const isThere = app.webhooks.has(webhook)
    const may =
      webhook === 'callbacks' ? '409 reserved-name' : isThere ? '204' : '404 unknown-webhook'
    const ask: Ask = {
      method: 'DELETE',
      route: '/v1/webhooks/{webhook}',
      url: `/v1/webhooks/${webhook}`,
    }
    const answer = await story.call(ask, [may], caller)
    if (caller.refusal !== undefined || may !== '204') return
    if (story.excuses(ask, answer)) doubtful(story, app, webhook, undefined)
    else app.webhooks.delete(webhook)
  },

  async resecret(story: Story, { as, webhook: name, drop }: Of<'resecret'>) {
    const caller = story.caller(as, 'events')
    const { app } = caller
    const known = app.webhooks.get(name)
    const older = drop ? '/older' : ''
    const ask: Ask = {
      method: drop ? 'DELETE' : 'POST',
      route: `/v1/webhooks/{webhook}/secrets${older}`,
      url: `/v1/webhooks/${name}/secrets${older}`,
    }
    const isThere = known !== undefined || (name === 'callbacks' && !drop)
    const answer = await story.call(
      ask,
      [isThere ? (drop ? '200' : '201') : '404 unknown-webhook'],
      caller,
    )
    if (caller.refusal !== undefined || !isThere) return
    if (story.excuses(ask, answer)) {
      doubtful(story, app, name, known?.body ?? {})
      return
    }
    if (answer.status > 201) return
    const before = known?.secretIds ?? []
    const secretIds = drop ? before.slice(0, 1) : [answer.body.id, ...before.slice(0, 1)]
    const isSame = drop && before.length < 2
    const createdAtMs = known?.createdAtMs ?? story.nowMs
    const changedAtMs = isSame ? known!.changedAtMs : story.nowMs
    app.webhooks.set(name, { name, body: known?.body ?? {}, secretIds, createdAtMs, changedAtMs })
    if (!drop) assert.match(answer.body.secret, /^whsec_/)
    else judgeHook(app.webhooks.get(name)!, answer.body)
  },

  /** Nothing is delivered here, so nothing is ever set aside. */
  async letters(story: Story, { as, webhook, how, one }: Of<'letters'>) {
    const caller = story.caller(as, 'events')
    const known = caller.app.webhooks.has(webhook)
    const path = `/v1/webhooks/${webhook}/dead-letters`
    const ask: Ask = {
      method: how,
      route: '/v1/webhooks/{webhook}/dead-letters',
      url:
        how === 'DELETE' && one !== undefined ? `${path}?event=${encodeURIComponent(one)}` : path,
      ...(how === 'POST' && one !== undefined && { body: { event: one } }),
    }
    const isWrong = one === 'no event' && how !== 'GET'
    const may = isWrong
      ? '400 invalid-request'
      : known
        ? how === 'POST'
          ? '202'
          : '200'
        : '404 unknown-webhook'
    const answer = await story.call(ask, [may], caller)
    if (answer.status >= 300) return
    if (how === 'GET') assert.deepEqual(answer.body.items, [])
    else assert.equal(answer.body.sending ?? answer.body.discarded, 0)
  },
}
