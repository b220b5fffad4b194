import assert from 'node:assert/strict'
import fc from 'fast-check'
import { limits } from '../limits.ts'
import type { Alias, App } from '../state.ts'
import type { Ask, Story } from '../story.ts'
import { pages } from './devices.ts'
import { aliasName, as, deviceName } from './names.ts'

export const aliasAsks = {
  bind: fc.record({
    do: fc.constant('bind' as const),
    as,
    alias: aliasName,
    device: deviceName,
    expires: fc.constantFrom(undefined, undefined, 0.001, 20, 7_200),
    flaw: fc.constantFrom(...new Array(8).fill(undefined), 'past', 'now', 'no-device', 'number'),
  }),
  aliases: fc.record({
    do: fc.constant('aliases' as const),
    as,
    alias: fc.oneof(aliasName, fc.constant(undefined)),
    limit: fc.constantFrom(undefined, 1, 2),
  }),
  unbind: fc.record({ do: fc.constant('unbind' as const), as, alias: aliasName }),
}

type Of<K extends keyof typeof aliasAsks> =
  (typeof aliasAsks)[K] extends fc.Arbitrary<infer T> ? T : never

const iso = (ms: number) => new Date(ms).toISOString()
const isOver = ({ expiresAtMs = Infinity }: Alias, nowMs: number) => expiresAtMs <= nowMs

/** What an alias's view says is what the model knows of it. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function judgeAlias(alias: Alias, view: any): void {
  assert.deepEqual(view, {
    alias: alias.name,
    device: alias.device,
    ...(alias.expiresAtMs !== undefined && { expiresAt: iso(alias.expiresAtMs) }),
    createdAt: iso(alias.createdAtMs),
    changedAt: iso(alias.changedAtMs),
    history: alias.history.map(({ device, from, until }) => ({
      device,
      from: iso(from),
      until: iso(until),
    })),
  })
}

/** The alias after a PUT: one record, the bindings before it in its history. */
function bound(
  before: Alias | undefined,
  name: string,
  device: string,
  expiresAtMs: number | undefined,
  nowMs: number,
): Alias {
  const isNew = before === undefined || isOver(before, nowMs)
  const history = before?.history ?? []
  const goesOn = before !== undefined && !isNew && before.device === device
  const from = before && Math.max(before.createdAtMs, before.history[0]?.until ?? 0)
  const until = before && Math.min(nowMs, before.expiresAtMs ?? nowMs)
  return {
    name,
    device,
    expiresAtMs,
    createdAtMs: isNew ? nowMs : before.createdAtMs,
    changedAtMs: nowMs,
    history:
      before === undefined || goesOn
        ? history
        : [{ device: before.device, from: from!, until: until! }, ...history].slice(
            0,
            limits.aliasHistoryMax,
          ),
  }
}

/** Its answer was lost: one of the two is there. */
function doubtful(story: Story, app: App, name: string, after: Alias | undefined): void {
  const before = app.aliases.get(name)
  story.doubts.push(async () => {
    const kept = await story.system.life.engine.names.alias(app.name, name)
    const fits = (one: Alias | undefined) =>
      one?.changedAtMs === kept?.changedAtMs && one?.device === kept?.device
    if (fits(before)) return
    assert.ok(fits(after), `${app.name}: the alias ${name} is neither as before nor as asked for`)
    if (after === undefined) app.aliases.delete(name)
    else app.aliases.set(name, after)
  })
}

export const aliases = {
  async bind(story: Story, { as, alias, device, expires, flaw }: Of<'bind'>) {
    const caller = story.caller(as, 'devices')
    const { app } = caller
    const expiresAtMs = expires === undefined ? undefined : story.nowMs + expires * 1_000
    const body: Record<string, unknown> = { device, expiresAt: expiresAtMs && iso(expiresAtMs) }
    if (flaw === 'past') body.expiresAt = iso(story.nowMs - 1)
    else if (flaw === 'now') body.expiresAt = iso(story.nowMs)
    else if (flaw === 'no-device') delete body.device
    else if (flaw === 'number') body.expiresAt = 12
    const before = app.aliases.get(alias)
    const isNew = before === undefined || isOver(before, story.nowMs)
    const isFull = before === undefined && app.aliases.size >= limits.aliasesMax
    const may =
      flaw !== undefined
        ? '400 invalid-request'
        : !app.devices.has(device)
          ? '404 unknown-device'
          : isFull
            ? '409 limit-reached'
            : isNew
              ? '201'
              : '200'
    const ask: Ask = {
      method: 'PUT',
      route: '/v1/aliases/{alias}',
      url: `/v1/aliases/${alias}`,
      body,
    }
    const answer = await story.call(ask, [may], caller)
    if (caller.refusal !== undefined) return
    const after = bound(before, alias, device, expiresAtMs, story.nowMs)
    if (story.excuses(ask, answer)) doubtful(story, app, alias, after)
    if (answer.said === '409 limit-reached')
      assert.deepEqual([answer.body.limit, answer.body.max], ['aliasesMax', limits.aliasesMax])
    if (answer.status > 201) return
    app.aliases.set(alias, after)
    judgeAlias(after, answer.body)
  },

  async aliases(story: Story, { as, alias, limit }: Of<'aliases'>) {
    const caller = story.caller(as, 'devices')
    const { app } = caller
    if (alias !== undefined) {
      const known = app.aliases.get(alias)
      const isThere = known !== undefined && !isOver(known, story.nowMs)
      const ask: Ask = { method: 'GET', route: '/v1/aliases/{alias}', url: `/v1/aliases/${alias}` }
      const answer = await story.call(ask, [isThere ? '200' : '404 unknown-alias'], caller)
      if (answer.status === 200) judgeAlias(known!, answer.body)
      return
    }
    const all = await pages(story, caller, '/v1/aliases', '/v1/aliases', '', limit)
    if (all === undefined) return
    const known = [...app.aliases.values()]
      .filter((one) => !isOver(one, story.nowMs))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    assert.deepEqual(
      all.map((view) => view.alias),
      known.map(({ name }) => name),
    )
    for (const [index, view] of all.entries()) judgeAlias(known[index]!, view)
  },

  async unbind(story: Story, { as, alias }: Of<'unbind'>) {
    const caller = story.caller(as, 'devices')
    const { app } = caller
    const known = app.aliases.get(alias)
    const isThere = known !== undefined && !isOver(known, story.nowMs)
    const ask: Ask = { method: 'DELETE', route: '/v1/aliases/{alias}', url: `/v1/aliases/${alias}` }
    const answer = await story.call(ask, [isThere ? '204' : '404 unknown-alias'], caller)
    if (caller.refusal !== undefined) return
    if (story.excuses(ask, answer)) doubtful(story, app, alias, undefined)
    else app.aliases.delete(alias)
  },
}
