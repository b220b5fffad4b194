import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runDecoders } from './decoders.ts'
import { type RunOptions, run } from './run.ts'
import { protocols } from './targets.ts'

const options: RunOptions = {
  protocols,
  cases: 2_000,
  seed: 20_261_121,
  minutes: 0.5,
  only: undefined,
  lanes: 8,
  together: true,
  progress: () => {},
}

test('the readers take a few thousand mutated inputs: nothing is thrown, and how they are cut changes nothing', () => {
  const { rows, findings } = runDecoders(options)
  assert.deepEqual(findings, [])
  for (const { protocol, cases, read, refused } of rows) {
    assert.equal(cases, options.cases)
    // The mutations reach all of it: some still stand, some are refused.
    assert.ok(read > cases / 50, `${protocol}: only ${read} were read`)
    assert.ok(refused > cases / 50, `${protocol}: only ${refused} were refused`)
  }
})

test('a real gateway takes mutated inputs over every protocol, and the honest notice nothing', async () => {
  const { rows, findings } = await run({ ...options, cases: 120 })
  assert.deepEqual(findings, [])
  assert.deepEqual(
    rows.map(({ cases }) => cases),
    protocols.map(() => 120),
  )
})
