import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../../src/contract/index.ts'
import { randomBy } from '../support/random.ts'
import { judgeReturn } from './run.ts'
import { type VirtualStorm, virtualStorm } from './virtual.ts'

/** The client's life cycle and the gateway's numbers, in virtual time: no machine is in it. */
function storm(seed: number, of: Partial<VirtualStorm> & Pick<VirtualStorm, 'devices' | 'fault'>) {
  const below = randomBy(seed)
  const { devices } = of
  const { backMs, vain } = virtualStorm({
    ...{ downMs: 2_000, perSecond: 8_000, backlogMax: limits.listenBacklog },
    ...{ sliceMax: limits.drainSliceMax, quietMs: 100 },
    spreadMs: Math.max(1_000, (devices / limits.comeBackPerSecond) * 1000),
    random: () => below(2 ** 30) / 2 ** 30,
    ...of,
  })
  return { ...judgeReturn(backMs, devices, 0), lastMs: backMs.at(-1) ?? Number.NaN, vain }
}

/** When the last of the old process's devices was told, and a gateway starts. */
const restartedMs = (devices: number): number => 100 + (devices / limits.drainSliceMax) * 50 + 500

test('20,000 devices whose gateway is restarted politely are back within 5 s, evenly, where it lets in 8,000 a second', () => {
  const downMs = restartedMs(20_000)
  const { back, lastMs, peakOverMean } = storm(1, { devices: 20_000, fault: 'polite', downMs })
  assert.equal(back, 20_000)
  assert.ok(lastMs <= 5_000, `the last one was back after ${lastMs} ms`)
  assert.ok(peakOverMean <= 1.2, `peak over mean ${peakOverMean}`)
})

test('20,000 devices whose gateway is killed come back evenly, whenever it is there again', () => {
  for (const [seed, downMs] of [300, 1_300, 4_000, 33_000].entries()) {
    const { back, peakOverMean } = storm(seed, { devices: 20_000, fault: 'kill', downMs })
    assert.equal(back, 20_000, `after ${downMs} ms`)
    assert.ok(peakOverMean <= 2, `away for ${downMs} ms: peak over mean ${peakOverMean}`)
  }
})

test('however many, however long it is away and however slow it is: all come back, the busiest second has at most twice the mean', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('kill' as const, 'polite' as const),
      fc.integer({ min: 1_500, max: 5_000 }),
      // As likely under a second as over a minute.
      fc.double({ min: 2, max: 5.5, noNaN: true }).map((e) => 10 ** e),
      fc.integer({ min: 500, max: 20_000 }),
      fc.nat(2 ** 30),
      (fault, devices, awayMs, perSecond, seed) => {
        const downMs = fault === 'polite' ? restartedMs(devices) - 500 + awayMs : awayMs
        const { back, peakOverMean } = storm(seed, { devices, fault, downMs, perSecond })
        assert.equal(back, devices)
        assert.ok(peakOverMean <= 2, `peak over mean ${peakOverMean}`)
      },
    ),
    { numRuns: 20 },
  )
})

test('sent away, they wait for the gateway no longer than their spread and its own pace, for half a minute', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 500, max: 5_000 }),
      fc.integer({ min: 100, max: 8_000 }),
      fc.integer({ min: 1_000, max: 20_000 }),
      fc.nat(2 ** 30),
      (devices, awayMs, perSecond, seed) => {
        const downMs = restartedMs(devices) - 500 + awayMs
        const { lastMs } = storm(seed, { devices, fault: 'polite', downMs, perSecond })
        const mostMs = 1_000 + (devices / perSecond) * 1000 + 50
        assert.ok(lastMs <= downMs + mostMs, `${lastMs - downMs} ms of at most ${mostMs}`)
      },
    ),
    { numRuns: 20 },
  )
})

test('with a backlog that holds few, those it has no room for come late and together', () => {
  const of = { devices: 20_000, fault: 'kill', perSecond: 3_000, downMs: 800 } as const
  const narrow = storm(1, { ...of, backlogMax: 511 })
  const wide = storm(1, of)
  assert.ok(wide.peakOverMean < narrow.peakOverMean, 'the backlog makes no difference')
  assert.ok(wide.backMs < narrow.backMs, 'the backlog makes no difference')
})

test('a gateway that lets in 300 a second sends away whom it has no time for, and lets in as many as it can', () => {
  const of = { devices: 19_000, fault: 'kill', perSecond: 300, downMs: 2_000 } as const
  const all = { ...of, backlogMax: Number.POSITIVE_INFINITY }
  const open = storm(1, all)
  const guarded = storm(1, { ...all, door: true })
  assert.equal(guarded.back, of.devices)
  assert.ok(open.vain > of.devices / 2, `${open.vain} in vain without a door`)
  // In the first second it does not know yet how slow it is.
  assert.ok(guarded.vain < open.vain / 4, `${guarded.vain} of ${open.vain} in vain`)
  const bestMs = of.downMs + (of.devices / of.perSecond) * 1000
  assert.ok(guarded.lastMs < 1.5 * bestMs, `${guarded.lastMs} ms, ${bestMs} at best`)
  assert.ok(guarded.peakOverMean <= 2, `peak over mean ${guarded.peakOverMean}`)
})

test('where there is time for all nobody is sent away', () => {
  const of = { devices: 5_000, fault: 'kill', perSecond: 3_000, downMs: 2_000 } as const
  const all = { ...of, backlogMax: Number.POSITIVE_INFINITY }
  assert.equal(storm(1, { ...all, door: true }).lastMs, storm(1, all).lastMs)
})
