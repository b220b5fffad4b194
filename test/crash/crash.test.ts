import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FaultKind } from './journal.ts'
import type { Parts } from './parts.ts'
import { mixed, speechNames, speechOf } from './protocols.ts'
import { type RunOptions, runFaults, wasFound } from './run.ts'
import type { Sabotage } from './server.ts'
import { findingLines, table } from './table.ts'
import { Volume } from './volume.ts'

/** Another seed, other moments: `CRASH_SEED=7 npm test`. */
const seed = Number(process.env.CRASH_SEED ?? 1)

const short: Omit<RunOptions, 'faults' | 'rounds' | 'progress'> = {
  seed,
  devices: 6,
  rate: 25,
  roundMs: [400, 1_000],
  pauseMs: [1_000, 1_500],
  volumeMb: 64,
  // Most of the end is waiting for doubts to be over.
  limits: { inDoubtGraceMs: 1_000 },
}

/** What is broken at once, and what each must be caught by; which comes first is chance. */
const broken: readonly {
  readonly sabotage: readonly Sabotage[]
  readonly parts: Parts
  readonly protocol: string
  readonly rules: readonly string[]
  /** Certain only when all is over. */
  readonly atLast: readonly string[]
  /** Left out: many members. */
  readonly who?: Pick<RunOptions, 'devices' | 'raw'>
}[] = [
  {
    sabotage: ['answers-before-write'],
    parts: new Set(),
    protocol: 'pike',
    rules: ['lost'],
    atLast: [],
  },
  {
    sabotage: ['reorders'],
    parts: new Set(),
    protocol: 'pike',
    rules: ['wire-reordered'],
    atLast: [],
  },
  {
    // They do not get into each other's way.
    sabotage: ['forgets-stamp', 'forgets-member', 'skips-event', 'hands-over-canceled'],
    parts: new Set(['broadcasts', 'webhooks', 'cancel']),
    protocol: 'pike',
    rules: ['event-twice', 'push-skipped', 'outcome-untrue'],
    atLast: ['broadcast-forgotten'],
  },
  {
    // Each at devices that remember nothing, of its own protocol.
    sabotage: [
      'mqtt-answers-early',
      'coap-counts-unacknowledged',
      'http-acknowledges-unasked',
      'forgets-mark',
    ],
    parts: new Set(),
    protocol: mixed.name,
    rules: ['outcome-untrue raw-coap', 'outcome-untrue raw-http', 'repeat-unmarked raw-mqtt'],
    atLast: ['event-lost raw-mqtt'],
    // Only of those is asked for what is broken.
    who: { devices: 3, raw: 12 },
  },
]

/** A broadcast is under way when the fault comes. */
const manyMembers = { devices: 12 }

/** `mixed` has all kinds of faults and of load, below. */
const single = speechNames.filter((name) => name !== mixed.name)

// Side by side: most of their time is waiting, for a start or for the end of a doubt.
describe('the gateway, hurt', { concurrency: 4 }, () => {
  test('killed, paused, starved of disk and of power: nothing the judge would mind', async (t) => {
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
    const { byAlias, forLater, withCallback, lines, broadcasts, pushes } = result.figures
    const some = { byAlias, forLater, withCallback, lines: lines.answered, pushes: pushes.events }
    for (const [what, count] of Object.entries(some)) assert.ok(count > 0, `${what}: ${count}`)
    assert.ok(broadcasts.accepted > 0, `${broadcasts.accepted} broadcasts`)
    assert.ok(result.cuts > 0, `the network took ${result.cuts} connections`)
  })

  for (const protocol of single) {
    test(`killed twice, devices over ${protocol}: nothing the judge would mind`, async (t) => {
      const result = await runFaults({
        ...short,
        devices: 3,
        raw: 1,
        rate: 12,
        speech: speechOf(protocol)!,
        parts: new Set(['cancel', 'schedules']),
        faults: ['kill'],
        rounds: 2,
        progress: (text) => t.diagnostic(text),
      })
      t.diagnostic(table([result]))
      assert.equal(result.findings.length, 0, findingLines(result.findings))
      const { handedOver, reportsAcknowledged, raw } = result.figures
      assert.ok(handedOver > 5, `handed over ${handedOver}`)
      assert.ok(reportsAcknowledged > 5, `${reportsAcknowledged} reports`)
      if (speechOf(protocol)!.raw.length > 0) assert.ok(raw.receipts > 0, 'raw ones had some')
    })
  }

  for (const { sabotage, parts, protocol, rules, atLast, who = manyMembers } of broken) {
    test(`broken on purpose (${sabotage.join(', ')}): caught`, async (t) => {
      const result = await runFaults({
        ...short,
        ...who,
        faults: ['kill'],
        // It ends when all is found; on a slow machine little happens in a round.
        rounds: 30,
        patienceMs: 1_500,
        roundMs: [600, 1_500],
        lifeMs: [100, 1_000],
        parts,
        sabotage,
        speech: speechOf(protocol)!,
        enough: rules,
        // Not each fault comes in the midst of a broadcast.
        roundsMin: atLast.length === 0 ? 1 : 3,
        hasty: atLast.length === 0,
        progress: (text) => t.diagnostic(text),
      })
      const found = new Set(result.findings.map(({ rule }) => rule))
      for (const rule of [...rules, ...atLast]) {
        assert.ok(
          wasFound(result.findings, rule),
          `${rule}: after ${result.rounds} rounds found [${[...found].join(', ')}]\n${findingLines(result.findings)}`,
        )
      }
    })
  }
})
