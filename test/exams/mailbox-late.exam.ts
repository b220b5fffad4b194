import assert from 'node:assert/strict'
import test from 'node:test'
import type { Reply, Settlement, Step } from '../../src/contract/index.ts'
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

/** What comes too late to be true, and proof that comes after the end. */
export function mailboxLateExam(subject: EngineSubject): void {
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

  test('rule 8: a reply to what ended since it was looked up is told as late, not as a reply', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, epoch, id } = await keep(rig, main, {}, linked)
    const atMs = rig.clock.nowMs()
    const reply: Reply = {
      status: 'rejected',
      reason: 'late',
      payload: Buffer.from('1'),
      contentType: 'text/plain',
    }
    const about = { app: 'shop', device: 'locker', channel: 'main', atMs, command: id }
    const told = {
      event: { kind: 'reply', ...about, reply },
      late: { kind: 'command.late', ...about, proof: 'reply', reply },
    } as const
    const answer = { ...end(offset, 'rejected', atMs), reason: 'late', reply, told }
    // Both were decided while it was open.
    const acknowledged = settle(rig, main, { changes: [end(offset, 'delivered', atMs)] })
    await settle(rig, main, { changes: [answer] })
    await acknowledged
    const kinds = (await allEvents(rig, 'shop')).map(({ kind }) => kind)
    assert.deepEqual(kinds, ['command.ended', 'command.late'])
    const late = { status: 'rejected', reason: 'late', late: true, atMs } as const
    const timeline = await timelineOf(rig, epoch, offset)
    same(timeline.slice(-1), [late])
    const other = await keep(rig, main, {}, linked)
    await settle(rig, main, { changes: [{ ...answer, offset: other.offset }] })
    const all = (await allEvents(rig, 'shop')).slice(2).map(({ kind }) => kind)
    assert.deepEqual(all, ['reply', 'command.ended'], 'the reply before its outcome')
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
}

async function timelineOf(rig: Rig, epoch: number, offset: number): Promise<readonly Step[]> {
  const found = await rig.engine.mailbox.find(main, epoch, offset)
  assert.ok(found?.kind === 'ended', 'it has ended')
  return found.command.timeline
}
