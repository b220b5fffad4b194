import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeCommands, judgeReturn, runStorm } from './run.ts'

for (const fault of ['kill', 'polite'] as const)
  test(`200 devices whose gateway is ${fault === 'kill' ? 'killed' : 'restarted politely'}: all come back, nothing is lost and nothing comes twice`, async () => {
    const result = await runStorm({
      ...{ devices: 200, fault, seed: 1, rate: 50, workers: 1, addresses: 4, patienceS: 120 },
      say: () => {},
    })
    const { back, accepted, lost, repeats } = result
    assert.deepEqual({ back, lost, repeats }, { back: 200, lost: 0, repeats: 0 })
    assert.ok(accepted > 50, `${accepted} commands were accepted`)
  })

test('how even they came is counted over the time it took, and the last of a hundred is not waited for', () => {
  const even = Array.from({ length: 100 }, (_, i) => 1_000 + i * 40)
  const judged = judgeReturn([...even.slice(0, 99), 900_000], 100, 0)
  assert.equal(judged.backMs, 1_000 + 98 * 40)
  assert.ok(judged.peakOverMean < 1.1, `${judged.peakOverMean}`)
  const burst = judgeReturn([...Array(90).fill(1_000), ...Array(10).fill(10_000)], 100, 0)
  assert.ok(burst.peakOverMean > 5, `${burst.peakOverMean}`)
})

test('a command that never came is lost, and one that came before the fault did not wait for it', () => {
  const accepted = new Map([
    [1, 100],
    [2, 900],
    [3, 1_000],
  ])
  const received = new Map([
    [1, 800],
    [2, 3_000],
  ])
  assert.deepEqual(judgeCommands(accepted, received, 1_000, 2_500), {
    ...{ lost: 1, waitMaxMs: 2_100, waitOnceReadyMaxMs: 500 },
  })
})
