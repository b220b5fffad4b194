import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FaultKind } from './journal.ts'
import { type RunOptions, runFaults } from './run.ts'
import type { Sabotage } from './server.ts'
import { findingLines, table } from './table.ts'
import { Volume } from './volume.ts'

/** Another seed, other moments: `CRASH_SEED=7 npm test`. */
const seed = Number(process.env.CRASH_SEED ?? 1)

const short: Omit<RunOptions, 'faults' | 'rounds' | 'progress'> = {
  seed,
  devices: 8,
  rate: 40,
  roundMs: [400, 1_000],
  pauseMs: [1_000, 1_500],
  volumeMb: 64,
}

/** What each must be caught by; which of them comes first is chance. */
const broken: readonly [Sabotage, rules: readonly string[]][] = [
  ['answers-before-write', ['lost']],
  ['forgets-stamp', ['event-twice', 'reply-twice']],
  ['reorders', ['reordered', 'wire-reordered', 'wire-repeat', 'outcome-untrue']],
]

// Side by side: most of their time is waiting, for a start or for the end of a doubt.
describe('the gateway, hurt', { concurrency: 2 }, () => {
  test('killed, stopped, paused, starved of disk and of power: nothing the judge would mind', async (t) => {
    const why = await Volume.unavailable()
    const always: FaultKind[] = ['kill', 'stop', 'pause']
    const faults: FaultKind[] = why === undefined ? [...always, 'disk', 'power'] : always
    if (why !== undefined) t.diagnostic(`NOT TRIED: disk and power, because ${why}`)
    const result = await runFaults({
      ...short,
      faults,
      rounds: faults.length,
      progress: (text) => t.diagnostic(text),
    })
    t.diagnostic(table([result]))
    assert.equal(result.findings.length, 0, findingLines(result.findings))
    assert.equal(result.rounds, faults.length)
    // A run in which nothing happened would find nothing either.
    assert.ok(result.figures.accepted > 40, `accepted ${result.figures.accepted}`)
    assert.ok(result.figures.handedOver > 25, `handed over ${result.figures.handedOver}`)
    assert.ok(
      result.figures.reportsAcknowledged > 25,
      `${result.figures.reportsAcknowledged} reports`,
    )
    assert.ok(result.cuts > 0, `the network took ${result.cuts} connections`)
  })

  for (const [sabotage, rules] of broken) {
    test(`broken on purpose (${sabotage}): caught`, async (t) => {
      const result = await runFaults({
        ...short,
        faults: ['kill'],
        rounds: 20,
        roundMs: [600, 1_500],
        lifeMs: [100, 1_000],
        sabotage,
        hasty: true,
        progress: (text) => t.diagnostic(text),
      })
      const found = new Set(result.findings.map(({ rule }) => rule))
      assert.ok(
        rules.some((rule) => found.has(rule)),
        `after ${result.rounds} rounds found [${[...found].join(', ')}]\n${findingLines(result.findings)}`,
      )
    })
  }
})
