import assert from 'node:assert/strict'
import test from 'node:test'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { append, endings, keep, linked, readNames, same, settle } from '../support/engine-words.ts'

const main = 'shop/locker/main'
const drop = { overflow: 'drop-oldest' } as const
const bytes = (length: number) => ({ payload: new Uint8Array(length) })

export function mailboxBoundsExam(subject: EngineSubject): void {
  test('a full mailbox refuses, says how full, and takes again once one has ended', async (t) => {
    const rig = await Rig.make(t, subject)
    const startedAtMs = rig.clock.nowMs()
    const first = await keep(rig, main, bytes(10), { maxCommands: 2 })
    rig.clock.advance(5)
    await keep(rig, main, bytes(20), { maxCommands: 2 })
    const depth = { commands: 2, bytes: 30, oldestAtMs: startedAtMs }
    same(await append(rig, main, {}, { maxCommands: 2 }), { kind: 'full', depth })
    same(await rig.engine.mailbox.depth(main), depth)
    await settle(rig, main, { changes: [canceled(rig, first.offset)] })
    same(await rig.engine.mailbox.depth(main), {
      commands: 1,
      bytes: 20,
      oldestAtMs: startedAtMs + 5,
    })
    await keep(rig, main, {}, { maxCommands: 2 })
  })

  test('the bound holds for what is appended at once', async (t) => {
    const rig = await Rig.make(t, subject)
    const all = Array.from({ length: 5 }, () => append(rig, main, {}, { maxCommands: 3 }))
    assert.deepEqual(
      (await Promise.all(all)).map(({ kind }) => kind),
      ['kept', 'kept', 'kept', 'full', 'full'],
    )
  })

  test('bytes are bounded as well as commands', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, bytes(60), { maxBytes: 100 })
    assert.equal((await append(rig, main, bytes(41), { maxBytes: 100 })).kind, 'full')
    await keep(rig, main, bytes(40), { maxBytes: 100 })
    await keep(rig, main, bytes(0), { maxBytes: 100 })
  })

  test('a delivered command that awaits its reply is open, but its bytes are free', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main, { ...bytes(90), expect: 'reply' }, linked)
    rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    await settle(rig, main, {
      changes: [{ kind: 'delivered', offset, atMs: rig.clock.nowMs() }],
    })
    const { commands, bytes: used } = await rig.engine.mailbox.depth(main)
    assert.deepEqual({ commands, used }, { commands: 1, used: 0 })
    await keep(rig, main, bytes(90), { maxBytes: 100, maxCommands: 2 })
    assert.equal((await append(rig, main, {}, { maxCommands: 2 })).kind, 'full')
  })

  test('an unused mailbox is empty', async (t) => {
    const rig = await Rig.make(t, subject)
    same(await rig.engine.mailbox.depth(main), {
      commands: 0,
      bytes: 0,
      oldestAtMs: undefined,
    })
  })

  test('drop-oldest ends the oldest as dropped, together with the append', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const name of ['a', 'b']) await keep(rig, main, { name }, { ...drop, maxCommands: 2 })
    await keep(rig, main, { name: 'c' }, { ...drop, maxCommands: 2 })
    assert.deepEqual(await readNames(rig, main), ['b', 'c'])
    assert.deepEqual(await endings(rig, 'shop'), ['a dropped(mailbox-full)'])
    same(await rig.engine.mailbox.counts('shop'), { accepted: 3, open: 2, ended: { dropped: 1 } })
  })

  test('drop-oldest lets as many go as the new one needs, and no more', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const name of ['a', 'b', 'c', 'd']) {
      await keep(rig, main, { name, ...bytes(25) }, { ...drop, maxBytes: 100 })
    }
    await keep(rig, main, { name: 'big', ...bytes(50) }, { ...drop, maxBytes: 100 })
    assert.deepEqual(await readNames(rig, main), ['c', 'd', 'big'])
  })

  test('what can never fit is refused, and nobody is dropped for it', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'a' }, drop)
    const big = await append(rig, main, bytes(101), { ...drop, maxBytes: 100 })
    assert.equal(big.kind, 'full')
    assert.deepEqual(await readNames(rig, main), ['a'])
    assert.deepEqual(await endings(rig, 'shop'), [])
  })

  test('rule 3: drop-oldest passes over what may be sent, and refuses if nothing can go', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, { name: 'a' })
    const b = await keep(rig, main, { name: 'b' })
    await keep(rig, main, { name: 'c' })
    await rig.engine.mailbox.intend(main, b.offset)
    rig.engine.mailbox.sent(main, a.offset, rig.clock.nowMs())
    rig.engine.mailbox.sent(main, b.offset, rig.clock.nowMs())
    await keep(rig, main, { name: 'd' }, { ...drop, maxCommands: 3 })
    assert.deepEqual(await readNames(rig, main), ['a', 'b', 'd'])
    assert.deepEqual(await endings(rig, 'shop'), ['c dropped(mailbox-full)'])
    assert.equal((await append(rig, main, {}, { ...drop, maxCommands: 2 })).kind, 'full')
    assert.deepEqual(await readNames(rig, main), ['a', 'b', 'd'])
  })

  test('rule 3: what a link was given is never dropped, though a drop was outstanding', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const name of ['a', 'b']) await keep(rig, main, { name, collapse: name })
    await rig.engine.mailbox.intend(main, 1_000)
    const pushing = append(rig, main, { name: 'c', collapse: 'a' }, { ...drop, maxCommands: 2 })
    const { commands: given } = await rig.engine.mailbox.read(main, 0, 1)
    for (const { offset } of given) rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    await pushing
    const gone = (await endings(rig, 'shop')).map((ending) => ending.split(' ')[0])
    for (const { name } of given) assert.ok(!gone.includes(name), `${name} was given to a link`)
  })

  test('rule 3: of an attached channel nothing goes that a link is about to be given', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    await keep(rig, main, { name: 'a', collapse: 'door' })
    const b = await keep(rig, main, { name: 'b' })
    await keep(rig, main, { name: 'c' })
    await mailbox.open(main)
    await mailbox.intend(main, b.offset)
    await keep(rig, main, { name: 'd', collapse: 'door' }, { ...drop, maxCommands: 3 })
    assert.deepEqual(await readNames(rig, main), ['a', 'b', 'd'])
    const full = await append(rig, main, { name: 'e' }, { ...drop, maxCommands: 2 })
    assert.equal(full.kind, 'full')
    // Nobody is about to write it any more, and it was not sent.
    mailbox.release(main)
    await keep(rig, main, { name: 'f', collapse: 'door' }, { ...drop, maxCommands: 2 })
    assert.deepEqual(await readNames(rig, main), ['b', 'f'])
    assert.deepEqual([...(await endings(rig, 'shop'))].sort(), [
      'a superseded(collapsed)',
      'c dropped(mailbox-full)',
      'd superseded(collapsed)',
    ])
  })

  test('a mailbox that overflows all the time is read all the same', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const bounded = { ...drop, maxCommands: 4 }
    for (let i = 0; i < 4; i++) await keep(rig, main, {}, bounded)
    await mailbox.open(main)
    const commits = () => rig.engine.figures().commits_total!
    const patience = commits() + 3_000
    let over = false
    const posts: Promise<unknown>[] = []
    const post = (): void => {
      if (over || commits() > patience) return
      posts.push(append(rig, main, {}, bounded))
      setImmediate(post)
    }
    post()
    for (let reads = 0, after = 0; reads < 5; reads++) {
      const { commands, lookedUpTo } = await mailbox.read(main, after, 2)
      assert.ok(commits() <= patience, 'nothing is read before the posts stop')
      assert.ok(commands.length > 0 && lookedUpTo > after, 'nothing is read')
      after = commands.at(-1)!.offset
      const atMs = rig.clock.nowMs()
      mailbox.sent(main, after, atMs)
      const status = 'delivered' as const
      await settle(rig, main, {
        changes: commands.map(({ offset }) => ({ kind: 'ended', offset, status, atMs })),
      })
    }
    over = true
    await Promise.all(posts)
  })

  test('what collapses makes room for what replaces it', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'a' })
    await keep(rig, main, { name: 'b', collapse: 'door' })
    await keep(rig, main, { name: 'c', collapse: 'door' }, { maxCommands: 2 })
    assert.deepEqual(await readNames(rig, main), ['a', 'c'])
  })

  test('a command that is refused replaces nobody', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'a', collapse: 'door', ...bytes(10) })
    const refused = await append(
      rig,
      main,
      { name: 'b', collapse: 'door', ...bytes(200) },
      { maxBytes: 100 },
    )
    assert.equal(refused.kind, 'full')
    assert.deepEqual(await readNames(rig, main), ['a'])
    assert.deepEqual(await endings(rig, 'shop'), [])
  })

  test('collapse and drop-oldest together let each go once', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const [name, collapse] of [['a'], ['b', 'door'], ['c']] as const) {
      await keep(rig, main, { name, ...(collapse && { collapse }) })
    }
    await keep(rig, main, { name: 'd', collapse: 'door' }, { ...drop, maxCommands: 2 })
    assert.deepEqual(await readNames(rig, main), ['c', 'd'])
    assert.deepEqual([...(await endings(rig, 'shop'))].sort(), [
      'a dropped(mailbox-full)',
      'b superseded(collapsed)',
    ])
    same(await rig.engine.mailbox.counts('shop'), {
      accepted: 4,
      open: 2,
      ended: { dropped: 1, superseded: 1 },
    })
  })
}

const canceled = (rig: Rig, offset: number) =>
  ({ kind: 'ended', offset, status: 'canceled', atMs: rig.clock.nowMs() }) as const
