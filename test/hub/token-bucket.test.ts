import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TokenBucket, waitMaxMs } from '../../src/hub/token-bucket.ts'

test('after a pause there is one second’s worth at once, then one at a time', () => {
  const bucket = new TokenBucket(5, 0)
  const taken = () => {
    let count = 0
    while (bucket.take(10_000) === 0) count++
    return count
  }
  assert.equal(taken(), 5)
  assert.equal(bucket.take(10_000), 200)
  assert.equal(bucket.take(10_199), 1)
  assert.equal(bucket.take(10_200), 0)
  assert.ok(bucket.take(10_200) > 0)
})

test('whoever leaves some for others waits sooner', () => {
  const bucket = new TokenBucket(10, 0)
  let polite = 0
  while (bucket.take(0, 5) === 0) polite++
  assert.equal(polite, 5)
  assert.equal(bucket.take(0), 0)
})

test('what cannot be refused is owed, and paid by waiting', () => {
  const bucket = new TokenBucket(10, 0)
  assert.equal(bucket.owe(10, 0), 0)
  assert.equal(bucket.owe(5, 0), 500)
  assert.equal(bucket.owe(5, 0), 1_000)
  assert.equal(bucket.owe(1, 1_000), 100)
  assert.equal(bucket.owe(1_000_000, 1_000), waitMaxMs)
})

test('a rate of nothing makes nobody wait for ever, nor lets anybody through', () => {
  const bucket = new TokenBucket(0, 0, 0)
  assert.equal(bucket.take(1_000_000), waitMaxMs)
})

test('another rate holds from then on', () => {
  const bucket = new TokenBucket(100, 0)
  bucket.turn(2, 0)
  assert.equal(bucket.take(0), 0)
  assert.equal(bucket.take(0), 0)
  assert.equal(bucket.take(0), 500)
})

test('over any time no more are taken than a burst and the rate allow, and who waits as told gets one', () => {
  const steps = fc.array(fc.record({ ms: fc.nat(700), tries: fc.nat(20) }), { maxLength: 40 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), steps, (perSecond, walk) => {
      const bucket = new TokenBucket(perSecond, 0)
      let nowMs = 0
      let taken = 0
      for (const { ms, tries } of walk) {
        nowMs += ms
        for (let i = 0; i < tries; i++) {
          const waitMs = bucket.take(nowMs)
          if (waitMs === 0) taken++
          else {
            nowMs += waitMs
            assert.equal(bucket.take(nowMs), 0)
            taken++
          }
        }
        assert.ok(taken <= perSecond + (perSecond * nowMs) / 1_000 + 0.001)
      }
    }),
    { numRuns: 200 },
  )
})
