import assert from 'node:assert/strict'
import test from 'node:test'
import { delayMs, dictated, fibonacci, reconnectPolicy } from '../../devices/reconnect.ts'

test('the delay grows by Fibonacci, with full jitter, from half a second to a minute and a half', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((n) => fibonacci(n)),
    [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89],
  )
  const almostOne = 1 - 2 ** -30
  const longest = [1, 2, 3, 4, 5, 6, 10, 11, 50, 1e9].map((n) =>
    Math.round(delayMs(n, reconnectPolicy, almostOne)),
  )
  assert.deepEqual(longest, [1500, 1500, 2500, 3500, 5500, 8500, 55_500, 60_500, 60_500, 60_500])
  assert.equal(delayMs(9, reconnectPolicy, 0), 500)
})

test('a policy the server dictates holds, within reason', () => {
  assert.deepEqual(dictated(reconnectPolicy, 0, 0), reconnectPolicy)
  assert.deepEqual(dictated(reconnectPolicy, 5_000, 300_000), { baseMs: 5_000, maxMs: 300_000 })
  assert.deepEqual(dictated(reconnectPolicy, 2 ** 50, 2 ** 50), {
    baseMs: 3_600_000,
    maxMs: 3_600_000,
  })
})
