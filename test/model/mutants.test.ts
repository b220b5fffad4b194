import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mutants } from './mutants.ts'
import { run } from './run.ts'

/** Stories in which a broken gateway must have been found out. */
const runs = 60

for (const [name, make] of Object.entries(mutants)) {
  test(`the model notices a gateway that ${name}`, async () => {
    const options = { engine: 'memory', seed: 7, runs, shrinks: false } as const
    await assert.rejects(run({ ...options, sabotage: make() }), /Property failed/)
  })
}
