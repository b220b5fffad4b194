import assert from 'node:assert/strict'
import test from 'node:test'
import type { Head, Position } from '../../src/contract/index.ts'
import { epochsKept, StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { append, keep, linked, readNames, same, settle } from '../support/engine-words.ts'
import { turn } from '../support/turns.ts'

const main = 'shop/locker/main'

export function mailboxRestartExam(subject: EngineSubject): void {
  test('rule 13: a channel is numbered anew when it is asked to be, and stays so', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const before = await keep(rig, 'shop/locker/main')
    const head = await mailbox.open('shop/locker/main', true)
    const epoch = head.epochs.at(-1)!.epoch
    assert.notEqual(epoch, before.epoch, 'the same epoch')
    assert.deepEqual(
      head.epochs.map((span) => span.last),
      [before.offset, before.offset],
    )
    const after = await keep(rig, 'shop/locker/main')
    assert.equal(after.epoch, epoch, 'not numbered in the new epoch')
    assert.equal(after.offset, before.offset + 1, 'an offset was used twice')
    const again = await mailbox.open('shop/locker/main')
    assert.equal(again.epochs.at(-1)!.epoch, epoch, 'numbered anew without being asked')
    assert.equal((await mailbox.find('shop/locker/main', before.epoch, 1))?.kind, 'open')
  })

  test('rule 13: a clean restart goes on in the same epoch', async (t) => {
    const rig = await Rig.make(t, subject)
    const before = await keep(rig, main, { name: 'before' })
    await rig.restart()
    const after = await keep(rig, main, { name: 'after' })
    assert.equal(after.epoch, before.epoch)
    assert.ok(after.offset > before.offset, 'offsets grow')
    assert.deepEqual(await readNames(rig, main), ['before', 'after'])
    assert.ok(
      known(await rig.engine.mailbox.open(main), before),
      'a known position is not understood',
    )
  })

  test('rule 13: a crash begins a new epoch at the next append', async (t) => {
    const rig = await Rig.make(t, subject)
    const before = await keep(rig, main, { name: 'before' })
    await rig.crash()
    const after = await keep(rig, main, { name: 'after' })
    assert.notEqual(after.epoch, before.epoch)
    assert.ok(after.offset > before.offset, 'offsets of a channel only grow')
    assert.deepEqual(await readNames(rig, main), ['before', 'after'])
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.epochs.at(-1)?.epoch, after.epoch)
    assert.ok(known(head, before), 'the old numbering is still understood')
    assert.ok(known(head, after), 'a known position is not understood')
    const never = { epoch: before.epoch, offset: after.offset }
    assert.ok(!known(head, never), 'but not beyond its last')
  })

  test('rule 13: opening a channel after a crash names the epoch that comes', async (t) => {
    const rig = await Rig.make(t, subject)
    const before = await keep(rig, main)
    await rig.crash()
    const head = await rig.engine.mailbox.open(main)
    assert.ok(known(head, before), 'a known position is not understood')
    const current = head.epochs.at(-1)?.epoch
    assert.equal((await keep(rig, main)).epoch, current)
    await rig.restart()
    assert.equal((await keep(rig, main)).epoch, current)
  })

  test('rule 13: the epoch an open has named is understood after a crash', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main)
    await rig.crash()
    const named = (await rig.engine.mailbox.open(main)).epochs.at(-1)!.epoch
    await rig.crash()
    const head = await rig.engine.mailbox.open(main)
    assert.ok(known(head, { epoch: named, offset }), 'a known position is not understood')
    assert.notEqual(head.epochs.at(-1)?.epoch, named)
  })

  test('rule 13: opening an unused channel names no epoch but one that appends will use', async (t) => {
    const rig = await Rig.make(t, subject)
    const head = await rig.engine.mailbox.open(main)
    const { cursor, top, sentUpTo, intended, open, uplinks, attempts } = head
    same(
      { cursor, top, sentUpTo, intended, open, uplinks, attempts },
      { cursor: 0, top: 0, sentUpTo: 0, intended: 0, open: [] },
    )
    const { epoch } = await keep(rig, main)
    if (head.epochs.length > 0) assert.equal(head.epochs.at(-1)?.epoch, epoch)
    assert.equal((await rig.engine.mailbox.open(main)).epochs.at(-1)?.epoch, epoch)
  })

  test('rule 13: each channel keeps its last sixteen epochs, oldest first', async (t) => {
    const rig = await Rig.make(t, subject)
    const told: Position[] = []
    for (let i = 0; i < epochsKept + 3; i++) {
      const { epoch, offset } = await keep(rig, main)
      told.push({ epoch, offset })
      await rig.crash()
    }
    const { epoch, offset } = await keep(rig, main)
    told.push({ epoch, offset })
    const head = await rig.engine.mailbox.open(main)
    assert.deepEqual(
      head.epochs.map((span) => span.epoch),
      told.slice(-epochsKept).map((position) => position.epoch),
    )
    for (const position of told.slice(-epochsKept))
      assert.ok(known(head, position), 'a known position is not understood')
    for (let i = 1; i < told.length; i++)
      assert.ok(told[i]!.offset > told[i - 1]!.offset, 'offsets grow')
  })

  test('rule 13: a backup taken while it ran begins a new epoch', async (t) => {
    const rig = await Rig.make(t, subject)
    const before = await keep(rig, main, { name: 'before' })
    await rig.engine.flushed()
    const restore = await rig.store.backup()
    const lost = await keep(rig, main, { name: 'lost' })
    await rig.stop()
    await restore()
    await rig.start()
    await hasForgotten(rig, before, lost)
  })

  test('rule 13: a backup taken after a clean close begins a new epoch too', async (t) => {
    const rig = await Rig.make(t, subject)
    const before = await keep(rig, main, { name: 'before' })
    await rig.stop()
    const restore = await rig.store.backup()
    await rig.start()
    const lost = await keep(rig, main, { name: 'lost' })
    await rig.stop()
    await restore()
    await rig.start()
    await hasForgotten(rig, before, lost)
  })

  test('rule 13: a backup restored twice begins another epoch each time', async (t) => {
    const rig = await Rig.make(t, subject)
    const before = await keep(rig, main)
    await rig.stop()
    const restore = await rig.store.backup()
    const epochs = [before.epoch]
    for (let i = 0; i < 3; i++) {
      await restore()
      await rig.start()
      epochs.push((await keep(rig, main)).epoch)
      await rig.stop()
    }
    assert.equal(new Set(epochs).size, 4)
    await rig.start()
    assert.equal((await keep(rig, main)).epoch, epochs.at(-1), 'then it is the store, not a copy')
  })

  test('rule 4: after a crash all up to the kept intent may have been sent, and no more', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = []
    for (const name of ['a', 'b', 'c', 'd']) kept.push(await keep(rig, main, { name }))
    const [a, , c] = kept.map(({ offset }) => offset) as [number, number, number]
    assert.equal(await rig.engine.mailbox.intend(main, c), true)
    rig.engine.mailbox.sent(main, a, rig.clock.nowMs())
    await rig.crash()
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.intended, c)
    assert.equal(head.sentUpTo, c)
    assert.deepEqual(sentOf(head), [true, true, true, false])
    const { commands: read } = await rig.engine.mailbox.read(main, 0, 10)
    assert.deepEqual(
      read.map(({ maybeSent }) => maybeSent),
      [true, true, true, false],
    )
  })

  test('rule 4: a clean restart knows exactly what was sent', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = []
    for (const name of ['a', 'b', 'c']) kept.push(await keep(rig, main, { name }))
    const [a, , c] = kept.map(({ offset }) => offset) as [number, number, number]
    await rig.engine.mailbox.intend(main, c)
    rig.engine.mailbox.sent(main, a, rig.clock.nowMs())
    await rig.restart()
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.sentUpTo, a)
    assert.equal(head.intended, c)
    assert.deepEqual(sentOf(head), [true, false, false])
    await rig.restart()
    assert.deepEqual(sentOf(await rig.engine.mailbox.open(main)), [true, false, false])
    await rig.crash()
    assert.deepEqual(sentOf(await rig.engine.mailbox.open(main)), [true, true, true])
  })

  test('rule 4: a clean restart knows what was sent on a channel nobody holds any more', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await keep(rig, main, {}, linked)
    await keep(rig, main, {}, linked)
    rig.engine.mailbox.sent(main, a.offset, rig.clock.nowMs())
    rig.engine.mailbox.release(main)
    await rig.restart()
    assert.deepEqual(sentOf(await rig.engine.mailbox.open(main)), [true, false])
  })

  test('rule 4: without an intent a crash leaves what was never sent', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main)
    await rig.crash()
    const head = await rig.engine.mailbox.open(main)
    assert.deepEqual(sentOf(head), [false])
    assert.equal(head.sentUpTo, 0)
  })

  test('rule 4: an intent never goes back', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main)
    await rig.engine.mailbox.intend(main, offset + 5)
    await rig.engine.mailbox.intend(main, offset)
    await settle(rig, main, { intendUpTo: offset })
    const next = await keep(rig, main, {}, linked)
    assert.ok(next.offset < offset + 5, 'below the intent')
    assert.equal((await rig.engine.mailbox.open(main)).intended, offset + 5)
    await rig.crash()
    assert.equal((await rig.engine.mailbox.open(main)).intended, offset + 5)
  })

  test('rule 4: an intent beyond the top says nothing of what comes after a crash', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main, { name: 'old' })
    await rig.engine.mailbox.intend(main, offset + 100)
    await rig.crash()
    await keep(rig, main, { name: 'new' })
    assert.deepEqual(sentOf(await rig.engine.mailbox.open(main)), [true, false])
    await rig.crash()
    assert.deepEqual(sentOf(await rig.engine.mailbox.open(main)), [true, true])
  })

  test('what is kept beside the commands survives a crash', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main, { expect: 'reply' }, linked)
    const waiting = await keep(rig, main, {}, linked)
    rig.engine.mailbox.sent(main, waiting.offset, rig.clock.nowMs())
    const atMs = rig.clock.nowMs() + 3
    const attempts = { offset: waiting.offset, sessions: 4 }
    await settle(rig, main, {
      changes: [{ kind: 'delivered', offset, atMs }],
      uplinks: '{"epoch":7}',
      attempts,
    })
    const before = await rig.engine.mailbox.open(main)
    await rig.crash()
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.uplinks, '{"epoch":7}')
    assert.deepEqual(head.attempts, attempts)
    assert.equal(head.cursor, before.cursor)
    assert.equal(head.top, before.top)
    assert.deepEqual(
      head.open.map(({ deliveredAtMs }) => deliveredAtMs),
      [atMs, undefined],
    )
  })

  test('a hundred commands on ten channels are whole and in order after a crash', async (t) => {
    const rig = await Rig.make(t, subject)
    const channels = Array.from({ length: 10 }, (_, i) => `shop/locker-${i}/main`)
    const appends = channels.flatMap((channel) =>
      Array.from({ length: 10 }, (_, i) => keep(rig, channel, { name: `step-${i}` })),
    )
    await Promise.all(appends)
    await rig.crash()
    for (const channel of channels) {
      assert.deepEqual(
        await readNames(rig, channel),
        Array.from({ length: 10 }, (_, i) => `step-${i}`),
      )
    }
  })

  test('rule 14: the cursor does not pass an end, unreceived, that a crash could take back', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    const [a, b] = [await keep(rig, main), await keep(rig, main)]
    // There is something to wait for, and then one ends while it is being written.
    const settled = settle(rig, main, { uplinks: 'before' })
    const opened = mailbox.open(main)
    await turn()
    let kept = false
    const change = { kind: 'ended', offset: a.offset, status: 'canceled', atMs: 1 } as const
    mailbox.settle(main, { changes: [change] }, () => {
      kept = true
    })
    const { cursor } = await opened
    assert.ok(cursor < a.offset || kept, 'past an end that is not kept')
    await settled
    await rig.engine.flushed()
    assert.equal((await mailbox.open(main)).cursor, b.offset - 1)
  })

  test('a close tells the truth of what is outstanding', async (t) => {
    const rig = await Rig.make(t, subject)
    const { engine } = rig
    const answers = ['a', 'b', 'c'].map((name) => append(rig, main, { name }))
    const settled = settle(rig, main, { uplinks: 'outstanding' })
    await rig.stop()
    const kept = (await Promise.all(answers)).filter(({ kind }) => kind === 'kept')
    const outcome = await settled
    await rig.start()
    assert.notEqual(rig.engine, engine)
    assert.equal((await readNames(rig, main)).length, kept.length)
    const { uplinks } = await rig.engine.mailbox.open(main)
    assert.equal(uplinks, outcome === 'kept' ? 'outstanding' : undefined)
  })

  test('a closed mailbox keeps nothing, and says so', async (t) => {
    const rig = await Rig.make(t, subject)
    const { engine } = rig
    await keep(rig, main)
    await rig.stop()
    const late = { engine, clock: rig.clock }
    assert.equal(engine.state, 'closed')
    await assert.rejects(keep(late, main), /unavailable/)
    assert.equal(await settle(late, main, { uplinks: 'late' }), 'unavailable')
    assert.equal(await engine.mailbox.intend(main, 7), false)
    await assert.rejects(async () => engine.mailbox.read(main, 0, 1), StoreUnavailable)
    await rig.start()
    assert.equal((await rig.engine.mailbox.open(main)).uplinks, undefined)
  })
}

/** Would a device that stands there be understood? */
const known = (head: Head, { epoch, offset }: Position): boolean =>
  head.epochs.some((span) => span.epoch === epoch && offset <= span.last)

const sentOf = (head: Head): readonly boolean[] => head.open.map(({ maybeSent }) => maybeSent)

/** The store was put back to where only `before` was; a device may stand at `lost`. */
async function hasForgotten(rig: Rig, before: Position, lost: Position): Promise<void> {
  const head = await rig.engine.mailbox.open(main)
  assert.ok(known(head, before), 'a known position is not understood')
  assert.ok(!known(head, lost), 'a device that stands there has seen what nobody knows')
  const after = await keep(rig, main, { name: 'after' })
  assert.notEqual(after.epoch, before.epoch)
  assert.ok(!known(await rig.engine.mailbox.open(main), lost), 'it is believed though lost')
  assert.deepEqual(await readNames(rig, main), ['before', 'after'])
}
