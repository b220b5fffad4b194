import assert from 'node:assert/strict'

/** One turn of the event loop, and what it sets off. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await turn()
}

/** Longer than any machine is busy with other things: only what hangs is given up, by its name. */
const giveUpAfterMs = 60_000

/**
 * Wait for a condition, a turn at a time. Turns are not counted: keys are derived and files written
 * on other threads, and how many turns fit in beside them depends on who else uses the machine.
 *
 * @param what is told when it never comes true; left out: the condition as it is written.
 */
export async function until(
  condition: () => boolean,
  what = String(condition),
  each?: () => void,
): Promise<void> {
  const giveUpAtMs = performance.now() + giveUpAfterMs
  while (!condition()) {
    assert.ok(performance.now() < giveUpAtMs, `never came true: ${what}`)
    each?.()
    await turn()
  }
}
