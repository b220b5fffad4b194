import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { type Cause, type Effect, Lifecycle } from '../../devices/lifecycle.ts'
import { reconnectPolicy } from '../../devices/reconnect.ts'

const policy = reconnectPolicy
const make = (random = 0.5) => new Lifecycle({ startTimeoutMs: 10_000, random: () => random })
const kinds = (effects: readonly Effect[]) => effects.map(({ kind }) => kind)
const local: Cause = { kind: 'local', text: 'cut' }
const closed = (code: number, retryAfterMs = 0): Cause => ({
  kind: 'closed',
  code,
  retryAfterMs,
  text: 'go',
})

/** Started and ready at 0. */
function ready(random = 0.5): Lifecycle {
  const life = make(random)
  life.input({ kind: 'start' }, 0)
  life.input({ kind: 'ready', connection: 1, policy }, 0)
  return life
}

test('start connects, ready runs, stop says goodbye, and what an old connection says is ignored', () => {
  const life = make()
  assert.deepEqual(kinds(life.input({ kind: 'start' }, 0)), ['connect', 'state'])
  assert.deepEqual(kinds(life.input({ kind: 'start' }, 1)), [])
  assert.deepEqual(kinds(life.input({ kind: 'ready', connection: 9, policy }, 1)), [])
  assert.deepEqual(kinds(life.input({ kind: 'ready', connection: 1, policy }, 2)), ['state'])
  assert.deepEqual(kinds(life.input({ kind: 'stop' }, 3)), ['disconnect', 'state'])
  assert.deepEqual(life.state, { kind: 'stopped', reason: { kind: 'asked' } })
  for (const kind of ['stop', 'tick'] as const) assert.deepEqual(life.input({ kind }, 1e9), [])
  assert.deepEqual(life.input({ kind: 'lost', connection: 1, cause: local }, 4), [])
})

test('a try that is not ready in time is given up and repeated after the delay', () => {
  const life = make()
  life.input({ kind: 'start' }, 0)
  assert.equal(life.dueMs, 10_000)
  assert.deepEqual(kinds(life.input({ kind: 'tick' }, 10_000)), ['disconnect', 'state'])
  assert.deepEqual(life.state.kind === 'waiting' && life.state.untilMs, 10_500)
  assert.deepEqual(kinds(life.input({ kind: 'tick' }, 10_500)), ['connect', 'state'])
})

test('a connection that did its work is replaced within a second; one that did not, after a backoff', () => {
  const proved = ready(0.9)
  proved.input({ kind: 'acknowledged', connection: 1 }, 5)
  proved.input({ kind: 'lost', connection: 1, cause: local }, 100)
  assert.equal(proved.dueMs, 100 + 900)

  const longer = ready(0.9)
  longer.input({ kind: 'lost', connection: 1, cause: local }, 30_000)
  assert.equal(longer.dueMs, 30_900)

  // Connect and drop, over and over: the first is met gently, the others are not.
  const dropped = make(0.9)
  const waits: number[] = []
  let nowMs = 0
  dropped.input({ kind: 'start' }, nowMs)
  for (let connection = 1; connection <= 7; connection++) {
    dropped.input({ kind: 'ready', connection, policy }, nowMs)
    dropped.input({ kind: 'lost', connection, cause: local }, nowMs)
    waits.push(dropped.dueMs - nowMs)
    nowMs = dropped.dueMs
    dropped.input({ kind: 'tick' }, nowMs)
  }
  assert.deepEqual(waits, [900, 1000, 1900, 2900, 4800, 7700, 12_500])
})

test('a closing code says what comes next: now, later, elsewhere, never', () => {
  const after = (cause: Cause): number => {
    const life = ready()
    life.input({ kind: 'acknowledged', connection: 1 }, 0)
    life.input({ kind: 'lost', connection: 1, cause }, 0)
    return life.dueMs
  }
  assert.equal(after(closed(0)), 500)
  assert.equal(after(closed(64)), 1_000)
  assert.equal(after(closed(64, 60_000)), 60_500)
  assert.equal(after(closed(128)), 500)
  assert.equal(after({ kind: 'going-away', spreadMs: 8_000 }), 4_000)
  assert.equal(after(closed(197)), Number.POSITIVE_INFINITY)
  // A mistake at the server must not send a device away for good.
  assert.equal(after(closed(64, 1e12)), 3_600_500)
})

test('sent away, it comes at its place, and asks at the pace of the spread while nobody is there', () => {
  const life = ready(0.25)
  life.input({ kind: 'acknowledged', connection: 1 }, 0)
  const comesAt: number[] = []
  let cause: Cause = { kind: 'going-away', spreadMs: 4_000 }
  for (let nowMs = 0; comesAt.length < 4; nowMs = life.dueMs) {
    life.input({ kind: 'tick' }, nowMs)
    life.input({ kind: 'lost', connection: life.connection, cause }, nowMs)
    comesAt.push(life.dueMs)
    cause = local
  }
  assert.deepEqual(comesAt, [1_000, 5_000, 9_000, 13_000])
  // It draws again for the next row.
  life.input({ kind: 'tick' }, 13_000)
  life.input({ kind: 'ready', connection: life.connection, policy }, 13_000)
  life.input({ kind: 'acknowledged', connection: life.connection }, 13_000)
  life.input({ kind: 'lost', connection: life.connection, cause: local }, 20_000)
  assert.equal(life.dueMs, 20_250)
})

test('refused because the gateway goes, it comes when it was told to, and then soon again', () => {
  const life = make(0.5)
  life.input({ kind: 'start' }, 0)
  life.input({ kind: 'lost', connection: 1, cause: closed(128, 2_000) }, 0)
  assert.equal(life.dueMs, 2_500)
  const waits: number[] = []
  for (let nowMs = 2_500; waits.length < 8; nowMs = life.dueMs) {
    life.input({ kind: 'tick' }, nowMs)
    life.input({ kind: 'lost', connection: life.connection, cause: local }, nowMs)
    waits.push(life.dueMs - nowMs)
  }
  assert.deepEqual(waits, Array(8).fill(1_000))
})

test('refused is stopped, with the reason, until a restart', () => {
  const life = ready()
  life.input({ kind: 'lost', connection: 1, cause: closed(198) }, 0)
  assert.deepEqual(life.state, {
    kind: 'stopped',
    reason: { kind: 'refused', code: 198, text: 'go' },
  })
  assert.deepEqual(life.input({ kind: 'tick' }, 1e9), [])
  assert.deepEqual(kinds(life.input({ kind: 'restart' }, 1e9)), ['connect', 'state'])
})

test('patrol restarts what runs and is not usable, and only that', () => {
  const life = ready()
  assert.deepEqual(life.input({ kind: 'patrol', usable: true }, 5), [])
  assert.deepEqual(kinds(life.input({ kind: 'patrol', usable: false }, 6)), ['disconnect', 'state'])
  assert.equal(life.state.kind, 'waiting')
})

type Step =
  | { readonly do: 'start' | 'stop' | 'restart' | 'due' | 'ready' | 'acknowledged' | 'storage' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'patrol'; readonly usable: boolean }
  | { readonly do: 'lost'; readonly cause: Cause; readonly old: boolean }

const cause: fc.Arbitrary<Cause> = fc.oneof(
  fc.constant(local),
  fc
    .record({ code: fc.integer({ min: 0, max: 255 }), retryAfterMs: fc.nat(1e7) })
    .map(({ code, retryAfterMs }) => closed(code, retryAfterMs)),
  fc.nat(1e7).map((spreadMs): Cause => ({ kind: 'going-away', spreadMs })),
)

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>(
    { do: 'start' },
    { do: 'stop' },
    { do: 'restart' },
    { do: 'due' },
    { do: 'ready' },
    { do: 'acknowledged' },
    { do: 'storage' },
  ),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(100_000) }),
  fc.record({ do: fc.constant('patrol' as const), usable: fc.boolean() }),
  fc.record({ do: fc.constant('lost' as const), cause, old: fc.boolean() }),
)

test('a device nobody visits asks again an hour after it was refused for good, and no more often', () => {
  for (const [refusedRetryMs, afterMs] of [
    [1, 3_600_000],
    [7_200_000, 7_200_000],
  ] as const) {
    const life = new Lifecycle({ startTimeoutMs: 10_000, random: () => 0.5, refusedRetryMs })
    life.input({ kind: 'start' }, 0)
    life.input({ kind: 'ready', connection: 1, policy }, 0)
    for (const [at, code] of [199, 197].entries()) {
      const fromMs = at * 10_000_000
      const connection = life.connection
      life.input({ kind: 'lost', connection, cause: closed(code) }, fromMs)
      const untilMs = fromMs + afterMs * 1.05
      assert.deepEqual(life.state, { kind: 'waiting', untilMs, why: 'go' })
      assert.deepEqual(life.input({ kind: 'tick' }, untilMs - 1), [])
      assert.deepEqual(kinds(life.input({ kind: 'tick' }, untilMs)), ['connect', 'state'])
    }
    life.input({ kind: 'ready', connection: life.connection, policy }, 20_000_000)
    assert.equal(life.state.kind, 'running', 'somebody enabled it again')
  }
})

test('any order of inputs: one connection at most, nothing after a stop, never stuck', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (steps, random) => {
        const life = make(random)
        let nowMs = 0
        let open: number | undefined
        let newest = 0
        const give = (input: Parameters<Lifecycle['input']>[0]): void => {
          const stoppedBefore = life.state.kind === 'stopped'
          const effects = life.input(input, nowMs)
          if (stoppedBefore && input.kind !== 'start' && input.kind !== 'restart')
            assert.deepEqual(effects, [], 'an effect after a stop')
          for (const [index, effect] of effects.entries()) {
            if (effect.kind === 'connect') {
              assert.equal(open, undefined, 'two connections')
              assert.ok(effect.connection > newest, 'a number used twice')
              open = newest = effect.connection
            } else if (effect.kind === 'disconnect') {
              assert.equal(effect.connection, open, 'closed what is not open')
              open = undefined
            } else {
              assert.equal(index, effects.length - 1, 'something follows the announcement')
              assert.equal(effect.state, life.state)
            }
          }
          const { kind } = life.state
          assert.equal(open !== undefined, kind === 'starting' || kind === 'running')
          if (kind === 'starting' || kind === 'waiting') {
            assert.ok(life.dueMs < Number.POSITIVE_INFINITY, 'stuck: nothing will wake it')
            assert.ok(life.dueMs - nowMs <= 3_602_000, 'sent away for too long')
          }
        }
        for (const one of steps) {
          switch (one.do) {
            case 'wait':
              nowMs += one.ms
              give({ kind: 'tick' })
              break
            case 'due':
              if (life.dueMs < Number.POSITIVE_INFINITY) nowMs = Math.max(nowMs, life.dueMs)
              give({ kind: 'tick' })
              break
            case 'ready':
              give({ kind: 'ready', connection: life.connection, policy })
              break
            case 'acknowledged':
              give({ kind: 'acknowledged', connection: life.connection })
              break
            case 'lost':
              give({ kind: 'lost', connection: one.old ? newest - 1 : newest, cause: one.cause })
              break
            case 'patrol':
              give({ kind: 'patrol', usable: one.usable })
              break
            case 'storage':
              give({ kind: 'storage-failed', text: 'disk' })
              break
            default:
              give({ kind: one.do })
          }
        }
        // Whatever happened: once the server can be reached, a started client ends running.
        give({ kind: 'start' })
        for (let tries = 0; life.state.kind !== 'running'; tries++) {
          assert.ok(tries < 5, `stuck in ${life.state.kind}`)
          if (life.state.kind === 'waiting') {
            nowMs = Math.max(nowMs, life.dueMs)
            give({ kind: 'tick' })
          } else give({ kind: 'ready', connection: life.connection, policy })
        }
        // And a stop always ends stopped.
        give({ kind: 'stop' })
        assert.equal(life.state.kind, 'stopped')
        assert.equal(open, undefined)
      },
    ),
    { numRuns: 2_000 },
  )
})
