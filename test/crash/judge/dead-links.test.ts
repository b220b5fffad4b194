import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Family, Fault, Journal } from '../journal.ts'
import { epoch, goodHistory, wire } from '../judge-history.ts'
import { judge } from './judge.ts'

const heardAtMs = 10_000

/** A connection that was last heard then, was sent a command or not, and was gone at another time. */
function link(
  sentAtMs: number | undefined,
  goneAtMs: number,
  fault?: Fault,
  family: Family = 'pike',
): readonly string[] {
  const journal: Journal = goodHistory()
  if (sentAtMs !== undefined) {
    const command = { kind: 'command', epoch, offset: 90, repeated: false } as const
    journal.wire.push({ ...wire(9, command), family, atMs: sentAtMs })
  }
  const gone = { kind: 'gone', heardAtMs, deadAfterMs: 85_000 } as const
  journal.wire.push({ ...wire(9, gone), family, atMs: goneAtMs })
  if (fault !== undefined) journal.faults.push(fault)
  const { findings } = judge(journal, { final: false, toleranceMs: 500 })
  return findings.map(({ rule }) => rule).filter((rule) => rule === 'dead-link')
}

const pause: Fault = {
  ...{ round: 1, kind: 'pause', atMs: 12_000, young: false },
  ...{ readyMs: 1, goneMs: undefined, refused: undefined, note: undefined },
}

test('a link that stands for long after a command nobody answered is found late', () => {
  assert.deepEqual(link(20_000, 39_000), [])
  assert.deepEqual(link(20_000, 41_000), ['dead-link'])
})

test('what was heard after a command is a sign of life', () => {
  assert.deepEqual(link(heardAtMs - 1, heardAtMs + 60_000), [])
})

test('a silent link may stand until its dead-line', () => {
  assert.deepEqual(link(undefined, heardAtMs + 88_000), [])
  assert.deepEqual(link(undefined, heardAtMs + 95_000), ['dead-link'])
})

test('a link that cannot be asked may stand until its dead-line, whatever was sent', () => {
  assert.deepEqual(link(20_000, heardAtMs + 88_000, undefined, 'mqtt'), [])
  assert.deepEqual(link(20_000, heardAtMs + 95_000, undefined, 'mqtt'), ['dead-link'])
})

test('while the gateway was hurt it is not judged', () => {
  assert.deepEqual(link(20_000, 60_000, pause), [])
})
