import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Scope, scopes } from '../../../src/contract/index.ts'
import { limits } from '../limits.ts'
import { type App, isOpen, type Key, makeApp } from '../state.ts'
import type { Ask, Story } from '../story.ts'
import { pages } from './devices.ts'
import { appName, as, keyName } from './names.ts'

export const appAsks = {
  app: fc.record({
    do: fc.constant('app' as const),
    as,
    app: appName,
    quota: fc.constantFrom(
      undefined,
      undefined,
      null,
      {},
      { commandsPerSecond: 1 },
      { commandsPerSecond: 3, sessions: 1 },
      { eventsPerSecond: 1 },
    ),
    flaw: fc.constantFrom(...new Array(8).fill(undefined), 'zero', 'field'),
  }),
  apps: fc.record({
    do: fc.constant('apps' as const),
    as,
    app: fc.oneof(
      { weight: 4, arbitrary: appName },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    limit: fc.constantFrom(undefined, 1, 2),
  }),
  dissolve: fc.record({ do: fc.constant('dissolve' as const), as, app: appName }),
  grant: fc.record({
    do: fc.constant('grant' as const),
    as,
    app: appName,
    name: keyName,
    scopes: fc.constantFrom<Scope[][]>(
      ['devices', 'commands', 'events'],
      ['devices'],
      ['commands'],
      ['events'],
      ['admin'],
    ),
    own: fc.constantFrom(undefined, undefined, undefined, 'own', 'taken'),
    flaw: fc.constantFrom(...new Array(8).fill(undefined), 'none', 'short', 'twice', 'word'),
  }),
  keys: fc.record({
    do: fc.constant('keys' as const),
    as,
    app: appName,
    name: fc.oneof(
      { weight: 2, arbitrary: keyName },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    limit: fc.constantFrom(undefined, 1, 2),
  }),
  revoke: fc.record({ do: fc.constant('revoke' as const), as, app: appName, name: keyName }),
}

type Of<K extends keyof typeof appAsks> =
  (typeof appAsks)[K] extends fc.Arbitrary<infer T> ? T : never

const iso = (ms: number) => new Date(ms).toISOString()

/** Who calls for administrators: the one of the start mostly, so that somebody can always get in. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function judgeApp(story: Story, app: App, view: any): void {
  assert.deepEqual(
    [view.app, view.createdAt, view.devices],
    [app.name, iso(app.createdAtMs), app.devices.size],
  )
  assert.deepEqual(view.quota, app.quota, `${app.name}: quota`)
  const { accepted, open, ended } = view.commands
  const sum = Object.values(ended as Record<string, number>).reduce((a, b) => a + b, 0)
  assert.equal(accepted, open + sum, `${app.name}: accepted = open + ended`)
  if (story.broken) return
  assert.equal(accepted, app.accepted, `${app.name}: accepted`)
  assert.equal(open, [...app.commands.values()].filter(isOpen).length, `${app.name}: open`)
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
function judgeKey(key: Key, { key: _text, ...view }: any): void {
  const { app, name, scopes, createdAtMs } = key
  assert.deepEqual(view, { app, name, scopes, createdAt: iso(createdAtMs) })
}

export const apps = {
  async app(story: Story, { as, app: name, quota, flaw }: Of<'app'>) {
    const caller = story.caller(as, 'admin')
    const before = story.apps.get(name)
    const body =
      flaw === 'zero'
        ? { quota: { commandsPerSecond: 0 } }
        : flaw === 'field'
          ? { quotas: {} }
          : quota === undefined
            ? {}
            : { quota }
    const isFull = before === undefined && story.apps.size >= limits.appsMax
    const fits = isFull ? '409 limit-reached' : before === undefined ? '201' : '200'
    const ask: Ask = { method: 'PUT', route: '/v1/apps/{app}', url: `/v1/apps/${name}`, body }
    const answer = await story.call(
      ask,
      [flaw === undefined ? fits : '400 invalid-request'],
      caller,
    )
    if (caller.refusal !== undefined || flaw !== undefined || isFull) return
    const kept = quota === undefined ? before?.quota : (quota ?? undefined)
    const after = kept !== undefined && Object.keys(kept).length > 0 ? kept : undefined
    if (story.excuses(ask, answer)) {
      doubtfulApp(story, name, after)
      return
    }
    const app = before ?? makeApp(name, story.nowMs)
    if (before === undefined) story.apps.set(name, app)
    if (quota !== undefined) app.quotaChangedAtMs = story.nowMs
    app.quota = after
    judgeApp(story, app, answer.body)
  },

  async apps(story: Story, { as, app: name, limit }: Of<'apps'>) {
    const caller = story.caller(as, 'admin')
    if (name !== undefined) {
      const known = story.apps.get(name)
      const ask: Ask = { method: 'GET', route: '/v1/apps/{app}', url: `/v1/apps/${name}` }
      const answer = await story.call(
        ask,
        [known === undefined ? '404 unknown-app' : '200'],
        caller,
      )
      if (answer.status === 200) judgeApp(story, known!, answer.body)
      return
    }
    const all = await pages(story, caller, '/v1/apps', '/v1/apps', '', limit)
    if (all === undefined) return
    assert.deepEqual(
      all.map((view) => view.app),
      [...story.apps.keys()].sort(),
    )
    for (const view of all) judgeApp(story, story.apps.get(view.app)!, view)
  },

  async dissolve(story: Story, { as, app: name }: Of<'dissolve'>) {
    const caller = story.caller(as, 'admin')
    const app = story.apps.get(name)
    const isOwn = name === 'default' || name === caller.app.name
    const may = isOwn
      ? '409 app-protected'
      : app === undefined
        ? '404 unknown-app'
        : app.devices.size > 0
          ? '409 app-not-empty'
          : '204'
    const ask: Ask = { method: 'DELETE', route: '/v1/apps/{app}', url: `/v1/apps/${name}` }
    const answer = await story.call(ask, [may], caller)
    if (answer.said === '409 app-not-empty') assert.equal(answer.body.devices, app!.devices.size)
    if (answer.status !== 204) return
    for (const { text } of app!.keys.values()) story.revoked.push(text)
    story.apps.delete(name)
    story.forgetApp(name)
  },

  async grant(story: Story, { as, app: of, name, scopes: asked, own, flaw }: Of<'grant'>) {
    const caller = story.caller(as, 'admin')
    const app = story.apps.get(of)
    const before = app?.keys.get(name)
    const all = [...story.apps.values()].flatMap((each) => [...each.keys.values()])
    const text = own === 'own' ? `own-key-${++story.names}-0123456789-abc` : own && all.at(-1)!.text
    const isOwn = before !== undefined && caller.key.text === before.text
    const isRoot = of === 'default' && name === 'root'
    // Somebody must be able to go on: nobody else changes that key.
    if (isRoot && !isOwn) return
    const body: Record<string, unknown> = {
      scopes: asked,
      ...(text !== undefined && { key: text }),
    }
    if (flaw === 'none') body.scopes = []
    else if (flaw === 'short') body.key = 'x'.repeat(21)
    else if (flaw === 'twice') body.scopes = ['devices', 'devices']
    else if (flaw === 'word') body.scopes = ['everything']
    const may =
      flaw !== undefined
        ? '400 invalid-request'
        : app === undefined
          ? '404 unknown-app'
          : before !== undefined
            ? text !== undefined
              ? '409 key-exists'
              : isOwn && !asked.includes('admin')
                ? '409 own-key'
                : '200'
            : app.keys.size >= limits.keysMax
              ? '409 limit-reached'
              : own === 'taken'
                ? '409 key-exists'
                : '201'
    const ask: Ask = {
      method: 'PUT',
      route: '/v1/apps/{app}/keys/{name}',
      url: `/v1/apps/${of}/keys/${name}`,
      body,
    }
    const answer = await story.call(ask, [may], caller)
    if (caller.refusal !== undefined || flaw !== undefined || app === undefined) return
    if (story.excuses(ask, answer)) {
      if (may === '200' || may === '201') doubtfulKey(story, app, name, asked, text)
      return
    }
    if (answer.status > 201) return
    if (before !== undefined) {
      before.scopes = asked
      assert.equal(answer.body.key, undefined, 'a key is shown once')
    } else {
      assert.ok(answer.body.key.length >= 22)
      if (text !== undefined) assert.equal(answer.body.key, text)
      const createdAtMs = story.nowMs
      app.keys.set(name, { app: of, name, text: answer.body.key, scopes: asked, createdAtMs })
    }
    judgeKey(app.keys.get(name)!, answer.body)
  },

  async keys(story: Story, { as, app: of, name, limit }: Of<'keys'>) {
    const caller = story.caller(as, 'admin')
    const app = story.apps.get(of)
    if (name !== undefined) {
      const known = app?.keys.get(name)
      const may =
        app === undefined ? '404 unknown-app' : known === undefined ? '404 unknown-key' : '200'
      const ask: Ask = {
        method: 'GET',
        route: '/v1/apps/{app}/keys/{name}',
        url: `/v1/apps/${of}/keys/${name}`,
      }
      const answer = await story.call(ask, [may], caller)
      if (answer.status !== 200) return
      assert.equal(answer.body.key, undefined, 'a key is shown once')
      judgeKey(known!, answer.body)
      return
    }
    const may = [app === undefined ? '404 unknown-app' : '200']
    const all = await pages(
      story,
      caller,
      '/v1/apps/{app}/keys',
      `/v1/apps/${of}/keys`,
      '',
      limit,
      may,
    )
    if (all === undefined) return
    assert.deepEqual(
      all.map((view) => view.name),
      [...app!.keys.keys()].sort(),
    )
    for (const view of all) judgeKey(app!.keys.get(view.name)!, view)
  },

  async revoke(story: Story, { as, app: of, name }: Of<'revoke'>) {
    const caller = story.caller(as, 'admin')
    const app = story.apps.get(of)
    const known = app?.keys.get(name)
    const isOwn = caller.key.app === of && caller.key.name === name
    if (of === 'default' && name === 'root' && !isOwn) return
    const may = isOwn
      ? '409 own-key'
      : app === undefined
        ? '404 unknown-app'
        : known === undefined
          ? '404 unknown-key'
          : '204'
    const ask: Ask = {
      method: 'DELETE',
      route: '/v1/apps/{app}/keys/{name}',
      url: `/v1/apps/${of}/keys/${name}`,
    }
    const answer = await story.call(ask, [may], caller)
    if (caller.refusal !== undefined || known === undefined) return
    if (may === '204' && story.excuses(ask, answer))
      doubtfulKey(story, app!, name, undefined, undefined)
    if (answer.status !== 204) return
    app!.keys.delete(name)
    story.revoked.push(known.text)
  },
}

function doubtfulApp(story: Story, name: string, quota: App['quota']): void {
  story.doubts.push(async () => {
    const kept = await story.system.life.engine.names.app(name)
    const known = story.apps.get(name)
    if (kept === undefined) return
    const app = known ?? makeApp(name, kept.createdAtMs)
    story.apps.set(name, app)
    app.quotaChangedAtMs = story.nowMs
    if (JSON.stringify(kept.quota) === JSON.stringify(app.quota)) return
    assert.deepEqual(
      kept.quota,
      quota,
      `${name}: neither the quota of before nor the one asked for`,
    )
    app.quota = quota
  })
}

function doubtfulKey(
  story: Story,
  app: App,
  name: string,
  asked: readonly Scope[] | undefined,
  text: string | undefined,
): void {
  story.doubts.push(async () => {
    const kept = (await story.system.life.engine.names.keys(app.name)).find(
      (key) => key.name === name,
    )
    const known = app.keys.get(name)
    if (kept === undefined) {
      if (known !== undefined) {
        assert.equal(asked, undefined, `${app.name}: the key ${name} is lost`)
        app.keys.delete(name)
        story.revoked.push(known.text)
      }
      return
    }
    assert.ok(known !== undefined || asked !== undefined)
    // The text of one that we made went down with the answer.
    const made = { app: app.name, name, text: text ?? `lost with its answer ${++story.names}` }
    const one = known ?? { ...made, scopes: kept.scopes, createdAtMs: kept.createdAtMs }
    app.keys.set(name, one)
    one.scopes = kept.scopes
    for (const scope of kept.scopes) assert.ok(scopes.includes(scope))
  })
}
