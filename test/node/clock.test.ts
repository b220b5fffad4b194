import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SystemClock } from '../../src/node/clock.ts'
import { turn } from '../support/turns.ts'

const wallMs = Date.UTC(2026, 10, 20)

test('rule 34: time goes on with the monotonic clock, whatever becomes of the wall clock', () => {
  let monotonicMs = 500.25
  const clock = new SystemClock(wallMs, () => monotonicMs)
  assert.equal(clock.nowMs(), wallMs)
  monotonicMs += 1_500.5
  assert.equal(clock.nowMs(), wallMs + 1_500)
})

test('rule 34: time never starts before the time mark of the store', () => {
  let monotonicMs = 0
  const clock = new SystemClock(wallMs, () => monotonicMs)
  clock.startAtLeast(wallMs + 60_000)
  assert.equal(clock.aheadMs, 0)
  assert.equal(clock.nowMs(), wallMs + 60_000)
  monotonicMs = 10
  assert.equal(clock.nowMs(), wallMs + 60_010)
})

test('rule 34: a mark in the past moves nothing and tells how long ago it was', () => {
  const clock = new SystemClock(wallMs, () => 0)
  clock.startAtLeast(wallMs - 7_200_000)
  assert.equal(clock.aheadMs, 7_200_000)
  assert.equal(clock.nowMs(), wallMs)
})

test('a timer runs at its time or after, never before, even when Node fires early', async () => {
  let monotonicMs = 0
  const clock = new SystemClock(wallMs, () => monotonicMs)
  let asked = 0
  const early = clock.nowMs.bind(clock)
  // The first look inside the timer sees a time just before the deadline.
  clock.nowMs = () => {
    asked++
    monotonicMs = asked < 3 ? 0.5 : 2
    return early()
  }
  const ranAtMs = await new Promise<number>((resolve) => {
    clock.at(wallMs + 1, 'test', () => resolve(early()))
  })
  assert.ok(ranAtMs >= wallMs + 1)
})

test('a deadline further away than setTimeout can count does not fire at once', async () => {
  const clock = new SystemClock(wallMs, () => 0)
  let ran = false
  const far = clock.at(wallMs + 2 ** 33, 'far', () => {
    ran = true
  })
  await new Promise<void>((resolve) => {
    clock.at(wallMs, 'near', resolve)
  })
  await turn()
  assert.equal(ran, false)
  far.cancel()
})

test('a canceled timer never runs', async () => {
  const clock = new SystemClock(wallMs, () => 0)
  clock.at(wallMs, 'canceled', () => assert.fail('it ran')).cancel()
  await new Promise<void>((resolve) => {
    clock.at(wallMs, 'after', resolve)
  })
})
