import test from 'node:test'
import fc from 'fast-check'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { actions } from './mailbox-model-actions.ts'
import { MailboxRun } from './mailbox-model-run.ts'

/**
 * Whatever happens to an engine's mailboxes, in whatever order, they hold what the model holds.
 * More runs by `PIKE_RUNS`; the same again by `PIKE_SEED`.
 */
export function mailboxModelTest(name: string, subject: EngineSubject, runs: number): void {
  test(`${name}: whatever happens, mailboxes hold what their model holds`, async (t) => {
    const seed = Number(process.env.PIKE_SEED ?? Math.trunc(Math.random() * 2 ** 31))
    const numRuns = Number(process.env.PIKE_RUNS ?? runs)
    t.diagnostic(`seed ${seed}, ${numRuns} runs`)
    await fc.assert(
      fc.asyncProperty(actions, async (all) => {
        const rig = await Rig.begin(subject)
        try {
          const run = new MailboxRun(rig)
          for (const action of all) await run.do(action)
          await run.finish()
        } finally {
          await rig.remove()
        }
      }),
      { seed, numRuns },
    )
  })
}
