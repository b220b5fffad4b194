import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { seeded } from '../../cli/seeded.ts'
import { type Conditions, fair, readConditions } from '../../cli/weather/conditions.ts'
import { DatagramLink, StreamLink, type Way } from '../../cli/weather/link.ts'

test('weather is read part by part, and what is wrong is named', () => {
  assert.deepEqual(readConditions('loss=5%,rtt=200ms,flap=30s,nat=60s,torn=2%'), {
    ...fair,
    loss: 0.05,
    rttMs: 200,
    flapMs: 30_000,
    natMs: 60_000,
    torn: 0.02,
  })
  for (const [text, named] of [
    ['', '""'],
    ['fog=1%', '"fog"'],
    ['__proto__=1%', '"__proto__"'],
    ['loss=5', 'loss'],
    ['loss=101%', 'loss'],
    ['rtt=200', 'rtt'],
    ['rtt=25h', 'rtt'],
    ['nat=-1s', 'nat'],
    ['loss=1%,loss=2%', 'loss'],
  ] as const) {
    const read = readConditions(text)
    assert.ok(typeof read === 'string' && read.includes(named), `${text}: ${String(read)}`)
  }
})

const share = fc.double({ min: 0, max: 0.5, noNaN: true })
const someMs = fc.integer({ min: 0, max: 2_000 })
const conditions = fc.record({
  loss: share,
  rttMs: someMs,
  jitterMs: someMs,
  torn: share,
  reset: fc.double({ min: 0, max: 0.05, noNaN: true }),
  stall: share,
  twice: share,
  reorder: share,
  flapMs: fc.integer({ min: 0, max: 60_000 }),
  natMs: fc.integer({ min: 0, max: 60_000 }),
  rebindMs: fc.integer({ min: 0, max: 60_000 }),
}) satisfies fc.Arbitrary<Conditions>
const sent = fc.array(
  fc.record({
    afterMs: fc.integer({ min: 0, max: 90_000 }),
    way: fc.constantFrom<Way>('up', 'down'),
    bytes: fc.integer({ min: 1, max: 70_000 }),
  }),
  { maxLength: 60 },
)

describe('a stream in bad weather', () => {
  test('loses nothing but its end, turns nothing round, and carries nothing after it died', () => {
    fc.assert(
      fc.property(conditions, sent, fc.nat(), (weather, all, seed) => {
        let nowMs = 0
        const link = new StreamLink(weather, seeded(seed), nowMs)
        const arrivedMs = { up: 0, down: 0 }
        let silent = false
        for (const { afterMs, way, bytes } of all) {
          nowMs += afterMs
          const carried = link.carry(way, bytes, nowMs)
          if (carried.kind === 'reset') return
          if (carried.kind === 'swallowed') {
            silent ||= way === 'up'
            continue
          }
          assert.ok(!silent, 'it spoke after it had fallen silent')
          let left = bytes
          for (const piece of carried.pieces) {
            assert.ok(piece.bytes > 0 && piece.atMs >= arrivedMs[way], 'out of order, or empty')
            assert.ok(piece.atMs >= nowMs + weather.rttMs / 2, 'faster than the way is long')
            arrivedMs[way] = piece.atMs
            left -= piece.bytes
          }
          assert.equal(left, 0)
        }
      }),
    )
  })

  test('what a NAT has forgotten comes back to nobody', () => {
    const link = new StreamLink({ ...fair, natMs: 60_000 }, seeded(1), 0)
    assert.equal(link.carry('up', 10, 60_000).kind, 'pieces')
    assert.equal(link.carry('down', 10, 120_001).kind, 'swallowed')
    assert.notEqual(link.carry('up', 10, 120_002).kind, 'pieces')
  })

  test('half of the links that die are reset, half fall silent', () => {
    const ends = { pieces: 0, reset: 0, swallowed: 0 }
    for (let seed = 0; seed < 1_000; seed++) {
      const link = new StreamLink({ ...fair, flapMs: 30_000 }, seeded(seed), 0)
      ends[link.carry('up', 1, 10 * 60_000).kind]++
    }
    assert.equal(ends.pieces, 0)
    assert.ok(ends.reset > 400 && ends.swallowed > 400, JSON.stringify(ends))
  })
})

describe('datagrams in bad weather', () => {
  test('come once, twice or never, and not before the way is gone', () => {
    fc.assert(
      fc.property(conditions, sent, fc.nat(), (weather, all, seed) => {
        let nowMs = 0
        const link = new DatagramLink(weather, seeded(seed), nowMs)
        for (const { afterMs, way } of all) {
          nowMs += afterMs
          if (way === 'up') link.rebinds(nowMs)
          const arrivals = link.carry(way, nowMs)
          assert.ok(arrivals.length <= 2)
          for (const atMs of arrivals) assert.ok(atMs >= nowMs + weather.rttMs / 2)
        }
      }),
    )
  })

  test('about as many are lost, doubled and overtaken as was asked for', () => {
    const weather = { ...fair, loss: 0.2, twice: 0.1, reorder: 0.2, rttMs: 20 }
    const link = new DatagramLink(weather, seeded(7), 0)
    let lost = 0
    let twice = 0
    let late = 0
    for (let i = 0; i < 10_000; i++) {
      const arrivals = link.carry('up', 0)
      if (arrivals.length === 0) lost++
      if (arrivals.length === 2) twice++
      if (arrivals[0]! > 10) late++
    }
    assert.ok(Math.abs(lost - 2_000) < 200, `${lost} lost`)
    assert.ok(Math.abs(twice - 800) < 150, `${twice} twice`)
    assert.ok(Math.abs(late - 1_600) < 200, `${late} late`)
  })

  test('a device that was quiet for longer than the NAT remembers has another address', () => {
    const link = new DatagramLink({ ...fair, natMs: 60_000 }, seeded(1), 0)
    assert.equal(link.rebinds(60_000), false)
    link.carry('up', 60_000)
    assert.deepEqual(link.carry('down', 121_000), [])
    assert.equal(link.rebinds(121_001), true)
    assert.equal(link.rebinds(121_002), false)
  })
})
