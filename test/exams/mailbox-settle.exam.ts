import assert from 'node:assert/strict'
import test from 'node:test'
import type { Change, NewEvent, Settlement } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import {
  allEvents,
  end,
  endings,
  keep,
  linked,
  readNames,
  same,
  settle,
} from '../support/engine-words.ts'

const main = 'shop/locker/main'

export function mailboxSettleExam(subject: EngineSubject): void {
  test('an end is history, an event and a count, all at once', async (t) => {
    const rig = await Rig.make(t, subject)
    const startedAtMs = rig.clock.nowMs()
    const kept = await keep(rig, main, { expect: 'reply' }, linked)
    rig.engine.mailbox.sent(main, kept.offset, startedAtMs + 1)
    const reply = {
      status: 'failed',
      reason: 'jammed',
      payload: Buffer.from('{"door":7}'),
      contentType: 'application/json',
    } as const
    const answered = await settle(rig, main, {
      changes: [
        {
          kind: 'ended',
          offset: kept.offset,
          status: 'failed',
          reason: 'jammed',
          atMs: startedAtMs + 9,
          reply,
          steps: [{ status: 'delivered', atMs: startedAtMs + 5 }],
        },
      ],
    })
    assert.equal(answered, 'kept')
    const { id, channel, epoch, offset, name, delivery, expect } = kept
    const { acceptedAtMs, expiresAtMs, askedBy } = kept
    const ended = {
      ...{ id, channel, epoch, offset, name, delivery, expect },
      ...{ acceptedAtMs, expiresAtMs, askedBy, reply },
      ...{ status: 'failed', reason: 'jammed' },
      timeline: [
        { status: 'queued', atMs: startedAtMs },
        { status: 'sent', atMs: startedAtMs + 1 },
        { status: 'delivered', atMs: startedAtMs + 5 },
        { status: 'failed', atMs: startedAtMs + 9, reason: 'jammed' },
      ],
    }
    const found = await rig.engine.mailbox.find(main, epoch, offset)
    same(found, { kind: 'ended', command: ended })
    const [event, ...others] = await allEvents(rig, 'shop')
    assert.deepEqual(others, [])
    const { id: _, ...said } = event!
    same(said, {
      ...{ kind: 'command.ended', app: 'shop', device: 'locker', channel: 'main' },
      ...{ atMs: startedAtMs + 9, ended },
    })
    same(await rig.engine.mailbox.counts('shop'), { accepted: 1, open: 0, ended: { failed: 1 } })
    assert.deepEqual(await readNames(rig, main), [])
  })

  test('a delivered command awaits its reply until it ends', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, epoch } = await keep(rig, main, { expect: 'reply' }, linked)
    const atMs = rig.clock.nowMs()
    rig.engine.mailbox.sent(main, offset, atMs)
    await settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs: atMs + 3 }] })
    const open = await rig.engine.mailbox.find(main, epoch, offset)
    assert.ok(open?.kind === 'open', 'it is open')
    assert.equal(open.command.deliveredAtMs, atMs + 3)
    assert.equal(open.command.maybeSent, true)
    await settle(rig, main, { changes: [end(offset, 'done', atMs + 9)] })
    const ended = await rig.engine.mailbox.find(main, epoch, offset)
    assert.ok(ended?.kind === 'ended', 'it has ended')
    same(ended.command.timeline, [
      { status: 'queued', atMs },
      { status: 'sent', atMs },
      { status: 'delivered', atMs: atMs + 3 },
      { status: 'done', atMs: atMs + 9 },
    ])
  })

  test('a second delivery of one command does not move the first', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, epoch } = await keep(rig, main, { expect: 'reply' }, linked)
    const atMs = rig.clock.nowMs()
    rig.engine.mailbox.sent(main, offset, atMs)
    await settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs }] })
    await settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs: atMs + 1_000 }] })
    const found = await rig.engine.mailbox.find(main, epoch, offset)
    assert.ok(found?.kind === 'open', 'it is open')
    assert.equal(found.command.deliveredAtMs, atMs)
  })

  test('the uplinks of a settlement come before the outcomes of its changes, in order', async (t) => {
    const rig = await Rig.make(t, subject)
    const [a, b] = [await keep(rig, main, { name: 'a' }), await keep(rig, main, { name: 'b' })]
    const atMs = rig.clock.nowMs()
    await settle(rig, main, {
      changes: [end(b.offset, 'done', atMs), end(a.offset, 'failed', atMs)],
      events: [uplink('first', atMs), uplink('second', atMs)],
    })
    const events = await allEvents(rig, 'shop')
    assert.deepEqual(
      events.map((event) => {
        if (event.kind === 'event') return event.name
        return event.kind === 'command.ended' ? `${event.ended.name} ended` : event.kind
      }),
      ['first', 'second', 'b ended', 'a ended'],
    )
  })

  test('rule 8: outcomes never change; a change of what has ended is passed over', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, epoch } = await keep(rig, main)
    const atMs = rig.clock.nowMs()
    const late: readonly Change[] = [
      end(offset, 'done', atMs + 1),
      { kind: 'delivered', offset, atMs: atMs + 1 },
    ]
    await settle(rig, main, { changes: [end(offset, 'in-doubt', atMs), ...late] })
    await settle(rig, main, { changes: late, events: [uplink('late', atMs)] })
    const found = await rig.engine.mailbox.find(main, epoch, offset)
    assert.equal(found?.kind === 'ended' && found.command.status, 'in-doubt')
    assert.deepEqual(await endings(rig, 'shop'), ['open in-doubt()'])
    assert.equal((await allEvents(rig, 'shop')).length, 2)
    same(await rig.engine.mailbox.counts('shop'), {
      accepted: 1,
      open: 0,
      ended: { 'in-doubt': 1 },
    })
  })

  test('rule 8: of two ends in one tick the first holds', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main)
    const atMs = rig.clock.nowMs()
    await Promise.all([
      settle(rig, main, { changes: [end(offset, 'canceled', atMs)] }),
      settle(rig, main, { changes: [end(offset, 'expired', atMs)] }),
    ])
    assert.deepEqual(await endings(rig, 'shop'), ['open canceled()'])
  })

  test('a change of what never was is passed over', async (t) => {
    const rig = await Rig.make(t, subject)
    const atMs = rig.clock.nowMs()
    const { offset } = await keep(rig, main)
    const nobody = { changes: [end(offset + 7, 'done', atMs), end(0, 'done', atMs)] }
    assert.equal(await settle(rig, main, nobody), 'kept')
    assert.equal(await settle(rig, 'shop/nobody/main', nobody), 'kept')
    same(await rig.engine.mailbox.counts('shop'), { accepted: 1, open: 1, ended: {} })
    const next = await keep(rig, main)
    assert.ok(next.offset > offset, 'offsets grow')
  })

  test('rule 12: those acknowledged above the cursor are a set beside it, and survive', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = []
    for (const name of ['a', 'b', 'c']) kept.push(await keep(rig, main, { name, expect: 'reply' }))
    const [a, b, c] = kept.map(({ offset }) => offset) as [number, number, number]
    const atMs = rig.clock.nowMs()
    await rig.engine.mailbox.intend(main, c)
    rig.engine.mailbox.sent(main, c, atMs)
    await settle(rig, main, { changes: [{ kind: 'delivered', offset: b, atMs }] })
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.deepEqual(await readNames(rig, main), ['a', 'c'])
      const head = await rig.engine.mailbox.open(main)
      assert.ok(head.cursor < a, 'the cursor stays before what is undelivered')
      assert.deepEqual(
        head.open.map(({ offset, deliveredAtMs }) => [offset, deliveredAtMs !== undefined]),
        [
          [a, false],
          [b, true],
          [c, false],
        ],
      )
    }
    await settle(rig, main, { changes: [{ kind: 'delivered', offset: a, atMs }] })
    const head = await rig.engine.mailbox.open(main)
    assert.ok(head.cursor >= b && head.cursor < c, 'it moves over the whole set')
    await settle(rig, main, { changes: [end(c, 'done', atMs)] })
    assert.equal((await rig.engine.mailbox.open(main)).cursor, c)
  })

  test('rule 16: what a settlement holds is kept together, or not at all', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = await keep(rig, main, { expect: 'reply' })
    const other = await keep(rig, main)
    const atMs = rig.clock.nowMs()
    const whole: Settlement = {
      changes: [end(kept.offset, 'done', atMs)],
      events: [uplink('__proto__', atMs)],
      uplinks: 'epoch 7, last 3',
      attempts: { offset: other.offset, sessions: 2 },
      intendUpTo: other.offset,
    }
    // Nobody waits for it: the crash may come before or after, but not in between.
    rig.engine.mailbox.settle(main, whole, () => {})
    await rig.crash()
    const parts = async () => {
      const head = await rig.engine.mailbox.open(main)
      const events = await allEvents(rig, 'shop')
      return {
        logged: events.some(({ kind }) => kind === 'event'),
        told: events.some(({ kind }) => kind === 'command.ended'),
        ended: head.open.every(({ offset }) => offset !== kept.offset),
        counted: (await rig.engine.mailbox.counts('shop')).ended.done === 1,
        uplinks: head.uplinks === whole.uplinks,
        attempts: head.attempts?.sessions === 2,
        intended: head.intended === whole.intendUpTo,
      }
    }
    const all = Object.values(await parts())
    assert.ok(new Set(all).size === 1, `in parts: ${JSON.stringify(await parts())}`)
    await settle(rig, main, whole)
    await rig.crash()
    assert.ok(
      Object.values(await parts()).every((there) => there),
      'all of it',
    )
  })

  test('what a settlement does not name stays as it was', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset } = await keep(rig, main)
    const attempts = { offset, sessions: 1 }
    await settle(rig, main, { uplinks: 'one', attempts, intendUpTo: offset })
    await settle(rig, main, { events: [uplink('x', rig.clock.nowMs())] })
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.uplinks, 'one')
    assert.deepEqual(head.attempts, attempts)
    assert.equal(head.intended, offset)
  })

  test('uplinks are kept for a channel that never had a command', async (t) => {
    const rig = await Rig.make(t, subject)
    await settle(rig, main, { uplinks: 'one' })
    await settle(rig, main, { uplinks: 'two' })
    await rig.crash()
    const head = await rig.engine.mailbox.open(main)
    assert.equal(head.uplinks, 'two')
    assert.equal(head.top, 0)
  })

  test('what was kept of its uplinks is told without opening the channel, behind all that was settled', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    assert.equal(await mailbox.uplinks(main), undefined)
    await keep(rig, main)
    mailbox.settle(main, { changes: [], uplinks: 'one' }, () => {})
    mailbox.settle(main, { changes: [], events: [uplink('x', rig.clock.nowMs())] }, () => {})
    assert.equal(await mailbox.uplinks(main), 'one')
    await rig.crash()
    assert.equal(await rig.engine.mailbox.uplinks(main), 'one')
    // Behind one that waits for the channel's open commands.
    const late = [{ offset: 1, step: { status: 'done', late: true, atMs: 0 } }] as const
    rig.engine.mailbox.settle(main, { changes: [], late, uplinks: 'two' }, () => {})
    assert.equal(await rig.engine.mailbox.uplinks(main), 'two')
  })

  test('settled is called once, never within the call, in the order of the calls', async (t) => {
    const rig = await Rig.make(t, subject)
    const said: number[] = []
    for (const i of [1, 2, 3]) {
      rig.engine.mailbox.settle(main, { changes: [], uplinks: `${i}` }, () => said.push(i))
    }
    assert.deepEqual(said, [])
    await settle(rig, main, {})
    assert.deepEqual(said, [1, 2, 3])
    await rig.engine.flushed()
    assert.deepEqual(said, [1, 2, 3])
  })

  test('rule 11: accepted is ended plus open, whatever happens', async (t) => {
    const rig = await Rig.make(t, subject)
    const statuses = ['done', 'failed', 'canceled', 'expired', 'in-doubt'] as const
    const offsets: number[] = []
    for (let i = 0; i < 20; i++) {
      const overflow = i % 2 === 0 ? 'reject' : 'drop-oldest'
      const kept = await keep(rig, main, { collapse: `${i % 7}` }, { maxCommands: 12, overflow })
      offsets.push(kept.offset)
      const atMs = rig.clock.nowMs()
      if (i % 3 === 0) {
        const status = statuses[i % statuses.length]!
        await settle(rig, main, { changes: [end(offsets[i >> 1]!, status, atMs)] })
      }
    }
    const balance = async () => {
      const { accepted, open, ended } = await rig.engine.mailbox.counts('shop')
      const endedCount = Object.values(ended).reduce((sum, count) => sum + count, 0)
      assert.equal(accepted, 20)
      assert.equal(accepted, open + endedCount)
      assert.equal((await rig.engine.mailbox.depth(main)).commands, open)
    }
    await balance()
    await rig.crash()
    await balance()
    rig.clock.advance(1_000)
    await rig.engine.events.purge(rig.clock.nowMs())
    await balance()
    await rig.restart()
    await balance()
  })
}

const uplink = (name: string, atMs: number): NewEvent => ({
  kind: 'event',
  app: 'shop',
  device: 'locker',
  channel: 'main',
  atMs,
  name,
  payload: Buffer.from('{}'),
  contentType: 'application/json',
})
