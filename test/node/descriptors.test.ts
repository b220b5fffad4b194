import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { descriptorsMax, placesWithin } from '../../src/node/descriptors.ts'

test('a process knows how many descriptors it may have', () => {
  const max = descriptorsMax()
  assert.ok(max > 100, String(max))
})

test('however few descriptors there are: back ends have places, and the process keeps a part for itself', () => {
  const wanted = fc.record({
    devices: fc.integer({ min: 1, max: 1e6 }),
    backEnds: fc.integer({ min: 1, max: 20_000 }),
  })
  fc.assert(
    fc.property(fc.integer({ min: 64, max: 2 ** 20 }), wanted, (descriptors, asked) => {
      const { devices, backEnds } = placesWithin(descriptors, asked)
      assert.ok(devices > 0 && devices <= asked.devices)
      assert.ok(backEnds > 0 && backEnds <= asked.backEnds)
      assert.ok(devices + backEnds <= descriptors - Math.min(1_024, Math.floor(descriptors / 4)))
    }),
  )
  const all = { devices: 100_000, backEnds: 16_384 }
  assert.deepEqual(placesWithin(Number.POSITIVE_INFINITY, all), all)
  assert.deepEqual(placesWithin(2 ** 20, all), all)
  assert.deepEqual(placesWithin(1_024, all), { devices: 704, backEnds: 64 })
})
