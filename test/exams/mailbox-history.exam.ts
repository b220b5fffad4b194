import assert from 'node:assert/strict'
import test from 'node:test'
import type { Found, HistoryQuery } from '../../src/contract/index.ts'
import { endStatuses, locateCommand } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { keep, same, settle } from '../support/engine-words.ts'

const main = 'shop/locker/main'
const urgent = 'shop/locker/urgent'

export function mailboxHistoryExam(subject: EngineSubject): void {
  test('a command is found by where its id says it lies, open or ended', async (t) => {
    const rig = await Rig.make(t, subject)
    const kept = await keep(rig, main, { name: 'constructor' })
    const place = locateCommand('shop', kept.id)
    assert.ok(place !== undefined, 'the id says where')
    const find = () => rig.engine.mailbox.find(place.channel, place.epoch, place.offset)
    same(await find(), { kind: 'open', command: { ...kept, maybeSent: false } })
    await end(rig, main, kept.offset, 'canceled')
    const found = await find()
    assert.equal(found?.kind, 'ended')
    assert.equal(found?.command.id, kept.id)
    assert.equal(found?.command.name, 'constructor')
    await rig.crash()
    same(await find(), found)
  })

  test('rule 30: an id asked for from another app finds nothing', async (t) => {
    const rig = await Rig.make(t, subject)
    const { id } = await keep(rig, main)
    for (const app of ['sho', 'shop2', 'default']) {
      const place = locateCommand(app, id)!
      assert.equal(
        await rig.engine.mailbox.find(place.channel, place.epoch, place.offset),
        undefined,
      )
    }
  })

  test('a command is not found in an epoch it was not numbered in, nor one that never was', async (t) => {
    const rig = await Rig.make(t, subject)
    const { epoch, offset } = await keep(rig, main)
    const other = (epoch % 0xffff_ffff) + 1
    const ended = await keep(rig, main)
    await end(rig, main, ended.offset, 'done')
    for (const [channel, inEpoch, at] of [
      [main, other, offset],
      [main, other, ended.offset],
      [main, epoch, offset + 100],
      [urgent, epoch, offset],
      ['shop/nobody/main', epoch, offset],
      ['nobody/locker/main', epoch, ended.offset],
    ] as const) {
      assert.equal(await rig.engine.mailbox.find(channel, inEpoch, at), undefined)
    }
  })

  test('what was numbered before a crash is found by its own epoch only', async (t) => {
    const rig = await Rig.make(t, subject)
    const old = await keep(rig, main, { name: 'old' })
    const gone = await keep(rig, main, { name: 'gone' })
    await end(rig, main, gone.offset, 'expired')
    await rig.crash()
    const young = await keep(rig, main, { name: 'young' })
    const nameOf = async (epoch: number, offset: number) =>
      (await rig.engine.mailbox.find(main, epoch, offset))?.command.name
    assert.equal(await nameOf(old.epoch, old.offset), 'old')
    assert.equal(await nameOf(gone.epoch, gone.offset), 'gone')
    assert.equal(await nameOf(young.epoch, young.offset), 'young')
    assert.equal(await nameOf(young.epoch, old.offset), undefined)
    assert.equal(await nameOf(young.epoch, gone.offset), undefined)
    assert.equal(await nameOf(old.epoch, young.offset), undefined)
  })

  test('history is newest first, over all channels of the device, open and ended', async (t) => {
    const rig = await Rig.make(t, subject)
    await make(rig)
    assert.deepEqual(await pages(rig, { limit: 100 }), ['f', 'e', 'd', 'c', 'b', 'a'])
    await rig.restart()
    assert.deepEqual(await pages(rig, { limit: 100 }), ['f', 'e', 'd', 'c', 'b', 'a'])
    assert.deepEqual(await pages(rig, { limit: 100 }, 'shop/nobody'), [])
  })

  test('history goes page by page, each command once, though new ones arrive meanwhile', async (t) => {
    const rig = await Rig.make(t, subject)
    await make(rig)
    const seen: string[] = []
    for (let query: HistoryQuery = { limit: 2 }; ; ) {
      const page = await rig.engine.mailbox.history('shop/locker', query)
      assert.ok(page.items.length <= 2, 'a page is as long as asked for at most')
      seen.push(...page.items.map(({ command }) => command.name))
      if (page.next === undefined) break
      query = { limit: 2, after: page.next }
      rig.clock.advance(1)
      await keep(rig, main, { name: 'newer' })
    }
    assert.deepEqual(seen, ['f', 'e', 'd', 'c', 'b', 'a'])
  })

  test('commands accepted in one millisecond are each listed once', async (t) => {
    const rig = await Rig.make(t, subject)
    for (let i = 0; i < 5; i++) {
      await keep(rig, main, { name: `main-${i}` })
      await keep(rig, urgent, { name: `urgent-${i}` })
    }
    const names = await pages(rig, { limit: 3 })
    assert.equal(new Set(names).size, 10)
    assert.equal(names.length, 10)
    for (const channel of ['main', 'urgent']) {
      assert.deepEqual(
        names.filter((name) => name.startsWith(channel)),
        [4, 3, 2, 1, 0].map((i) => `${channel}-${i}`),
      )
    }
  })

  test('history can be asked by status', async (t) => {
    const rig = await Rig.make(t, subject)
    await make(rig)
    assert.deepEqual(await pages(rig, { limit: 1, status: 'open' }), ['f', 'd', 'b'])
    assert.deepEqual(await pages(rig, { limit: 1, status: 'canceled' }), ['e', 'a'])
    assert.deepEqual(await pages(rig, { limit: 1, status: 'done' }), ['c'])
    assert.deepEqual(await pages(rig, { limit: 1, status: 'in-doubt' }), [])
  })

  test('every status is counted under its name', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const status of endStatuses) {
      const { offset } = await keep(rig, main)
      await end(rig, main, offset, status)
    }
    same(await rig.engine.mailbox.counts('shop'), {
      accepted: endStatuses.length,
      open: 0,
      ended: Object.fromEntries(endStatuses.map((status) => [status, 1])),
    })
    same(await rig.engine.mailbox.counts('nobody'), { accepted: 0, open: 0, ended: {} })
  })
}

/** Six commands a to f: b, d, f open; c done; a and e canceled; d and e urgent. */
async function make(rig: Rig): Promise<void> {
  const offsets = new Map<string, number>()
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
    rig.clock.advance(1)
    const { offset } = await keep(rig, 'de'.includes(name) ? urgent : main, { name })
    offsets.set(name, offset)
  }
  await end(rig, urgent, offsets.get('e')!, 'canceled')
  await end(rig, main, offsets.get('c')!, 'done')
  await end(rig, main, offsets.get('a')!, 'canceled')
}

async function pages(
  rig: Rig,
  query: HistoryQuery,
  device = 'shop/locker',
): Promise<readonly string[]> {
  const all: Found[] = []
  for (let next: HistoryQuery = query; ; ) {
    const page = await rig.engine.mailbox.history(device, next)
    assert.ok(page.items.length <= query.limit, 'a page is as long as asked for at most')
    all.push(...page.items)
    if (page.next === undefined) return all.map(({ command }) => command.name)
    next = { ...query, after: page.next }
  }
}

const end = (rig: Rig, channel: string, offset: number, status: (typeof endStatuses)[number]) =>
  settle(rig, channel, {
    changes: [{ kind: 'ended', offset, status, atMs: rig.clock.nowMs() }],
  })
