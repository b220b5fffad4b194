import assert from 'node:assert/strict'
import test from 'node:test'
import type { KeptCommand } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { append, keep, linked, readNames, same, settle } from '../support/engine-words.ts'
import { turn } from '../support/turns.ts'

const main = 'shop/locker/main'

export function mailboxReadExam(subject: EngineSubject): void {
  test('commands come in order, after an offset, at most so many', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = []
    for (const name of ['a', 'b', 'c', 'd']) kept.push(await keep(rig, main, { name }))
    assert.deepEqual(await readNames(rig, main), ['a', 'b', 'c', 'd'])
    assert.deepEqual(await readNames(rig, main, kept[1]!.offset), ['c', 'd'])
    assert.deepEqual(await readNames(rig, main, 0, 2), ['a', 'b'])
    assert.deepEqual(await readNames(rig, main, kept[0]!.offset, 1), ['b'])
    assert.deepEqual(await readNames(rig, main, kept[3]!.offset), [])
    assert.deepEqual(await readNames(rig, main, kept[3]!.offset + 1_000), [])
    assert.deepEqual(await readNames(rig, 'shop/nobody/main'), [])
  })

  test('nothing is read past a command whose end, unreceived, is not kept yet', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const [gone, next] = [await keep(rig, main, { name: 'gone' }), await keep(rig, main)]
    await mailbox.open(main)
    for (const end of ['expired', 'canceled', 'dropped'] as const) {
      let kept = false
      const settled = (): void => {
        kept = true
      }
      const change = { kind: 'ended', offset: gone.offset, status: end, atMs: 0 } as const
      mailbox.settle(main, { changes: [change] }, settled)
      const { commands: found } = await mailbox.read(main, gone.offset, 10)
      assert.equal(kept, true, `read past ${end} before it was kept`)
      assert.deepEqual(
        found.map(({ offset }) => offset),
        [next.offset],
      )
    }
  })

  test('a read says how far it looked, so that nothing is taken for looked at that was not', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const [a, b, c] = [await keep(rig, main), await keep(rig, main), await keep(rig, main)]
    const looked = async (after: number, max: number) =>
      (await mailbox.read(main, after, max)).lookedUpTo
    assert.ok(await looked(0, 2).then((upTo) => upTo >= b.offset && upTo < c.offset))
    assert.equal(await looked(0, 3), c.offset)
    assert.equal(await looked(a.offset, 10), c.offset)
    assert.ok((await looked(0, 0)) < a.offset)
    assert.equal(await looked(c.offset + 1_000, 10), c.offset)
    await settle(rig, main, { changes: [expired(rig, c.offset)] })
    assert.equal(await looked(b.offset, 10), c.offset, 'a hole needs no sending')
    same(await mailbox.read('shop/nobody/main', 0, 10), { commands: [], lookedUpTo: 0 })
  })

  test('rule 14: what lies before a command that was passed over is read, what lies behind waits', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const all = []
    for (const name of ['a', 'b', 'c', 'd']) all.push(await keep(rig, main, { name }))
    const [, b, c, d] = all.map(({ offset }) => offset) as [number, number, number, number]
    await mailbox.open(main)
    let kept = false
    mailbox.settle(main, { changes: [expired(rig, c)] }, () => {
      kept = true
    })
    const early = await mailbox.read(main, 0, 10)
    const upTo = kept ? d : c - 1
    const names = kept ? ['a', 'b', 'd'] : ['a', 'b']
    same(
      { ...early, commands: early.commands.map(({ name }) => name) },
      { commands: names, lookedUpTo: upTo },
    )
    const late = await mailbox.read(main, b, 10)
    assert.ok(kept, 'read past an end that was not kept')
    same(
      { ...late, commands: late.commands.map(({ name }) => name) },
      { commands: ['d'], lookedUpTo: d },
    )
  })

  test('whatever ends while a read is on its way, all up to where it looked is in it', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const kept: KeptCommand[] = []
    for (const name of ['a', 'b', 'c', 'd', 'e']) kept.push(await keep(rig, main, { name }))
    const gone = kept.map(({ offset }) => offset).filter((_, at) => at !== 0 && at !== 3)
    for (const [at, offset] of gone.entries()) {
      await mailbox.open(main)
      // Payloads that are not in memory have to be read.
      mailbox.release(main)
      const answer = mailbox.read(main, 0, 10)
      let ended = false
      mailbox.settle(main, { changes: [expired(rig, offset)] }, () => {
        ended = true
      })
      const { commands, lookedUpTo } = await answer
      const still = kept.filter((one) => !gone.slice(0, at + 1).includes(one.offset))
      if (answer instanceof Promise) {
        assert.deepEqual(
          commands.map(({ name }) => name),
          still.filter((one) => one.offset <= lookedUpTo).map(({ name }) => name),
        )
        assert.ok(ended || lookedUpTo < offset, 'looked past an end that was not kept')
      }
      await rig.engine.flushed()
    }
    assert.deepEqual(await readNames(rig, main), ['a', 'd'])
  })

  test('nothing is read before it is kept', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'a' })
    let kept = false
    const later = append(rig, main, { name: 'b' }).then(() => {
      kept = true
    })
    const answer = rig.engine.mailbox.read(main, 0, 10)
    if (answer instanceof Promise) {
      const names = (await answer).commands.map(({ name }) => name)
      await turn()
      assert.deepEqual(names, kept ? names : ['a'])
    } else {
      assert.deepEqual(
        answer.commands.map(({ name }) => name),
        ['a'],
      )
    }
    await later
    assert.deepEqual(await readNames(rig, main), ['a', 'b'])
  })

  test('what was ended before the call is not read, kept or not', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, { name: 'a' })
    await keep(rig, main, { name: 'b' })
    const settled = settle(rig, main, { changes: [expired(rig, a.offset)] })
    assert.deepEqual(await readNames(rig, main), ['b'])
    await settled
    assert.deepEqual(await readNames(rig, main), ['b'])
  })

  test('what ends while the answer is on its way is not in it', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, { name: 'a' })
    await keep(rig, main, { name: 'b' })
    rig.engine.mailbox.release(main)
    const later = append(rig, main, { name: 'c' })
    const answer = rig.engine.mailbox.read(main, 0, 10)
    const settled = settle(rig, main, { changes: [expired(rig, a.offset)] })
    if (answer instanceof Promise) {
      assert.ok(
        (await answer).commands.every(({ name }) => name !== 'a'),
        'it ended meanwhile',
      )
    }
    await Promise.all([later, settled])
    assert.deepEqual(await readNames(rig, main), ['b', 'c'])
  })

  test('what was delivered is not read again', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, { name: 'a', expect: 'reply' }, linked)
    await keep(rig, main, { name: 'b' })
    rig.engine.mailbox.sent(main, a.offset, rig.clock.nowMs())
    await settle(rig, main, {
      changes: [{ kind: 'delivered', offset: a.offset, atMs: rig.clock.nowMs() }],
    })
    assert.deepEqual(await readNames(rig, main), ['b'])
  })

  test('a command says whether it may have been sent, and when it first was', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, { name: 'a' })
    const b = await keep(rig, main, { name: 'b' })
    await keep(rig, main, { name: 'c' })
    await rig.engine.mailbox.intend(main, b.offset)
    const firstMs = rig.clock.nowMs()
    rig.engine.mailbox.sent(main, a.offset, firstMs)
    rig.clock.advance(10)
    rig.engine.mailbox.sent(main, b.offset, rig.clock.nowMs())
    const { commands: read } = await rig.engine.mailbox.read(main, 0, 10)
    same(
      read.map(({ name, maybeSent, sentAtMs }) => ({ name, maybeSent, sentAtMs })),
      [
        { name: 'a', maybeSent: true, sentAtMs: firstMs },
        { name: 'b', maybeSent: true, sentAtMs: firstMs + 10 },
        { name: 'c', maybeSent: false },
      ],
    )
    assert.equal((await rig.engine.mailbox.open(main)).sentUpTo, b.offset)
  })

  test('a released channel is read as before', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'a' })
    await rig.engine.mailbox.open(main)
    rig.engine.mailbox.release(main)
    rig.engine.mailbox.release(main)
    assert.deepEqual(await readNames(rig, main), ['a'])
    await keep(rig, main, { name: 'b' })
    rig.engine.mailbox.release('shop/nobody/main')
    assert.deepEqual(await readNames(rig, main), ['a', 'b'])
  })

  test('a release forgets nothing of what was sent', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, { name: 'a' }, linked)
    rig.engine.mailbox.sent(main, a.offset, rig.clock.nowMs())
    rig.engine.mailbox.release(main)
    await keep(rig, main, { name: 'b' })
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.sentUpTo, a.offset)
    assert.deepEqual(
      head.open.map(({ maybeSent }) => maybeSent),
      [true, false],
    )
  })

  test('rule 30: one device never sees the mailbox of another whose name begins alike', async (t) => {
    const rig = await Rig.make(t, subject)
    const alike = [
      'shop/ab/main',
      'shop/abc/main',
      'shop/ab-/main',
      'shop/ab./main',
      'shop/ab~/main',
      'shop/a/main',
      'shop/ab/main2',
      'shop/ab/mai',
      'shop/ab/urgent',
      'sho/ab/main',
      'shop2/ab/main',
      'shop/constructor/main',
      'shop/ab/constructor',
    ]
    for (const channel of alike) await keep(rig, channel, { name: `for-${channel}` })
    await settle(rig, 'shop/abc/main', { uplinks: 'abc' })
    for (const channel of alike) {
      assert.deepEqual(await readNames(rig, channel), [`for-${channel}`])
      assert.equal((await rig.engine.mailbox.depth(channel)).commands, 1)
      const head = await rig.engine.mailbox.open(channel)
      assert.equal(head.open.length, 1)
      assert.equal(head.uplinks, channel === 'shop/abc/main' ? 'abc' : undefined)
    }
    assert.deepEqual([...(await rig.engine.mailbox.channels('shop/ab'))].sort(), [
      'shop/ab/constructor',
      'shop/ab/mai',
      'shop/ab/main',
      'shop/ab/main2',
      'shop/ab/urgent',
    ])
    assert.deepEqual(await rig.engine.mailbox.channels('shop/abc'), ['shop/abc/main'])
    assert.deepEqual(await rig.engine.mailbox.channels('shop/nobody'), [])
    const history = await rig.engine.mailbox.history('shop/ab-', { limit: 10 })
    assert.deepEqual(
      history.items.map(({ command }) => command.channel),
      ['shop/ab-/main'],
    )
    assert.equal((await rig.engine.mailbox.counts('shop')).accepted, 11)
    assert.equal((await rig.engine.mailbox.counts('sho')).accepted, 1)
  })
}

const expired = (rig: Rig, offset: number) =>
  ({ kind: 'ended', offset, status: 'expired', atMs: rig.clock.nowMs() }) as const
