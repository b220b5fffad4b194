import assert from 'node:assert/strict'
import test from 'node:test'
import type { Change, EndStatus, NewEvent, Settlement, Step } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import {
  allEvents,
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

  test('a delivery that came with the same commit stands in the timeline once', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, epoch } = await keep(rig, main, { expect: 'reply' }, linked)
    const atMs = rig.clock.nowMs()
    rig.engine.mailbox.sent(main, offset, atMs)
    const acknowledged = settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs }] })
    // Decided when that was not known yet.
    const steps = [{ status: 'delivered', atMs: atMs + 5 } as const]
    await settle(rig, main, { changes: [{ ...end(offset, 'done', atMs + 5), steps }] })
    await acknowledged
    same(await timelineOf(rig, epoch, offset), [
      { status: 'queued', atMs },
      { status: 'sent', atMs },
      { status: 'delivered', atMs },
      { status: 'done', atMs: atMs + 5 },
    ])
  })

  test('rule 3: an end as never sent is passed over once it may have been sent', async (t) => {
    const rig = await Rig.make(t, subject)
    const sent = await keep(rig, main, { name: 'sent' }, linked)
    const unsent = await keep(rig, main, { name: 'unsent' }, linked)
    const atMs = rig.clock.nowMs()
    rig.engine.mailbox.sent(main, sent.offset, atMs)
    for (const status of ['expired', 'canceled', 'superseded', 'dropped'] as const) {
      const changes = [end(sent.offset, status, atMs)]
      assert.equal(await settle(rig, main, { changes, uplinks: status }), 'kept')
      assert.equal((await rig.engine.mailbox.open(main)).uplinks, status, 'the rest of it is kept')
    }
    await settle(rig, main, { changes: [end(unsent.offset, 'canceled', atMs)] })
    assert.deepEqual(await endings(rig, 'shop'), ['unsent canceled()'])
    assert.deepEqual(await readNames(rig, main), ['sent'])
    await rig.crash()
    await settle(rig, main, { changes: [end(sent.offset, 'expired', atMs)] })
    assert.deepEqual(await readNames(rig, main), ['sent'])
    await settle(rig, main, { changes: [end(sent.offset, 'in-doubt', atMs)] })
    same(await rig.engine.mailbox.counts('shop'), {
      accepted: 2,
      open: 0,
      ended: { canceled: 1, 'in-doubt': 1 },
    })
  })

  test('nobody doubts what was delivered meanwhile, unless its device was removed', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = []
    for (const name of ['a', 'b']) {
      kept.push(await keep(rig, main, { name, expect: 'reply' }, linked))
    }
    const [a, b] = kept.map(({ offset }) => offset) as [number, number]
    const atMs = rig.clock.nowMs()
    rig.engine.mailbox.sent(main, b, atMs)
    await settle(rig, main, {
      changes: [{ kind: 'delivered', offset: a, atMs }, end(a, 'in-doubt', atMs)],
    })
    await settle(rig, main, {
      changes: [
        { ...end(a, 'in-doubt', atMs), reason: 'maybe-sent' },
        { ...end(b, 'in-doubt', atMs), reason: 'maybe-sent' },
      ],
    })
    assert.deepEqual(await endings(rig, 'shop'), ['b in-doubt(maybe-sent)'])
    await settle(rig, main, {
      changes: [{ ...end(a, 'in-doubt', atMs), reason: 'device-removed' }],
    })
    assert.deepEqual((await endings(rig, 'shop')).at(-1), 'a in-doubt(device-removed)')
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

  test('rule 8: late proof follows the end in the timeline, and changes nothing else', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, epoch } = await keep(rig, main, {}, linked)
    const atMs = rig.clock.nowMs()
    await settle(rig, main, { changes: [end(offset, 'in-doubt', atMs)] })
    const logged = await allEvents(rig, 'shop')
    const proofs: readonly Step[] = [
      { status: 'delivered', late: true, atMs: atMs + 5 },
      { status: 'failed', reason: 'jämmed', late: true, atMs: atMs + 7 },
    ]
    for (const step of proofs) await settle(rig, main, { late: [{ offset, step }] })
    const timeline: readonly Step[] = [
      { status: 'queued', atMs },
      { status: 'in-doubt', atMs },
      ...proofs,
    ]
    for (const befall of [() => {}, () => rig.crash(), () => rig.restart()]) {
      await befall()
      same(await timelineOf(rig, epoch, offset), timeline)
      for (const query of [{ limit: 9 }, { limit: 9, status: 'in-doubt' }] as const) {
        const { items } = await rig.engine.mailbox.history('shop/locker', query)
        assert.equal(items.length, 1)
        assert.ok(items[0]?.kind === 'ended', 'it has ended')
        assert.equal(items[0].command.status, 'in-doubt')
        same(items[0].command.timeline, timeline)
      }
      same(await allEvents(rig, 'shop'), logged, 'the outcome in the log has changed')
      const counts = { accepted: 1, open: 0, ended: { 'in-doubt': 1 } }
      same(await rig.engine.mailbox.counts('shop'), counts)
    }
  })

  test('rule 8: late proof counts from the end on, in the same settlement and in the same tick', async (t) => {
    const rig = await Rig.make(t, subject)
    const [a, b, c] = [await keep(rig, main), await keep(rig, main), await keep(rig, main)]
    const atMs = rig.clock.nowMs()
    const proof = ({ offset }: { offset: number }, at: number) =>
      ({ offset, step: { status: 'done', late: true, atMs: atMs + at } }) as const
    const said: string[] = []
    const settling = (settlement: Partial<Settlement>, word: string) =>
      rig.engine.mailbox.settle(main, { changes: [], ...settlement }, () => said.push(word))
    settling({ late: [proof(a, 1), proof(b, 1)] }, 'too early')
    const changes = [end(a.offset, 'in-doubt', atMs), end(b.offset, 'in-doubt', atMs)]
    settling({ changes, late: [proof(a, 2), proof(c, 2), proof({ offset: 99 }, 2)] }, 'with it')
    settling({ late: [proof(a, 3), proof(b, 3)] }, 'after it')
    await settle(rig, main, {})
    assert.deepEqual(said, ['too early', 'with it', 'after it'])
    await rig.crash()
    const late = async ({ offset, epoch }: { offset: number; epoch: number }) =>
      (await timelineOf(rig, epoch, offset)).flatMap((step) =>
        step.late ? [step.atMs - atMs] : [],
      )
    assert.deepEqual(await late(a), [2, 3])
    assert.deepEqual(await late(b), [3])
    // Not in memory after the crash, and not ended: it is not looked for in vain.
    assert.equal(await settle(rig, main, { late: [proof(c, 4), proof(b, 4)] }), 'kept')
    assert.deepEqual(await late(b), [3, 4])
    await settle(rig, main, { changes: [end(c.offset, 'in-doubt', atMs)] })
    assert.deepEqual(await late(c), [])
    assert.deepEqual(await readNames(rig, main), [])
  })

  test('late proof of one command is bounded, and forgotten with it', async (t) => {
    const rig = await Rig.make(t, subject, { lateStepsMax: 3 })
    const { offset, epoch } = await keep(rig, main)
    const atMs = rig.clock.nowMs()
    await settle(rig, main, { changes: [end(offset, 'in-doubt', atMs)] })
    const step = { status: 'done', late: true, atMs } as const
    const one = { offset, step }
    await settle(rig, main, { late: [one, one] })
    await settle(rig, main, { late: [one, one, one] })
    await settle(rig, main, { late: [one] })
    assert.equal((await timelineOf(rig, epoch, offset)).length, 2 + 3)
    rig.clock.advance(1_000)
    // Nobody waits: the proof comes in the very commit in which the command is forgotten.
    const purged = rig.engine.events.purge(rig.clock.nowMs())
    for (let i = 0; i < 5; i++) {
      await settle(rig, main, { late: [one] })
    }
    assert.equal(await purged, 1)
    await settle(rig, main, { late: [one] })
    assert.equal(await rig.engine.mailbox.find(main, epoch, offset), undefined)
    const { items } = await rig.engine.mailbox.history('shop/locker', { limit: 9 })
    assert.deepEqual(items, [])
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

async function timelineOf(rig: Rig, epoch: number, offset: number): Promise<readonly Step[]> {
  const found = await rig.engine.mailbox.find(main, epoch, offset)
  assert.ok(found?.kind === 'ended', 'it has ended')
  return found.command.timeline
}

const end = (offset: number, status: EndStatus, atMs: number) =>
  ({ kind: 'ended', offset, status, atMs }) as const

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
