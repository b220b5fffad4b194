import assert from 'node:assert/strict'
import test from 'node:test'
import type { EngineState } from '../../src/contract/index.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { append, keep, logEvents, readNames, settle } from '../support/engine-words.ts'

const main = 'shop/locker/main'

/** What is left of a promise when the disk is full or gone. For subjects that can be broken. */
export function mailboxFailureExam(subject: EngineSubject): void {
  const { breakage } = subject
  if (breakage === undefined) return
  for (const why of ['full', 'down'] as const) {
    test(`a store that is ${why} refuses, says so, and comes back`, async (t) => {
      const rig = await Rig.make(t, subject)
      const { engine } = rig
      const states: EngineState[] = []
      engine.onState((state) => states.push(state))
      const before = await keep(rig, main, { name: 'before' }, once('before'))

      const outstanding = append(rig, main, { name: 'outstanding' })
      await breakage.break(engine, why)
      const refused = { kind: 'unavailable', full: why === 'full' }
      const early = await outstanding
      if (early.kind !== 'kept') assert.deepEqual(early, refused)
      assert.deepEqual(await append(rig, main, { name: 'refused' }, once('refused')), refused)
      assert.equal(await settle(rig, main, { uplinks: 'refused' }), 'unavailable')
      assert.equal(await logEvents(rig, []), 'unavailable')
      assert.equal(await engine.mailbox.intend(main, before.offset), false)
      await assert.rejects(
        async () => engine.mailbox.read(main, 0, 10),
        (error) => error instanceof StoreUnavailable && error.full === (why === 'full'),
      )
      await assert.rejects(
        engine.names.putApp({ app: 'shop', createdAtMs: 1 }),
        (error) => error instanceof StoreUnavailable && error.full === (why === 'full'),
      )
      assert.equal(engine.state, why)

      await breakage.mend(engine)
      assert.equal(engine.state, 'ready')
      assert.equal(states[0], why)
      assert.equal(states.at(-1), 'ready')
      assert.equal((await append(rig, main, {}, once('before'))).kind, 'repeat')
      await keep(rig, main, { name: 'after' }, once('refused'))
      const names = await readNames(rig, main)
      assert.equal(names[0], 'before')
      assert.equal(names.at(-1), 'after')
      assert.ok(!names.includes('refused'), 'what was refused was not kept')
      const { accepted, open } = await engine.mailbox.counts('shop')
      assert.equal(accepted, open)
      assert.equal(open, names.length)
      await rig.restart()
      assert.deepEqual(await readNames(rig, main), names)
    })
  }
}

const once = (key: string) => ({ idempotency: { key, hash: 'body' } })
