import assert from 'node:assert/strict'
import fc from 'fast-check'
import { problems } from '../../../src/api/problems.ts'
import type { Ask, Story } from '../story.ts'
import { as, nth } from './names.ts'

/** What is no business of any resource: what needs no key, and what nobody should send. */
export const strangeAsks = {
  open: fc.record({
    do: fc.constant('open' as const),
    path: fc.constantFrom(
      '/healthz',
      '/readyz',
      '/metrics',
      '/problems/mailbox-full',
      '/problems/constructor',
      '/v1/nothing',
      '/v1/devices/%zz',
      '/openapi.json',
    ),
  }),
  guess: fc.record({ do: fc.constant('guess' as const), count: fc.constantFrom(1, 1, 101) }),
  backup: fc.record({ do: fc.constant('backup' as const), as }),
  media: fc.record({
    do: fc.constant('media' as const),
    as,
    type: fc.constantFrom('text/plain', 'application/xml'),
  }),
}

type Of<K extends keyof typeof strangeAsks> =
  (typeof strangeAsks)[K] extends fc.Arbitrary<infer T> ? T : never

const opens: Readonly<Record<string, readonly string[]>> = {
  '/healthz': ['200'],
  '/metrics': ['200'],
  '/openapi.json': ['200'],
  '/problems/mailbox-full': ['200'],
  '/problems/constructor': ['404 not-found'],
  '/v1/nothing': ['404 not-found'],
  '/v1/devices/%zz': ['400 bad-request'],
}

export const strange = {
  async open(story: Story, { path }: Of<'open'>) {
    const ready = story.system.life.engine.state === 'ready' ? ['200'] : ['503 not-ready']
    const ask: Ask = { method: 'GET', route: path, url: path }
    const answer = await story.call(ask, opens[path] ?? ready)
    if (path === '/problems/mailbox-full')
      assert.equal(answer.body.advice, problems['mailbox-full'].advice)
  },

  /** Keys that nobody has; after a hundred in a minute from one address they are not even looked at. */
  async guess(story: Story, { count }: Of<'guess'>) {
    for (let guess = 0; guess < count; guess++) {
      const ask: Ask = {
        method: 'GET',
        route: '/v1/devices',
        url: '/v1/devices',
        key: `pike_guess-${guess}-0123456789`,
      }
      const answer = await story.raw(ask)
      assert.ok(['401 unauthorized', '429 too-many-wrong-keys'].includes(answer.said), answer.said)
      if (guess === 100) assert.equal(answer.said, '429 too-many-wrong-keys')
    }
    // A right key is let through at once.
    const { app, text } = story.caller(0, 'devices')
    const ask: Ask = { method: 'GET', route: '/v1/devices', url: '/v1/devices', key: text }
    const answer = await story.raw(ask)
    assert.ok(answer.status === 200 || story.excuses(ask, answer), `${app.name}: ${answer.said}`)
  },

  async backup(story: Story, { as }: Of<'backup'>) {
    const caller = story.caller(as, 'admin')
    const can = story.system.life.engine.backup !== undefined
    const ask: Ask = { method: 'GET', route: '/v1/backup', url: '/v1/backup' }
    await story.call(ask, [can ? '200' : '501 not-supported'], caller)
  },

  async media(story: Story, { as, type }: Of<'media'>) {
    const caller = story.caller(as, 'commands')
    const device = nth([...caller.app.devices.keys()], as) ?? 'd1'
    const ask: Ask = {
      method: 'POST',
      route: '/v1/devices/{device}/commands',
      url: `/v1/devices/${device}/commands`,
      raw: '<command/>',
      headers: { 'content-type': type },
    }
    await story.call(ask, ['415 unsupported-media-type'], caller)
  },
}
