import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Figures } from './figures.ts'
import { run } from './run.ts'
import { askBySockets } from './sockets.ts'

const stories = { memory: 60, level: 40 } as const

for (const engine of ['memory', 'level'] as const) {
  test(`${engine}: thousands of random calls, crashes among them, are answered as the contract says`, async () => {
    const figures = new Figures()
    await run({ engine, figures, seed: 2_026, runs: stories[engine] })
    assert.ok(figures.total > 800, `${figures.total} calls`)
  })
}

test('what only a connection can do wrong is answered with a problem', async () => {
  const figures = new Figures()
  await askBySockets(figures)
  const problems = ['headers-too-large', 'request-timeout', 'too-many-bodies']
  assert.deepEqual([...figures.problems].sort(), problems)
})
