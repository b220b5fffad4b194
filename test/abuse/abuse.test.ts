import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenerNames } from '../fuzz/gateway.ts'
import { attacks } from './attacks.ts'
import { run } from './run.ts'

test('a few of the attacks, on every listener: refused in its own words, and the honest notice nothing', async () => {
  const { rows, findings } = await run({
    listeners: listenerNames,
    words: ['half-closed', '500 channels', 'WebSocket', 'bodies begun'],
    // How long is for `npm run abuse` on a machine of its own.
    lateMs: 60_000,
    calmMs: 500,
    progress: () => {},
  })
  assert.deepEqual(findings, [])
  assert.equal(rows.length, 4)
})

test('every listener is attacked', () => {
  for (const listener of listenerNames) {
    const some = attacks.filter(({ listeners }) => listeners.includes(listener))
    assert.ok(some.length >= 5, `${listener}: ${some.length}`)
  }
})
