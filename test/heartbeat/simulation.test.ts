import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mars } from './mars.ts'
import { fixed, ours } from './policies.ts'
import { run } from './table.ts'

const battery = { minMs: 60_000, maxMs: 1_500_000 }
const powered = { minMs: 60_000, maxMs: 300_000 }

for (const [name, range] of [
  ['battery', battery],
  ['powered', powered],
] as const) {
  for (const seed of [1, 2]) {
    const weather = { devices: 200, days: 2, seed, range }

    test(`${name}, seed ${seed}: within a fifth of the best after 15 beats, with fewer than 2 drops, better than Mars`, () => {
      const published = run(mars(false), weather)
      const opened = run(mars(true), weather)
      const still = run(fixed(240_000), weather)
      for (const row of [run(ours(false), weather), run(ours(true), weather)]) {
        const said = JSON.stringify(row)
        assert.ok(row.judged > 150, said)
        assert.ok(row.offMedian <= 0.2, said)
        assert.ok(row.offP90 <= 0.2, said)
        assert.ok(row.near >= 0.95, said)
        assert.ok(row.drops < 2, said)
        for (const other of [published, opened, still]) {
          const both = `${said} beside ${JSON.stringify(other)}`
          assert.ok(row.near > other.near, both)
          assert.ok(row.offMedian < other.offMedian, both)
        }
        for (const other of [published, still]) {
          const both = `${said} beside ${JSON.stringify(other)}`
          assert.ok(row.drops < other.drops, both)
          assert.ok(row.dropsPerDay < other.dropsPerDay, both)
          assert.ok(row.deafMinutesPerDay < other.deafMinutesPerDay, both)
        }
        assert.ok(row.wakeUpsPerDay < opened.wakeUpsPerDay, said)
      }
    })
  }
}

test('what a network has learned saves its next devices drops and beats', () => {
  const weather = { devices: 500, days: 2, seed: 3, range: battery }
  const alone = run(ours(false), weather)
  const shared = run(ours(true), weather)
  const both = JSON.stringify([alone, shared])
  assert.ok(shared.drops < alone.drops, both)
  assert.ok(shared.beats < alone.beats, both)
})
