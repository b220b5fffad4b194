import assert from 'node:assert/strict'
import test from 'node:test'
import { Heartbeat, overdueMaxMs, overdueMinMs } from '../../devices/heartbeat.ts'

test('a beat goes when nothing was sent for an interval, and data puts it off', () => {
  const beat = new Heartbeat()
  beat.begin(60_000, 0)
  assert.equal(beat.dueMs(undefined), 60_000)
  assert.equal(beat.check(59_999, undefined), 'fine')
  beat.wrote(50_000)
  assert.equal(beat.check(60_000, undefined), 'fine')
  assert.equal(beat.check(110_000, undefined), 'ping')
})

test('an unanswered beat is death, any byte is life', () => {
  const beat = new Heartbeat()
  beat.begin(60_000, 0)
  beat.pinged(60_000)
  assert.equal(beat.dueMs(undefined), 60_000 + overdueMaxMs)
  assert.equal(beat.check(60_000 + overdueMaxMs - 1, undefined), 'fine')
  assert.equal(beat.check(60_000 + overdueMaxMs, undefined), 'dead')
  beat.heard()
  assert.equal(beat.check(60_000 + overdueMaxMs, undefined), 'fine')
})

test('rule 21: an overdue acknowledgement asks first; answered probes prove life, but not forever', () => {
  const beat = new Heartbeat()
  beat.begin(600_000, 0)
  beat.pinged(0)
  beat.ponged(100)
  assert.equal(beat.overdueMs, overdueMinMs)
  assert.equal(beat.check(2_999, 1_000), 'fine')
  assert.equal(beat.check(3_000, 1_000), 'ping')
  beat.pinged(3_000)
  beat.ponged(3_100)
  assert.equal(beat.check(4_999, 1_000), 'fine')
  assert.equal(beat.check(5_000, 1_000), 'ping')
  beat.pinged(5_000)
  beat.ponged(5_100)
  assert.equal(beat.check(7_000, 1_000), 'dead')
  beat.begin(600_000, 10_000)
  assert.equal(beat.check(12_000, 10_000), 'ping')
  beat.acknowledged(2_100)
  assert.equal(beat.check(13_000, undefined), 'fine')
})
