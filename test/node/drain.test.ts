import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Adapter, limits } from '../../src/contract/index.ts'
import { type Crowd, NodeDrain } from '../../src/node/drain.ts'
import { createLog } from '../../src/node/log.ts'
import { ManualClock } from '../support/manual-clock.ts'

/** A gateway with so many sessions; those sent away are gone after a while. */
function stage(sessions: number, change: { inFlight?: number; goneAfterMs?: number } = {}) {
  const clock = new ManualClock()
  const events: string[] = []
  const { log } = createLog({
    level: 'info',
    human: false,
    to: { write: (line) => void events.push((JSON.parse(line) as { event: string }).event) },
  })
  const slices: number[] = []
  let untold = sessions
  let present = sessions
  let comeBackMs: (() => number) | undefined
  let hungUp = false
  const crowd = {
    get present() {
      return present
    },
    inFlight: change.inFlight ?? 0,
    leave: (ms: (() => number) | undefined) => {
      comeBackMs = ms
    },
    hangUp: () => {
      hungUp = true
      present = 0
    },
  } satisfies Crowd
  const adapter: Adapter = {
    name: 'a',
    start: async () => [],
    stop: async () => {},
    figures: () => ({}),
    sendAway(max) {
      const told = Math.min(max, untold)
      untold -= told
      if (told > 0) slices.push(told)
      clock.at(clock.nowMs() + (change.goneAfterMs ?? 0), 'gone', () => {
        present = Math.max(0, present - told)
      })
      return told
    },
  }
  const drain = new NodeDrain({ adapters: [adapter], crowd, clock, limits, log })
  return {
    ...{ drain, clock, events, slices, crowd },
    comeBackMs: () => comeBackMs?.(),
    untold: () => untold,
    hungUp: () => hungUp,
  }
}

test('everybody is sent away in slices, and told to come back so that a bounded number a second do', () => {
  const { drain, clock, slices, comeBackMs, events } = stage(20_000)
  const begun = drain.begin()
  assert.equal(begun.state, 'draining')
  assert.equal(begun.comeBackWithinMs, (20_000 / limits.comeBackPerSecond) * 1000)
  clock.advance(2_000)
  assert.equal(drain.now().state, 'drained')
  assert.equal(drain.now().left, 0)
  assert.deepEqual(slices, Array(20).fill(limits.drainSliceMax))
  assert.ok((comeBackMs() ?? 0) >= 1_000, 'who comes now is told when to come again')
  assert.deepEqual([events[0], events.at(-1)], ['drain.begun', 'drain.ended'])
})

test('nobody is sent away while what was written to them is on its way to be acknowledged', () => {
  const { drain, clock, crowd, untold } = stage(10, { inFlight: 3 })
  drain.begin()
  clock.advance(500)
  assert.equal(untold(), 10)
  crowd.inFlight = 0
  clock.advance(100)
  assert.equal(untold(), 0)
})

test('a device that does not acknowledge holds nobody up', () => {
  const { drain, clock, untold } = stage(10, { inFlight: 3 })
  drain.begin()
  clock.advance(1_100)
  assert.equal(untold(), 0)
})

test('whoever has not gone in time is hung up on', () => {
  const { drain, clock, hungUp } = stage(10, { goneAfterMs: 3_600_000 })
  drain.begin()
  clock.advance(limits.drainMaxMs + 100)
  assert.equal(drain.now().state, 'drained')
  assert.ok(hungUp(), 'the rest')
})

test('a canceled drain lets devices in again, and a stop that waits for it goes on', async () => {
  const { drain, clock, comeBackMs } = stage(10, { goneAfterMs: 3_600_000 })
  const finished = drain.finished()
  clock.advance(100)
  assert.equal(drain.cancel().state, 'open')
  await finished
  assert.equal(comeBackMs(), undefined)
})

test('whatever is asked of it in whatever order: devices are refused if and only if it is not open, and it ends', () => {
  const steps = fc.array(
    fc.oneof(
      fc.constant('begin' as const),
      fc.constant('cancel' as const),
      fc.integer({ min: 1, max: 3_000 }),
    ),
    { maxLength: 20 },
  )
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 0, max: 5_000 }),
      fc.nat(9_000),
      (all, count, goneAfterMs) => {
        const { drain, clock, comeBackMs } = stage(count, { goneAfterMs })
        for (const step of all) {
          if (step === 'begin') drain.begin()
          else if (step === 'cancel') drain.cancel()
          else clock.advance(step)
          assert.equal(comeBackMs() === undefined, drain.now().state === 'open')
        }
        drain.begin()
        clock.advance(limits.drainMaxMs + 100)
        assert.equal(drain.now().state, 'drained')
      },
    ),
  )
})
