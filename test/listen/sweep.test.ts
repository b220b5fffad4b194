import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../src/contract/index.ts'
import { Sweep } from '../../src/listen/sweep.ts'

/** A process that runs only when it is let: timers that were due meanwhile come then. */
class Stalling implements Clock {
  lastMs = 0
  #timers: { atMs: number; run: () => void }[] = []

  nowMs(): number {
    return this.lastMs
  }

  at(atMs: number, _name: string, run: () => void) {
    const timer = { atMs, run }
    this.#timers.push(timer)
    const cancel = (): void => {
      this.#timers = this.#timers.filter((one) => one !== timer)
    }
    return { cancel }
  }

  runs(untilMs: number): void {
    for (let due = this.#due(untilMs); due !== undefined; due = this.#due(untilMs)) {
      this.lastMs = Math.max(this.lastMs, due.atMs)
      this.#timers = this.#timers.filter((one) => one !== due)
      due.run()
    }
    this.lastMs = untilMs
  }

  stalls(untilMs: number): void {
    this.lastMs = untilMs
  }

  #due(untilMs: number) {
    return this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
  }
}

function sweep(fair?: 'fair') {
  const clock = new Stalling()
  const over: string[] = []
  return {
    clock,
    over,
    sweep: new Sweep<string>(clock, 5_000, 'test', (it) => over.push(it), fair),
  }
}

test('each has its time, from when it was added, and who is done in time is not overdue', () => {
  for (const fair of [undefined, 'fair'] as const) {
    const { clock, over, sweep: one } = sweep(fair)
    one.add('a')
    clock.runs(1_000)
    one.add('b')
    one.add('c')
    clock.runs(4_999)
    assert.deepEqual(over, [])
    clock.runs(5_000)
    assert.deepEqual(over, ['a'])
    one.remove('b')
    clock.runs(6_000)
    assert.deepEqual(over, ['a', 'c'])
    assert.equal(one.size, 0)
  }
})

test('time in which the process did not get to run is not held against those it did not hear', () => {
  const { clock, over, sweep: one } = sweep('fair')
  one.add('came before it')
  clock.runs(1_000)
  clock.stalls(9_000)
  one.add('came in it')
  clock.runs(9_000)
  assert.deepEqual(over, [], 'nobody could be heard')
  one.remove('came in it')
  clock.runs(12_700)
  assert.deepEqual(over, [])
  clock.runs(13_300)
  assert.deepEqual(over, ['came before it'], 'it had its five seconds')
  const strict = sweep()
  strict.sweep.add('a')
  strict.clock.stalls(9_000)
  strict.clock.runs(9_000)
  assert.deepEqual(strict.over, ['a'])
})
