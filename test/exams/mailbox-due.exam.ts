import assert from 'node:assert/strict'
import test from 'node:test'
import type { ChannelId } from '../../src/contract/index.ts'
import { limits, sentBeforeRestart } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { keep, linked, settle } from '../support/engine-words.ts'

const main = 'shop/locker/main'
const other = 'shop/locker/urgent'

export function mailboxDueExam(subject: EngineSubject): void {
  test('rule 1: what is unsent is due at its expiry', async (t) => {
    const rig = await Rig.make(t, subject)
    const { expiresAtMs } = await keep(rig, main, { name: 'unsent' })
    await isDueAt(rig, expiresAtMs, 'unsent')
  })

  test('rule 3: what may be sent is due a grace after its expiry', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, expiresAtMs } = await keep(rig, main, { name: 'sent' }, linked)
    rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    await isDueAt(rig, expiresAtMs + limits.inDoubtGraceMs, 'sent')
  })

  test('rule 1: what awaits its reply is due when that is overdue, counted from delivery', async (t) => {
    const rig = await Rig.make(t, subject)
    const parts = { name: 'asked', expect: 'reply', replyTimeoutMs: 500_000 } as const
    const { offset } = await keep(rig, main, parts, linked)
    rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    rig.clock.advance(1_234)
    const atMs = rig.clock.nowMs()
    await settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs }] })
    await isDueAt(rig, atMs + 500_000, 'asked')
  })

  test('a reply may be due long before its command would have expired', async (t) => {
    const rig = await Rig.make(t, subject)
    const parts = { name: 'asked', expect: 'reply', replyTimeoutMs: 5 } as const
    const { offset } = await keep(rig, main, parts, linked)
    rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    const atMs = rig.clock.nowMs()
    await settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs }] })
    await isDueAt(rig, atMs + 5, 'asked')
  })

  test('rule 4: a `now` that may have been sent before the start is due at once', async (t) => {
    for (const befall of ['crash', 'restart'] as const) {
      const rig = await Rig.make(t, subject)
      const day = { expiresAtMs: rig.clock.nowMs() + 86_400_000 }
      const first = await keep(rig, main, { name: 'queued', ...day }, linked)
      const now = await keep(rig, main, { name: 'now', delivery: 'now', ...day }, linked)
      await keep(rig, main, { name: 'behind', ...day }, linked)
      rig.engine.mailbox.sent(main, now.offset, rig.clock.nowMs())
      // Nobody looks at it between the first two starts.
      for (let starts = 0; starts < 2; starts++) {
        rig.clock.advance(1)
        await rig[befall]()
      }
      await isDueNow(rig, ['now'])
      const open = await rig.engine.mailbox.find(main, now.epoch, now.offset)
      assert.ok(open?.kind === 'open' && sentBeforeRestart(open.command), 'sent before the restart')
      assert.equal(open.command.sentAtMs, undefined)
      const change = { kind: 'ended', offset: now.offset, status: 'in-doubt', atMs: 1 } as const
      await settle(rig, main, { changes: [change] })
      await rig[befall]()
      assert.deepEqual(await dueNames(rig, rig.clock.nowMs()), [])
      assert.equal((await rig.engine.mailbox.open(main)).open[0]?.offset, first.offset)
    }
  })

  test('rule 4: a `now` that was never sent is due at once after a crash if it was meant to be', async (t) => {
    const rig = await Rig.make(t, subject)
    const { expiresAtMs } = await keep(rig, main, { name: 'now', delivery: 'now' }, linked)
    await keep(rig, other, { name: 'unintended', delivery: 'now', expiresAtMs: expiresAtMs + 1 })
    await isDueAt(rig, expiresAtMs, 'now')
    await rig.restart()
    await isDueAt(rig, expiresAtMs, 'now')
    await rig.crash()
    await isDueNow(rig, ['now'])
  })

  test('a `now` that this process sent has its time and the grace, whoever holds its channel', async (t) => {
    const rig = await Rig.make(t, subject)
    await rig.crash()
    const { offset, expiresAtMs } = await keep(rig, main, { name: 'now', delivery: 'now' }, linked)
    const { mailbox } = rig.engine
    mailbox.sent(main, offset, rig.clock.nowMs())
    const dueMs = expiresAtMs + limits.inDoubtGraceMs
    await isDueAt(rig, dueMs, 'now')
    await mailbox.open(main)
    mailbox.release(main)
    await isDueAt(rig, dueMs, 'now')
    const { open } = await mailbox.open(main)
    assert.equal(open[0]?.sentAtMs, rig.clock.nowMs())
  })

  test('the grace is the one the engine was opened with', async (t) => {
    const rig = await Rig.make(t, subject, { inDoubtGraceMs: 77 })
    const { offset, expiresAtMs } = await keep(rig, main, { name: 'sent' }, linked)
    rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    await isDueAt(rig, expiresAtMs + 77, 'sent')
  })

  test('all channels are looked at, released ones too, at most so many at once', async (t) => {
    const rig = await Rig.make(t, subject)
    const channels: ChannelId[] = []
    for (let i = 0; i < 20; i++) {
      const channel = `shop-${i % 3}/locker-${i}/main`
      channels.push(channel)
      await keep(rig, channel, { expiresAtMs: rig.clock.nowMs() + 1_000 - i })
      if (i % 2 === 0) rig.engine.mailbox.release(channel)
    }
    assert.ok(
      rig.engine.mailbox.nextDueMs() <= rig.clock.nowMs() + 1_000 - 19,
      'the next deadline is not overlooked',
    )
    rig.clock.advance(1_000)
    const seen: ChannelId[] = []
    for (;;) {
      const due = await rig.engine.mailbox.due(rig.clock.nowMs(), 7)
      assert.ok(due.length <= 7, 'a page is as long as asked for at most')
      if (due.length === 0) break
      for (const { channel, offset } of due) {
        seen.push(channel)
        const atMs = rig.clock.nowMs()
        await settle(rig, channel, {
          changes: [{ kind: 'ended', offset, status: 'expired', atMs }],
        })
      }
    }
    assert.deepEqual(seen.sort(), channels.sort())
  })

  test('what has ended is never due, kept or not', async (t) => {
    const rig = await Rig.make(t, subject)
    const { offset, expiresAtMs } = await keep(rig, main)
    const other = await keep(rig, main)
    rig.clock.set(expiresAtMs)
    const end = (at: number) =>
      settle(rig, main, {
        changes: [{ kind: 'ended', offset: at, status: 'expired', atMs: expiresAtMs }],
      })
    await end(offset)
    const settled = end(other.offset)
    assert.deepEqual(await rig.engine.mailbox.due(expiresAtMs, 10), [])
    await settled
    assert.deepEqual(await rig.engine.mailbox.due(Number.MAX_SAFE_INTEGER, 10), [])
  })

  test('what ends as it is accepted is never due', async (t) => {
    const rig = await Rig.make(t, subject)
    const ended = { status: 'undeliverable', reason: 'no-link' } as const
    await keep(rig, main, {}, { ended })
    assert.deepEqual(await rig.engine.mailbox.due(Number.MAX_SAFE_INTEGER, 10), [])
  })

  test('with nothing open there is no next deadline', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(rig.engine.mailbox.nextDueMs(), Number.POSITIVE_INFINITY)
    assert.deepEqual(await rig.engine.mailbox.due(Number.MAX_SAFE_INTEGER, 10), [])
  })

  test('deadlines survive a crash and a restart', async (t) => {
    const rig = await Rig.make(t, subject)
    const startedAtMs = rig.clock.nowMs()
    await keep(rig, main, { name: 'sent', expiresAtMs: startedAtMs + 50 }, linked)
    const asked = await keep(rig, main, { name: 'asked', expect: 'reply' }, linked)
    await keep(rig, main, { name: 'unsent', expiresAtMs: startedAtMs + 100 })
    rig.engine.mailbox.sent(main, asked.offset, startedAtMs)
    await settle(rig, main, {
      changes: [{ kind: 'delivered', offset: asked.offset, atMs: startedAtMs + 7 }],
    })
    for (const befall of [() => rig.crash(), () => rig.restart()]) {
      await befall()
      assert.ok(
        rig.engine.mailbox.nextDueMs() <= startedAtMs + 100,
        'the next deadline is not overlooked',
      )
      assert.deepEqual(await dueNames(rig, startedAtMs + 99), [])
      assert.deepEqual(await dueNames(rig, startedAtMs + 100), ['unsent'])
      const graceOverMs = startedAtMs + 50 + limits.inDoubtGraceMs
      assert.deepEqual(await dueNames(rig, graceOverMs - 1), ['unsent'])
      assert.deepEqual(await dueNames(rig, graceOverMs), ['sent', 'unsent'])
      assert.deepEqual(await dueNames(rig, startedAtMs + 60_006), ['sent', 'unsent'])
      assert.deepEqual(await dueNames(rig, startedAtMs + 60_007), ['asked', 'sent', 'unsent'])
    }
  })
}

const dueNames = async (rig: Rig, nowMs: number): Promise<readonly string[]> =>
  (await rig.engine.mailbox.due(nowMs, 100)).map(({ name }) => name).sort()

async function isDueNow(rig: Rig, names: readonly string[]): Promise<void> {
  const nowMs = rig.clock.nowMs()
  assert.ok(rig.engine.mailbox.nextDueMs() <= nowMs, 'the next deadline is not overlooked')
  assert.deepEqual(await dueNames(rig, nowMs), names)
}

async function isDueAt(rig: Rig, atMs: number, name: string): Promise<void> {
  assert.ok(rig.engine.mailbox.nextDueMs() <= atMs, 'the next deadline is not overlooked')
  assert.deepEqual(await dueNames(rig, atMs - 1), [])
  assert.deepEqual(await dueNames(rig, atMs), [name])
  assert.ok(rig.engine.mailbox.nextDueMs() <= atMs, 'asking does not answer')
}
