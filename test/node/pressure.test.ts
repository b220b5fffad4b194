import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Adapter } from '../../src/contract/index.ts'
import { limits } from '../../src/contract/index.ts'
import { createLog } from '../../src/node/log.ts'
import { Pressure, ProcessSignals } from '../../src/node/pressure.ts'
import { ManualClock } from '../support/manual-clock.ts'

test('a gateway with too much to do goes step by step, sends some away at last, and takes all again when it is well', () => {
  const clock = new ManualClock()
  const told: string[] = []
  const { log } = createLog({
    level: 'info',
    human: false,
    to: { write: (line) => void told.push((JSON.parse(line) as { event: string }).event) },
  })
  let loop = 2
  let sentAway = 0
  const adapter: Adapter = {
    name: 'a',
    start: async () => [],
    stop: async () => {},
    figures: () => ({}),
    sendAway: (max) => {
      sentAway += max
      return max
    },
  }
  const levels: number[] = []
  const pressure = new Pressure({
    ...{ clock, log, adapters: [adapter] },
    read: () => ({ loop, memory: 0.1, commits: 0.2 }),
    press: (level) => void levels.push(level),
  })
  pressure.start()
  clock.advance(30_000)
  assert.deepEqual(levels, [1, 2, 3, 4, 5])
  assert.ok(sentAway >= 300, `${sentAway} were sent away`)
  assert.equal(pressure.figures().overload_level, 5)
  loop = 0.1
  clock.advance(60_000)
  assert.deepEqual(levels.slice(5), [4, 3, 2, 1, 0])
  assert.deepEqual([...new Set(told)], ['overload.more', 'overload.less'])
  pressure.stop()
})

test('the signals of this process are shares, and a store that is slow to commit is one', () => {
  const figures = { commits_total: 10, commit_seconds_sum: 20, commit_pending: 0 }
  const signals = new ProcessSignals(limits, () => figures)
  const { loop, memory, commits } = signals.read()
  signals.stop()
  assert.equal(commits, 2_000 / limits.overloadCommitMs)
  assert.ok(loop >= 0 && memory > 0, 'shares')
})
