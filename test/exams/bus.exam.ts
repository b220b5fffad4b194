import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import type { Hint } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'

const mail = (top: number): Hint => ({ kind: 'mail', channel: 'shop/locker/main', top })

/** What every bus must do: src/contract/bus.ts. */
export function busExam(name: string, subject: EngineSubject): void {
  describe(`${name}: bus`, () => {
    test('a hint to a node is heard there, as it was sent', async (t) => {
      const rig = await Rig.make(t, subject)
      const { bus, node } = rig.engine
      const hint: Hint = { kind: 'taken-over', channel: 'shop/locker/main', term: 7 }
      const heard = await new Promise<Hint>((resolve) => {
        bus.listen(resolve)
        bus.send(node, hint)
      })
      assert.deepEqual(heard, hint)
    })

    test('a hint is heard after its sending, never within', async (t) => {
      const rig = await Rig.make(t, subject)
      const { bus, node } = rig.engine
      let sending = true
      const within = new Promise<boolean>((resolve) => {
        bus.listen(() => resolve(sending))
      })
      bus.send(node, mail(1))
      sending = false
      assert.equal(await within, false)
    })

    test('hints arrive in order, at most once, at everyone who listens', async (t) => {
      const rig = await Rig.make(t, subject)
      const { bus, node } = rig.engine
      const heard: number[][] = [[], []]
      const done = heard.map(
        (tops) =>
          new Promise<void>((resolve) => {
            bus.listen((hint) => {
              assert.ok(hint.kind === 'mail', 'another hint')
              tops.push(hint.top)
              if (hint.top === 9) resolve()
            })
          }),
      )
      for (let top = 0; top < 10; top++) bus.send(node, mail(top))
      await Promise.all(done)
      for (const tops of heard) assert.deepEqual(tops, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    })

    test('who has stopped listening hears nothing', async (t) => {
      const rig = await Rig.make(t, subject)
      const { bus, node } = rig.engine
      let stopped = 0
      const stop = bus.listen(() => stopped++)
      stop()
      stop()
      await new Promise<void>((resolve) => {
        bus.listen(() => resolve())
        bus.send(node, mail(1))
      })
      assert.equal(stopped, 0)
    })

    test('a hint to a node that is not there goes nowhere, without complaint', async (t) => {
      const rig = await Rig.make(t, subject)
      const { bus, node } = rig.engine
      const heard: Hint[] = []
      const done = new Promise<void>((resolve) => {
        bus.listen((hint) => {
          heard.push(hint)
          if (hint.kind === 'mail' && hint.top === 2) resolve()
        })
      })
      bus.send('nobody', mail(1))
      bus.send('constructor', mail(1))
      bus.send(node, mail(2))
      await done
      assert.deepEqual(heard, [mail(2)])
    })
  })
}
