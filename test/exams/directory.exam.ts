import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { same } from '../support/engine-words.ts'

const main = 'shop/locker/main'

/** What every directory must do: src/contract/directory.ts. */
export function directoryExam(name: string, subject: EngineSubject): void {
  describe(`${name}: directory`, () => {
    test('who claims a channel holds it, and is found', async (t) => {
      const rig = await Rig.make(t, subject)
      const { directory, node } = rig.engine
      assert.equal(await directory.find(main), undefined)
      const claim = await directory.claim(main, 'link-1')
      same({ ...claim, term: 0 }, { channel: main, node, link: 'link-1', term: 0 })
      assert.ok(Number.isSafeInteger(claim.term) && claim.term > 0, 'a term is a number')
      assert.equal(await directory.renew(claim), true)
      same(await directory.find(main), claim)
    })

    test('rule 19: the newest claim wins, and its term is higher', async (t) => {
      const rig = await Rig.make(t, subject)
      const { directory } = rig.engine
      const older = await directory.claim(main, 'link-1')
      const newer = await directory.claim(main, 'link-2')
      assert.ok(newer.term > older.term, 'terms grow')
      assert.equal(await directory.renew(older), false)
      assert.equal(await directory.renew(newer), true)
      assert.equal((await directory.find(main))?.link, 'link-2')
    })

    test('rule 19: the release of what another has claimed since does nothing', async (t) => {
      const rig = await Rig.make(t, subject)
      const { directory } = rig.engine
      const older = await directory.claim(main, 'link-1')
      const newer = await directory.claim(main, 'link-2')
      directory.release(older)
      assert.equal(await directory.renew(newer), true)
      same(await directory.find(main), newer)
    })

    test('what is released has no holder, and releasing it again does nothing', async (t) => {
      const rig = await Rig.make(t, subject)
      const { directory } = rig.engine
      const claim = await directory.claim(main, 'link-1')
      directory.release(claim)
      assert.equal(await directory.find(main), undefined)
      assert.equal(await directory.renew(claim), false)
      directory.release(claim)
      const next = await directory.claim(main, 'link-2')
      assert.ok(next.term > claim.term, 'terms grow over a release too')
      directory.release(claim)
      assert.equal(await directory.renew(next), true)
    })

    test('claims of channels whose names begin alike are apart', async (t) => {
      const rig = await Rig.make(t, subject)
      const { directory } = rig.engine
      const channels = ['shop/ab/main', 'shop/abc/main', 'shop/ab/main2', 'shop/ab-/main']
      for (const channel of channels) await directory.claim(channel, `link of ${channel}`)
      directory.release((await directory.find('shop/ab/main'))!)
      assert.equal(await directory.find('shop/ab/main'), undefined)
      for (const channel of channels.slice(1)) {
        assert.equal((await directory.find(channel))?.link, `link of ${channel}`)
      }
      assert.equal(await directory.find('constructor'), undefined)
    })

    test('rule 19: terms grow across a restart and a crash', async (t) => {
      const rig = await Rig.make(t, subject)
      const claim = async () => {
        await rig.engine.directory.claim('shop/other/main', 'link')
        return (await rig.engine.directory.claim(main, 'link')).term
      }
      const terms = [await claim(), await claim()]
      await rig.restart()
      terms.push(await claim())
      await rig.crash()
      terms.push(await claim())
      await rig.crash()
      terms.push(await claim(), await claim())
      for (let i = 1; i < terms.length; i++) {
        assert.ok(terms[i]! > terms[i - 1]!, `not growing: ${terms}`)
      }
    })

    test('a node has a name of its own at every start', async (t) => {
      const rig = await Rig.make(t, subject)
      const nodes = [rig.engine.node]
      await rig.restart()
      nodes.push(rig.engine.node)
      await rig.crash()
      nodes.push(rig.engine.node)
      assert.equal(new Set(nodes).size, 3)
    })

    test('the links of a process that is gone hold nothing', async (t) => {
      const rig = await Rig.make(t, subject)
      const claim = await rig.engine.directory.claim(main, 'link-1')
      await rig.crash()
      const found = await rig.engine.directory.find(main)
      assert.notEqual(found?.node, rig.engine.node)
      await rig.engine.directory.claim(main, 'link-2')
      rig.engine.directory.release(claim)
      assert.equal(await rig.engine.directory.renew(claim), false)
      assert.equal((await rig.engine.directory.find(main))?.link, 'link-2')
    })
  })
}
