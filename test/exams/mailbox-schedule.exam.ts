import assert from 'node:assert/strict'
import test from 'node:test'
import type {
  AppendOptions,
  ChannelId,
  Command,
  Found,
  Scheduled,
  ScheduledCommand,
  ScheduleOptions,
} from '../../src/contract/index.ts'
import {
  commandId,
  endStatuses,
  idOfCommand,
  limits,
  locateCommand,
  scheduledEpoch,
} from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import {
  allEvents,
  append,
  command,
  end,
  endings,
  keep,
  linked,
  readNames,
  roomy,
  same,
  settle,
} from '../support/engine-words.ts'

const main = 'shop/locker/main'
const urgent = 'shop/locker/urgent'
const canceled = { ended: { status: 'canceled', reason: 'requested' } } as const
const wide: ScheduleOptions = { maxCommands: 100, maxTotal: 1_000 }

/** Ask for a command in a minute, good for another. */
export function schedule(
  rig: Rig,
  channel: ChannelId,
  parts: Partial<Command> = {},
  options: Partial<ScheduleOptions> = {},
): Promise<Scheduled> {
  const notBeforeMs = parts.notBeforeMs ?? rig.clock.nowMs() + 60_000
  const given = command(rig.clock, { expiresAtMs: notBeforeMs + 60_000, ...parts, notBeforeMs })
  return rig.engine.mailbox.schedule(channel, given, { ...wide, ...options })
}

export async function plan(
  rig: Rig,
  channel: ChannelId,
  parts: Partial<Command> = {},
): Promise<ScheduledCommand> {
  const scheduled = await schedule(rig, channel, parts)
  assert.ok(scheduled.kind === 'kept', `not kept but ${scheduled.kind}`)
  return scheduled.command
}

/** Give it its place, as the hub does when its time has come. */
export const place = (rig: Rig, waiting: ScheduledCommand, options: Partial<AppendOptions> = {}) =>
  rig.engine.mailbox.append(waiting.channel, waiting, { ...roomy, ...options })

export async function findById(rig: Rig, id: string): Promise<Found | undefined> {
  const at = locateCommand('shop', id)
  assert.ok(at !== undefined, `${id} is an id`)
  return rig.engine.mailbox.find(at.channel, at.epoch, at.offset)
}

const ripe = async (rig: Rig, max = 100): Promise<readonly string[]> =>
  (await rig.engine.mailbox.ripe(rig.clock.nowMs(), max)).map(({ name }) => name)

const waitingNames = async (rig: Rig, device = 'shop/locker'): Promise<readonly string[]> =>
  (await rig.engine.mailbox.scheduled(device)).map(({ name }) => name).sort()

const historyNames = async (rig: Rig, status?: 'open' | 'canceled'): Promise<readonly string[]> => {
  const names: string[] = []
  for (let after: string | undefined; ; ) {
    const query = { limit: 2, ...(status && { status }), ...(after && { after }) }
    const page = await rig.engine.mailbox.history('shop/locker', query)
    names.push(...page.items.map(({ command: { name } }) => name))
    if (page.next === undefined) return names
    after = page.next
  }
}

/** Rule 11. */
async function assertCounts(rig: Rig, accepted: number, open: number): Promise<void> {
  const counts = await rig.engine.mailbox.counts('shop')
  const ended = endStatuses.reduce((sum, status) => sum + (counts.ended[status] ?? 0), 0)
  assert.equal(counts.accepted, counts.open + ended)
  assert.deepEqual([counts.accepted, counts.open], [accepted, open])
}

/** Rule 6: what is not due gets its offset when due. */
export function mailboxScheduleExam(subject: EngineSubject): void {
  test('every part of a scheduled command is kept as it was given, through a restart', async (t) => {
    const rig = await Rig.make(t, subject)
    const notBeforeMs = rig.clock.nowMs() + 3_600_000
    const given = command(rig.clock, {
      name: '__proto__',
      payload: Uint8Array.from({ length: 300 }, (_, i) => i & 0xff),
      contentType: 'application/octet-stream',
      delivery: 'now',
      expect: 'reply',
      expiresAtMs: notBeforeMs + 5,
      replyTimeoutMs: 7,
      askedBy: 'constructor',
      collapse: 'door',
      callback: 'https://shop.example/ended?door=ü',
      notBeforeMs,
    })
    const scheduled = await rig.engine.mailbox.schedule(main, given, wide)
    assert.ok(scheduled.kind === 'kept')
    const { scheduled: number, id } = scheduled.command
    assert.equal(id, idOfCommand(main, 77, 88, number))
    assert.deepEqual(locateCommand('shop', id)?.epoch, scheduledEpoch)
    const expected = { ...given, id, channel: main, scheduled: number }
    same(scheduled.command, expected)
    await rig.crash()
    same(await rig.engine.mailbox.scheduled('shop/locker'), [expected])
    same(await rig.engine.mailbox.ripe(notBeforeMs, 9), [expected])
    same(await findById(rig, id), {
      kind: 'open',
      command: { ...expected, epoch: scheduledEpoch, offset: number, maybeSent: false },
    })
    const placed = await place(rig, scheduled.command)
    assert.ok(placed.kind === 'kept')
    const { epoch, offset } = placed.command
    same(placed.command, { ...expected, epoch, offset })
    const open = { ...expected, epoch, offset, maybeSent: false }
    same((await rig.engine.mailbox.read(main, 0, 9)).commands, [open])
    await rig.crash()
    same((await rig.engine.mailbox.read(main, 0, 9)).commands, [open])
    same(
      (await rig.engine.mailbox.open(main)).open.map(({ id: of }) => of),
      [id],
    )
    same(await findById(rig, id), { kind: 'open', command: open })
  })

  test('a command without a time of its own is kept with what else is new of it', async (t) => {
    const rig = await Rig.make(t, subject)
    const callback = 'https://shop.example/ended'
    const kept = await keep(rig, main, { callback, notBeforeMs: rig.clock.nowMs() - 5 })
    assert.equal(kept.id, commandId(main, kept.epoch, kept.offset))
    await rig.crash()
    same(await findById(rig, kept.id), { kind: 'open', command: { ...kept, maybeSent: false } })
    await settle(rig, main, { changes: [end(kept.offset, 'canceled', rig.clock.nowMs())] })
    await rig.crash()
    const found = await findById(rig, kept.id)
    assert.ok(found?.kind === 'ended')
    const { id, notBeforeMs } = found.command
    same(
      { id, notBeforeMs, callback: found.command.callback },
      { id: kept.id, notBeforeMs: kept.notBeforeMs, callback },
    )
  })

  test('rule 6: one that waits has no place: it is neither read nor in the way of others', async (t) => {
    const rig = await Rig.make(t, subject)
    const later = await plan(rig, main, { name: 'later' })
    const first = await keep(rig, main, { name: 'first' })
    assert.deepEqual(await readNames(rig, main), ['first'])
    const head = await rig.engine.mailbox.open(main)
    assert.deepEqual(
      head.open.map(({ name }) => name),
      ['first'],
    )
    assert.equal((await rig.engine.mailbox.depth(main)).commands, 1)
    const tight = { maxCommands: 1 }
    const full = await place(rig, later, tight)
    assert.equal(full.kind, 'full')
    assert.deepEqual(await waitingNames(rig), ['later'])
    const placed = await place(rig, later, { ...tight, overflow: 'drop-oldest' })
    assert.ok(placed.kind === 'kept' && placed.command.offset > first.offset)
    assert.deepEqual(await readNames(rig, main), ['later'])
    assert.deepEqual(await endings(rig, 'shop'), ['first dropped(mailbox-full)'])
  })

  test('numbers of a channel grow, and are used once, whatever becomes of the store', async (t) => {
    const rig = await Rig.make(t, subject)
    const numbers: number[] = []
    const next = async () => numbers.push((await plan(rig, main)).scheduled)
    await next()
    await Promise.all([next(), next()])
    const back = await rig.store.backup()
    for (const waiting of await rig.engine.mailbox.scheduled('shop/locker')) {
      await place(rig, waiting, canceled)
    }
    await next()
    await rig.crash()
    await next()
    await rig.restart()
    await next()
    // A copy of before is put back: what it does not know of was told all the same.
    rig.clock.advance(60_000)
    await rig.stop()
    await back()
    await rig.start()
    await next()
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    )
    assert.equal(new Set(numbers).size, numbers.length)
  })

  test('what has come is ripe, earliest first; it stays so until it is placed', async (t) => {
    const rig = await Rig.make(t, subject)
    const { mailbox } = rig.engine
    assert.equal(mailbox.nextRipeMs(), Number.POSITIVE_INFINITY)
    const nowMs = rig.clock.nowMs()
    const planned = new Map<string, ScheduledCommand>()
    for (const [name, afterMs] of [
      ['c', 30],
      ['a', 10],
      ['d', 40],
      ['b', 20],
    ] as const) {
      const channel = name === 'b' ? 'shop2/ab/main' : name === 'c' ? urgent : main
      planned.set(name, await plan(rig, channel, { name, notBeforeMs: nowMs + afterMs }))
    }
    assert.equal(mailbox.nextRipeMs(), nowMs + 10)
    rig.clock.advance(9)
    assert.deepEqual(await ripe(rig), [])
    rig.clock.advance(21)
    assert.deepEqual(await ripe(rig), ['a', 'b', 'c'])
    assert.deepEqual(await ripe(rig, 2), ['a', 'b'])
    assert.deepEqual(await ripe(rig), ['a', 'b', 'c'])
    await place(rig, planned.get('b')!)
    assert.deepEqual(await ripe(rig), ['a', 'c'])
    await place(rig, planned.get('a')!, canceled)
    assert.equal(mailbox.nextRipeMs(), nowMs + 30)
    await rig.crash()
    assert.deepEqual(await ripe(rig), ['c'])
    assert.equal(rig.engine.mailbox.nextRipeMs(), nowMs + 30)
    await place(rig, planned.get('c')!)
    await place(rig, planned.get('d')!, canceled)
    assert.equal(rig.engine.mailbox.nextRipeMs(), Number.POSITIVE_INFINITY)
    await rig.restart()
    assert.equal(rig.engine.mailbox.nextRipeMs(), Number.POSITIVE_INFINITY)
    assert.deepEqual(await ripe(rig), [])
  })

  test('what was due while the gateway was away is simply ripe', async (t) => {
    const rig = await Rig.make(t, subject)
    await plan(rig, main, { name: 'long due' })
    await rig.stop()
    rig.clock.advance(7 * 24 * 3_600_000)
    await rig.start()
    assert.deepEqual(await ripe(rig), ['long due'])
    assert.equal(rig.engine.mailbox.nextDueMs(), Number.POSITIVE_INFINITY)
    assert.deepEqual(await rig.engine.mailbox.due(rig.clock.nowMs(), 9), [])
  })

  test('rule 11: it is accepted and open from the start, and counted once', async (t) => {
    const rig = await Rig.make(t, subject)
    const a = await plan(rig, main, { name: 'a' })
    const b = await plan(rig, main, { name: 'b' })
    await assertCounts(rig, 2, 2)
    const placed = await place(rig, a)
    assert.ok(placed.kind === 'kept')
    await assertCounts(rig, 2, 2)
    await place(rig, b, canceled)
    await assertCounts(rig, 2, 1)
    await rig.crash()
    await assertCounts(rig, 2, 1)
    await settle(rig, main, { changes: [end(placed.command.offset, 'delivered', 5)] })
    await assertCounts(rig, 2, 0)
  })

  test('it keeps its id for good: in events, in history, and for who finds it', async (t) => {
    const rig = await Rig.make(t, subject)
    const waiting = await plan(rig, main, { callback: 'https://shop.example/', expect: 'reply' })
    const { id, notBeforeMs } = waiting
    rig.clock.advance(60_000)
    const placed = await place(rig, waiting, linked)
    assert.ok(placed.kind === 'kept')
    const { epoch, offset } = placed.command
    assert.equal(placed.command.id, id)
    same(await rig.engine.mailbox.find(main, epoch, offset), await findById(rig, id))
    rig.engine.mailbox.sent(main, offset, rig.clock.nowMs())
    await settle(rig, main, { changes: [{ kind: 'delivered', offset, atMs: rig.clock.nowMs() }] })
    const delivered = await findById(rig, id)
    assert.ok(delivered?.kind === 'open' && delivered.command.deliveredAtMs !== undefined)
    assert.equal(delivered.command.payload.length === 0 || delivered.command.id === id, true)
    const late = { status: 'done', atMs: rig.clock.nowMs() + 9, late: true } as const
    await settle(rig, main, { changes: [end(offset, 'unanswered', rig.clock.nowMs())] })
    await settle(rig, main, { changes: [], late: [{ offset, step: late }] })
    for (const life of ['the same', 'the next']) {
      if (life === 'the next') await rig.crash()
      const found = await findById(rig, id)
      assert.ok(found?.kind === 'ended', life)
      same(await rig.engine.mailbox.find(main, epoch, offset), found)
      same((await rig.engine.mailbox.history('shop/locker', { limit: 9 })).items, [found])
      const { command: ended } = found
      assert.deepEqual(
        [ended.id, ended.offset, ended.epoch, ended.notBeforeMs, ended.callback, ended.status],
        [id, offset, epoch, notBeforeMs, 'https://shop.example/', 'unanswered'],
      )
      assert.equal(ended.timeline.at(-1)?.late, true)
      const [event] = await allEvents(rig, 'shop')
      assert.ok(event?.kind === 'command.ended')
      assert.deepEqual([event.ended.id, event.ended.notBeforeMs], [id, notBeforeMs])
    }
  })

  test('one that ends before its time ends at that moment, and never was in the way', async (t) => {
    const rig = await Rig.make(t, subject)
    const waiting = await plan(rig, main, { name: 'never' })
    rig.clock.advance(1_000)
    const full = { maxCommands: 0, maxBytes: 0 }
    const appended = await place(rig, waiting, { ...canceled, ...full })
    assert.ok(appended.kind === 'kept')
    assert.deepEqual(await endings(rig, 'shop'), ['never canceled(requested)'])
    const found = await findById(rig, waiting.id)
    assert.ok(found?.kind === 'ended')
    assert.deepEqual(
      found.command.timeline.map(({ status, atMs }) => [status, atMs]),
      [
        ['queued', waiting.acceptedAtMs],
        ['canceled', waiting.acceptedAtMs + 1_000],
      ],
    )
    assert.deepEqual(await readNames(rig, main), [])
    assert.deepEqual(await waitingNames(rig), [])
  })

  test('one that is not there to be moved any more is a repeat', async (t) => {
    const rig = await Rig.make(t, subject)
    const waiting = await plan(rig, main)
    // A cancel and its time at once: one of both is first.
    const both = await Promise.all([place(rig, waiting), place(rig, waiting, canceled)])
    assert.deepEqual(
      both.map(({ kind }) => kind),
      ['kept', 'repeat'],
    )
    await rig.crash()
    assert.deepEqual(await place(rig, waiting), { kind: 'repeat', id: waiting.id })
    const never = { ...waiting, scheduled: waiting.scheduled + 1 }
    assert.equal((await place(rig, never)).kind, 'repeat')
    assert.equal((await place(rig, { ...waiting, channel: urgent })).kind, 'repeat')
    await assertCounts(rig, 1, 1)
    assert.equal((await readNames(rig, main)).length, 1)
  })

  test('rule 28: the same key is the same scheduled command, also once it is placed', async (t) => {
    const rig = await Rig.make(t, subject)
    const once = (hash: string) => ({ idempotency: { key: 'k', hash } })
    const [first, second] = await Promise.all([
      schedule(rig, main, {}, once('a')),
      schedule(rig, main, {}, once('a')),
    ])
    assert.ok(first.kind === 'kept')
    const { id } = first.command
    assert.deepEqual(second, { kind: 'repeat', id })
    assert.deepEqual(await schedule(rig, main, {}, once('b')), { kind: 'conflict', id })
    await place(rig, first.command)
    await rig.crash()
    assert.deepEqual(await schedule(rig, main, {}, once('a')), { kind: 'repeat', id })
    assert.deepEqual(await append(rig, main, {}, once('a')), { kind: 'repeat', id })
    assert.deepEqual(await append(rig, main, {}, once('b')), { kind: 'conflict', id })
    rig.clock.advance(limits.idempotencyMs)
    assert.equal((await schedule(rig, main, {}, once('a'))).kind, 'kept')
  })

  test('as many wait as may, in a channel and in all', async (t) => {
    const rig = await Rig.make(t, subject)
    const bounds = { maxCommands: 2, maxTotal: 5 }
    const first = await schedule(rig, main, {}, bounds)
    assert.equal((await schedule(rig, main, {}, bounds)).kind, 'kept')
    assert.deepEqual(await schedule(rig, main, {}, bounds), { kind: 'full', max: 2 })
    assert.equal((await schedule(rig, urgent, {}, bounds)).kind, 'kept')
    // Half of what may wait in all: another app has its share.
    assert.deepEqual(await schedule(rig, urgent, {}, bounds), { kind: 'full', max: 3 })
    for (const channel of ['shop2/a/main', 'shop2/b/main']) {
      assert.equal((await schedule(rig, channel, {}, bounds)).kind, 'kept')
    }
    assert.deepEqual(await schedule(rig, 'shop3/a/main', {}, bounds), { kind: 'full', max: 5 })
    await rig.crash()
    assert.deepEqual(await schedule(rig, main, {}, bounds), { kind: 'full', max: 2 })
    assert.deepEqual(await schedule(rig, urgent, {}, bounds), { kind: 'full', max: 3 })
    assert.deepEqual(await schedule(rig, 'shop3/a/main', {}, bounds), { kind: 'full', max: 5 })
    assert.ok(first.kind === 'kept')
    await place(rig, first.command)
    assert.equal((await schedule(rig, main, {}, bounds)).kind, 'kept')
    await assertCounts(rig, 4, 4)
  })

  test('the scheduled commands of a device are of all its channels, and of no other', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const channel of [
      main,
      urgent,
      'shop/locker2/main',
      'shop2/locker/main',
      'shop/lock/main',
    ]) {
      await plan(rig, channel, { name: channel })
    }
    assert.deepEqual(await waitingNames(rig), [main, urgent])
    assert.deepEqual(await waitingNames(rig, 'shop/nobody'), [])
    await rig.crash()
    assert.deepEqual(await waitingNames(rig), [main, urgent])
  })

  test('history has what waits among the open, and all by acceptance, page by page', async (t) => {
    const rig = await Rig.make(t, subject)
    const steps = ['a', 'B', 'c', 'D', 'e', 'F', 'g']
    const planned: ScheduledCommand[] = []
    for (const name of steps) {
      rig.clock.advance(10)
      const channel = name === 'D' ? urgent : main
      if (name === name.toUpperCase()) planned.push(await plan(rig, channel, { name }))
      else await keep(rig, main, { name })
    }
    const newestFirst = [...steps].reverse()
    assert.deepEqual(await historyNames(rig), newestFirst)
    // Those scheduled get their places behind the others, and stay where they were accepted.
    await place(rig, planned[0]!)
    await place(rig, planned[1]!, canceled)
    for (const life of ['the same', 'the next']) {
      if (life === 'the next') await rig.crash()
      assert.deepEqual(await historyNames(rig), newestFirst, life)
      assert.deepEqual(await historyNames(rig, 'open'), ['g', 'F', 'e', 'c', 'B', 'a'], life)
      assert.deepEqual(await historyNames(rig, 'canceled'), ['D'], life)
    }
  })

  test('with its history the way to it is forgotten; what waits is not', async (t) => {
    const rig = await Rig.make(t, subject)
    const gone = await plan(rig, main, { name: 'gone' })
    const open = await plan(rig, main, { name: 'open' })
    const later = await plan(rig, main, { name: 'later' })
    await place(rig, gone, canceled)
    await place(rig, open)
    rig.clock.advance(1_000)
    await rig.engine.events.purge(rig.clock.nowMs())
    for (const life of ['the same', 'the next']) {
      if (life === 'the next') await rig.crash()
      assert.equal(await findById(rig, gone.id), undefined, life)
      assert.equal((await findById(rig, open.id))?.kind, 'open')
      assert.equal((await findById(rig, later.id))?.kind, 'open')
      assert.deepEqual(await historyNames(rig), ['later', 'open'])
    }
    assert.equal((await place(rig, gone)).kind, 'repeat')
  })

  test('nobody finds what was never scheduled, nor in another app', async (t) => {
    const rig = await Rig.make(t, subject)
    const { id, scheduled } = await plan(rig, main)
    const { mailbox } = rig.engine
    assert.equal(await mailbox.find(main, scheduledEpoch, scheduled + 1), undefined)
    assert.equal(await mailbox.find(urgent, scheduledEpoch, scheduled), undefined)
    assert.equal(await mailbox.find('shop/nobody/main', scheduledEpoch, 1), undefined)
    const elsewhere = locateCommand('shop2', id)!
    assert.equal(
      await mailbox.find(elsewhere.channel, elsewhere.epoch, elsewhere.offset),
      undefined,
    )
  })

  test('what a crash took back was never promised; what was placed, is placed once', async (t) => {
    const rig = await Rig.make(t, subject)
    const waiting = await plan(rig, main, { name: 'kept' })
    schedule(rig, main, { name: 'maybe' })
    place(rig, waiting)
    await rig.crash()
    const found = await findById(rig, waiting.id)
    assert.equal(found?.kind, 'open')
    const isWaiting = (await waitingNames(rig)).includes('kept')
    assert.equal((await place(rig, waiting)).kind, isWaiting ? 'kept' : 'repeat')
    assert.deepEqual(await readNames(rig, main), ['kept'])
    const { accepted, open } = await rig.engine.mailbox.counts('shop')
    assert.deepEqual([accepted, open], [1 + (await waitingNames(rig)).length, accepted])
  })

  const { breakage } = subject
  if (breakage === undefined) return

  test('a store that fails keeps what waited, and places nothing half', async (t) => {
    const rig = await Rig.make(t, subject)
    const waiting = await plan(rig, main, { name: 'kept' })
    await breakage.break(rig.engine, 'full')
    assert.deepEqual(await schedule(rig, main), { kind: 'unavailable', full: true })
    assert.deepEqual(await place(rig, waiting), { kind: 'unavailable', full: true })
    await breakage.mend(rig.engine)
    assert.deepEqual(await waitingNames(rig), ['kept'])
    rig.clock.advance(60_000)
    assert.deepEqual(await ripe(rig), ['kept'])
    assert.equal((await place(rig, waiting)).kind, 'kept')
    assert.deepEqual(await ripe(rig), [])
    await assertCounts(rig, 1, 1)
  })
}
