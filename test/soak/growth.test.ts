import assert from 'node:assert/strict'
import test from 'node:test'
import { settled, slopePerHour } from './growth.ts'

const minuteMs = 60_000

test('what grows by a byte a minute grows by sixty an hour, whatever it began with', () => {
  const points = [0, 1, 2, 3].map((minute) => ({ atMs: minute * minuteMs, value: 1_000 + minute }))
  assert.ok(Math.abs(slopePerHour(points) - 60) < 1e-6, `${slopePerHour(points)}`)
})

test('what only goes up and down does not grow', () => {
  const points = [5, 1, 1, 5].map((value, at) => ({ atMs: at * minuteMs, value }))
  assert.ok(Math.abs(slopePerHour(points)) < 1e-9, `${slopePerHour(points)}`)
})

test('one look says nothing', () => {
  assert.ok(Number.isNaN(slopePerHour([{ atMs: 0, value: 1 }])), 'a number')
  assert.ok(Number.isNaN(slopePerHour([])), 'a number')
})

test('the first third does not count', () => {
  assert.deepEqual(settled([1, 2, 3, 4, 5, 6]), [3, 4, 5, 6])
  assert.deepEqual(settled([]), [])
})
