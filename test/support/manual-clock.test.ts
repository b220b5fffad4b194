import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock } from './manual-clock.ts'

test('timers run in order of time, then of making, each at its own moment', () => {
  const clock = new ManualClock(1_000)
  const ran: string[] = []
  const note = (name: string) => () => ran.push(`${name}@${clock.nowMs()}`)
  clock.at(1_300, 'c', note('c'))
  clock.at(1_100, 'a', note('a'))
  clock.at(1_100, 'b', note('b'))
  clock.at(1_900, 'far', note('far'))
  clock.advance(500)
  assert.deepEqual(ran, ['a@1100', 'b@1100', 'c@1300'])
  assert.equal(clock.nowMs(), 1_500)
  assert.deepEqual(clock.waiting(), [{ name: 'far', atMs: 1_900 }])
})

test('a timer set for the past runs at the next move, not at once', () => {
  const clock = new ManualClock(1_000)
  let ran = 0
  clock.at(10, 'late', () => ran++)
  assert.equal(ran, 0)
  clock.advance(0)
  assert.equal(ran, 1)
  assert.equal(clock.nowMs(), 1_000)
})

test('what a timer sets runs within the same move, and what it cancels does not', () => {
  const clock = new ManualClock(0)
  const ran: string[] = []
  const doomed = clock.at(3, 'doomed', () => ran.push('doomed'))
  clock.at(1, 'first', () => {
    ran.push('first')
    doomed.cancel()
    clock.at(2, 'second', () => ran.push('second'))
  })
  clock.advance(5)
  assert.deepEqual(ran, ['first', 'second'])
})

test('time never goes back', () => {
  const clock = new ManualClock(5)
  assert.throws(() => clock.set(4), /go back/)
})
