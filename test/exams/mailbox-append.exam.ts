import assert from 'node:assert/strict'
import test from 'node:test'
import { commandId, limits } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import {
  append,
  command,
  endings,
  keep,
  linked,
  readNames,
  same,
  settle,
} from '../support/engine-words.ts'

const main = 'shop/locker/main'

export function mailboxAppendExam(subject: EngineSubject): void {
  test('positions grow, and an id says where its command lies', async (t) => {
    const rig = await Rig.make(t, subject)
    const first = await keep(rig, main)
    const second = await keep(rig, main)
    assert.ok(first.offset >= 1 && second.offset > first.offset, 'offsets grow')
    assert.ok(
      Number.isInteger(first.epoch) && first.epoch >= 1 && first.epoch < 2 ** 32,
      'an epoch is 32 bits',
    )
    assert.equal(second.epoch, first.epoch)
    same(first, {
      ...command(rig.clock),
      channel: main,
      epoch: first.epoch,
      offset: first.offset,
      id: commandId(main, first.epoch, first.offset),
    })
  })

  test('what is appended at once is numbered in the order of the calls', async (t) => {
    const rig = await Rig.make(t, subject)
    const names = Array.from({ length: 50 }, (_, i) => `step-${i}`)
    const kept = await Promise.all(names.map((name) => keep(rig, main, { name })))
    for (let i = 1; i < kept.length; i++)
      assert.ok(kept[i]!.offset > kept[i - 1]!.offset, 'offsets grow')
    assert.deepEqual(await readNames(rig, main), names)
  })

  test('every part of a command is kept as it was given', async (t) => {
    const rig = await Rig.make(t, subject)
    const given = command(rig.clock, {
      name: '__proto__',
      payload: Uint8Array.from({ length: 300 }, (_, i) => i & 0xff),
      contentType: 'application/octet-stream; charset="ü"',
      delivery: 'now',
      expect: 'reply',
      acceptedAtMs: rig.clock.nowMs() - 5,
      expiresAtMs: rig.clock.nowMs() + 123_456,
      replyTimeoutMs: 7,
      askedBy: 'constructor',
      collapse: '__proto__',
    })
    const kept = await keep(rig, main, given)
    const [read] = (await rig.engine.mailbox.read(main, 0, 10)).commands
    same(read, { ...given, ...place(kept), maybeSent: false })
    await rig.restart()
    const [again] = (await rig.engine.mailbox.read(main, 0, 10)).commands
    same(again, { ...given, ...place(kept), maybeSent: false })
  })

  test('an empty payload is a payload', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { payload: new Uint8Array(0) })
    const [read] = (await rig.engine.mailbox.read(main, 0, 10)).commands
    assert.equal(read?.payload.length, 0)
  })

  test('a command that ends as it is accepted is history with an outcome, never queued', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'before' })
    const ended = { status: 'undeliverable', reason: 'no-link' } as const
    const kept = await keep(rig, main, { name: 'now', delivery: 'now' }, { ended, maxCommands: 1 })
    await keep(rig, main, { name: 'after' })
    assert.deepEqual(await readNames(rig, main), ['before', 'after'])
    const found = await rig.engine.mailbox.find(main, kept.epoch, kept.offset)
    assert.ok(found?.kind === 'ended', 'it has ended')
    assert.equal(found.command.status, 'undeliverable')
    assert.equal(found.command.reason, 'no-link')
    assert.deepEqual(
      found.command.timeline.map(({ status }) => status),
      ['queued', 'undeliverable'],
    )
    assert.deepEqual(await endings(rig, 'shop'), ['now undeliverable(no-link)'])
    same(await rig.engine.mailbox.counts('shop'), {
      accepted: 3,
      open: 2,
      ended: { undeliverable: 1 },
    })
  })

  test('what ends as it is accepted replaces and drops nobody', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'waiting', collapse: 'door' })
    await keep(
      rig,
      main,
      { name: 'now', delivery: 'now', collapse: 'door' },
      {
        maxCommands: 1,
        overflow: 'drop-oldest',
        ended: { status: 'undeliverable', reason: 'no-link' },
      },
    )
    assert.deepEqual(await readNames(rig, main), ['waiting'])
  })

  test('rule 4: an append carries the intent to send it', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main)
    assert.equal((await rig.engine.mailbox.open(main)).intended, 0)
    const { offset } = await keep(rig, main, { delivery: 'now' }, linked)
    assert.equal((await rig.engine.mailbox.open(main)).intended, offset)
  })

  test('a newer command with the same collapse key replaces the unsent one', async (t) => {
    const rig = await Rig.make(t, subject)
    await keep(rig, main, { name: 'old', collapse: 'constructor' })
    await keep(rig, main, { name: 'other', collapse: 'toString' })
    await keep(rig, main, { name: 'plain' })
    await keep(rig, 'shop/locker/urgent', { name: 'elsewhere', collapse: 'constructor' })
    await keep(rig, main, { name: 'new', collapse: 'constructor' })
    assert.deepEqual(await readNames(rig, main), ['other', 'plain', 'new'])
    assert.deepEqual(await readNames(rig, 'shop/locker/urgent'), ['elsewhere'])
    assert.deepEqual(await endings(rig, 'shop'), ['old superseded(collapsed)'])
  })

  test('rule 3: collapse passes over what may be sent', async (t) => {
    const rig = await Rig.make(t, subject)
    const old = await keep(rig, main, { name: 'old', collapse: 'door' }, linked)
    rig.engine.mailbox.sent(main, old.offset, rig.clock.nowMs())
    await keep(rig, main, { name: 'new', collapse: 'door' })
    assert.deepEqual(await readNames(rig, main), ['old', 'new'])
    assert.deepEqual(await endings(rig, 'shop'), [])
  })

  idempotencyExam(subject)
}

function idempotencyExam(subject: EngineSubject): void {
  const once = (key: string, hash = 'body') => ({ idempotency: { key, hash } })

  test('rule 28: the same key and body is the same command, whatever became of it', async (t) => {
    const rig = await Rig.make(t, subject)
    const first = await keep(rig, main, { name: 'first' }, once('order-1'))
    const again = await append(rig, main, { name: 'again' }, once('order-1'))
    assert.deepEqual(again, { kind: 'repeat', id: first.id })
    const { offset } = first
    const atMs = rig.clock.nowMs()
    await settle(rig, main, { changes: [{ kind: 'ended', offset, status: 'canceled', atMs }] })
    const late = await append(rig, main, { name: 'late' }, once('order-1'))
    assert.deepEqual(late, { kind: 'repeat', id: first.id })
    assert.equal((await rig.engine.mailbox.counts('shop')).accepted, 1)
  })

  test('rule 28: the same key with another body is a conflict', async (t) => {
    const rig = await Rig.make(t, subject)
    const first = await keep(rig, main, {}, once('order-1'))
    const other = await append(rig, main, {}, once('order-1', 'another'))
    assert.deepEqual(other, { kind: 'conflict', id: first.id })
    assert.equal((await rig.engine.mailbox.counts('shop')).accepted, 1)
  })

  test('rule 28: parallel calls with one key make one command', async (t) => {
    const rig = await Rig.make(t, subject)
    const answers = await Promise.all([
      append(rig, main, {}, once('order-1')),
      append(rig, 'shop/locker/urgent', {}, once('order-1')),
      append(rig, main, {}, once('order-1', 'another')),
    ])
    assert.deepEqual(
      answers.map(({ kind }) => kind),
      ['kept', 'repeat', 'conflict'],
    )
    assert.equal((await rig.engine.mailbox.counts('shop')).accepted, 1)
  })

  test('rule 28: a key belongs to its app, and is any text', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const key of ['__proto__', 'constructor', 'a/b:c d', 'ключ', '']) {
      const first = await keep(rig, main, {}, once(key))
      await keep(rig, 'shop-2/locker/main', {}, once(key))
      await keep(rig, 'sho/locker/main', {}, once(key))
      assert.deepEqual(await append(rig, main, {}, once(key)), { kind: 'repeat', id: first.id })
    }
  })

  test('rule 28: only what was accepted is remembered', async (t) => {
    const rig = await Rig.make(t, subject)
    const full = await append(rig, main, {}, { ...once('order-1'), maxCommands: 0 })
    assert.equal(full.kind, 'full')
    await keep(rig, main, {}, once('order-1', 'another'))
  })

  test('rule 28: what ended as it was accepted is remembered too', async (t) => {
    const rig = await Rig.make(t, subject)
    const ended = { status: 'undeliverable', reason: 'no-link' } as const
    const first = await keep(rig, main, {}, { ...once('order-1'), ended })
    const again = await append(rig, main, {}, { ...once('order-1'), ended })
    assert.deepEqual(again, { kind: 'repeat', id: first.id })
  })

  test('rule 28: a key is remembered for 24 hours, and then no more', async (t) => {
    const rig = await Rig.make(t, subject)
    const first = await keep(rig, main, {}, once('order-1'))
    rig.clock.advance(limits.idempotencyMs - 1)
    const again = await append(rig, main, {}, once('order-1'))
    assert.deepEqual(again, { kind: 'repeat', id: first.id })
    rig.clock.advance(1)
    await keep(rig, main, {}, once('order-1', 'another'))
  })

  test('rule 28: what a key was answered with can be asked for, once that is durable', async (t) => {
    const rig = await Rig.make(t, subject)
    const key = { key: 'order-1', hash: 'body' }
    assert.equal(await rig.engine.mailbox.asked('shop', key), undefined)
    const keeping = keep(rig, main, {}, once('order-1'))
    const asked = await rig.engine.mailbox.asked('shop', key)
    const { id } = await keeping
    // Asked while it is being kept: it is not known yet, or it is known and kept.
    if (asked !== undefined) assert.deepEqual(asked, { kind: 'repeat', id })
    await rig.crash()
    assert.deepEqual(await rig.engine.mailbox.asked('shop', key), { kind: 'repeat', id })
    const other = await rig.engine.mailbox.asked('shop', { ...key, hash: 'another' })
    assert.deepEqual(other, { kind: 'conflict', id })
    assert.equal(await rig.engine.mailbox.asked('shop-2', key), undefined)
  })

  test('rule 28: a key is remembered across a crash and a restart', async (t) => {
    const rig = await Rig.make(t, subject)
    const first = await keep(rig, main, {}, once('order-1'))
    await rig.crash()
    assert.deepEqual(await append(rig, main, {}, once('order-1')), { kind: 'repeat', id: first.id })
    await rig.restart()
    assert.equal((await append(rig, main, {}, once('order-1', 'another'))).kind, 'conflict')
  })
}

const place = <T extends { id: unknown; channel: unknown; epoch: unknown; offset: unknown }>({
  id,
  channel,
  epoch,
  offset,
}: T) => ({ id, channel, epoch, offset })
