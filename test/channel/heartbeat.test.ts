import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Fleet, ladderStep } from '../../src/channel/fleet.ts'
import { Heartbeat, silenceFailed, silenceProves } from '../../src/channel/heartbeat.ts'

const short = { minMs: 4_000, maxMs: 30_000 }
const battery = { minMs: 60_000, maxMs: 1_500_000 }
const day = 24 * 3_600_000

/** Beats behind a NAT that forgets after `natMs`, one after the other. @returns what was granted each time. */
function beats(heartbeat: Heartbeat, natMs: number, count: number, range = battery, atMs = 0) {
  const granted: number[] = []
  let nowMs = atMs
  for (let i = 0; i < count; i++) {
    const ms = heartbeat.grant(range, undefined, nowMs)
    granted.push(ms)
    nowMs += ms
    if (ms <= natMs) heartbeat.survived(ms)
    else heartbeat.failed(range, ms, nowMs)
  }
  return granted
}

test('a device climbs by a quarter a beat, loses one connection, and stays at what works', () => {
  const granted = beats(new Heartbeat(), 200_000, 9).map((ms) => ms / 1_000)
  assert.deepEqual(granted, [60, 75, 93, 116, 145, 181, 226, 181, 181])
})

test('a day later it tries once more; behind a NAT with a longer memory it climbs on', () => {
  const heartbeat = new Heartbeat()
  beats(heartbeat, 200_000, 20)
  assert.equal(heartbeat.grant(battery, undefined, 0.9 * day), 181_000)
  const granted = beats(heartbeat, 300_000, 4, battery, 1.3 * day)
  assert.deepEqual(
    granted.map((ms) => ms / 1_000),
    [226, 282, 352, 282],
  )
})

test('one failure where it worked changes nothing; two are a step down, four the beginning', () => {
  const heartbeat = new Heartbeat()
  beats(heartbeat, 400_000, 12)
  const ms = heartbeat.provenMs
  assert.equal(ms, 352_000)
  heartbeat.failed(battery, ms, 0)
  assert.equal(heartbeat.grant(battery, undefined, 0), ms)
  heartbeat.failed(battery, ms, 0)
  assert.equal(heartbeat.grant(battery, undefined, 0), 282_000)
  heartbeat.failed(battery, 282_000, 0)
  heartbeat.failed(battery, 282_000, 0)
  assert.equal(heartbeat.grant(battery, undefined, 0), 60_000)
  assert.ok(Math.max(...beats(heartbeat, 100_000, 30)) < 282_000, 'it climbs into what failed')
})

test('a NAT that forgets now and then where it worked is given way to', () => {
  const heartbeat = new Heartbeat()
  beats(heartbeat, 400_000, 12)
  for (let i = 0; i < 40 && heartbeat.provenMs === 352_000; i++) {
    if (i % 8 === 7) heartbeat.failed(battery, 352_000, 0)
    else heartbeat.survived(352_000)
  }
  assert.equal(heartbeat.provenMs, 282_000)
})

test('only a device that was idle until its beat, and back at once, was forgotten', () => {
  const lost = (silentMs: number, patience = 0) =>
    silenceFailed({ silentMs, grantedMs: 100_000, patience })
  assert.equal(lost(10_000), false) // a reboot, a move, data
  assert.equal(lost(89_999), false)
  assert.equal(lost(111_000), true)
  assert.equal(lost(121_000), false) // it was away for another reason
  assert.equal(lost(205_000, 1), true) // MQTT waits for an interval
  assert.equal(silenceProves(89_999, 100_000), false)
  assert.equal(silenceProves(90_000, 100_000), true)
})

test('a network that most left at one place keeps the next device from losing its connection there', () => {
  const fleet = new Fleet()
  for (let i = 0; i < 19; i++) fleet.move(undefined, { ms: 282_000, limited: true })
  assert.equal(fleet.startMs, undefined)
  fleet.move(undefined, { ms: 282_000, limited: true })
  assert.equal(fleet.startMs, 282_000)
  assert.equal(fleet.endsAt(282_000), true)
  assert.equal(fleet.endsAt(226_000), false)
  const heartbeat = new Heartbeat()
  assert.equal(heartbeat.grant(battery, fleet, 0), 282_000)
  heartbeat.survived(282_000)
  assert.equal(heartbeat.grant(battery, fleet, 0), 282_000)
  for (let i = 0; i < 30; i++) fleet.move(undefined, { ms: 1_500_000, limited: false })
  assert.equal(fleet.endsAt(282_000), false)
  assert.equal(heartbeat.grant(battery, fleet, 0), 352_000)
})

test('a device that settles elsewhere is counted there alone', () => {
  const fleet = new Fleet()
  const heartbeat = new Heartbeat()
  const tell = () => {
    const news = heartbeat.news(battery)
    if (news !== undefined) fleet.move(news.from, news.to)
  }
  beats(heartbeat, 200_000, 20)
  tell()
  tell()
  assert.equal(fleet.size, 1)
  beats(heartbeat, 2_000_000, 20, battery, 2 * day)
  tell()
  assert.equal(fleet.size, 1)
  assert.equal(fleet.endsAt(181_000), false)
})

const moves = fc.array(
  fc.record({
    what: fc.constantFrom('survives', 'fails', 'later', 'kept'),
    range: fc.constantFrom(
      short,
      battery,
      { minMs: 60_000, maxMs: 300_000 },
      { minMs: 210_000, maxMs: 210_000 },
    ),
    ms: fc.integer({ min: 0, max: 3 * day }),
  }),
  { maxLength: 120, size: 'max' },
)

test('whatever happens: never outside what is allowed, never more than a step over what was proven', () => {
  fc.assert(
    fc.property(
      moves,
      fc.array(fc.integer({ min: 5_000, max: 1_500_000 }), { maxLength: 60 }),
      (all, known) => {
        const fleet = new Fleet()
        for (const ms of known) fleet.move(undefined, { ms, limited: ms % 2 === 0 })
        let heartbeat = new Heartbeat()
        let nowMs = 0
        for (const { what, range, ms } of all) {
          const before = heartbeat.provenMs
          const granted = heartbeat.grant(range, fleet, nowMs)
          assert.ok(granted >= range.minMs && granted <= range.maxMs, `${granted}`)
          assert.equal(granted % 1_000, 0)
          const most = before > 0 ? before * ladderStep : (fleet.startMs ?? 0)
          assert.ok(granted <= Math.max(range.minMs, most), `${granted} after ${before}`)
          if (what === 'survives') {
            heartbeat.survived(granted)
            assert.ok(heartbeat.provenMs >= before, 'a beat that passed took something back')
          } else if (what === 'fails') {
            heartbeat.failed(range, granted, nowMs)
            if (granted > before) assert.equal(heartbeat.provenMs, before)
            assert.ok(heartbeat.provenMs <= before, 'a failure proved something')
          } else if (what === 'later') nowMs += ms
          else heartbeat = new Heartbeat(heartbeat.encode())
          const news = heartbeat.news(range)
          if (news !== undefined) fleet.move(news.from, news.to)
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('what is kept is read again as it was; what nobody wrote is a device nobody knows', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 60_000, max: 2_000_000 }),
      fc.integer({ min: 1, max: 40 }),
      (natMs, count) => {
        const heartbeat = new Heartbeat()
        beats(heartbeat, natMs, count)
        heartbeat.news(battery)
        const again = new Heartbeat(heartbeat.encode())
        assert.equal(again.encode(), heartbeat.encode())
        assert.equal(again.grant(battery, undefined, 0), heartbeat.grant(battery, undefined, 0))
      },
    ),
    { numRuns: 100 },
  )
  for (const text of ['', 'x', '1,2', '-1,0,0,0,0,0,0', 'NaN,0,0,0,0,0,0']) {
    assert.equal(new Heartbeat(text).provenMs, 0, text)
    assert.equal(new Fleet(text).endsAt(60_000), false, text)
  }
})
