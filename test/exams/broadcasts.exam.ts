import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type {
  AppendOptions,
  Broadcast,
  BroadcastMade,
  CreateBroadcast,
  DeviceId,
  NewBroadcast,
} from '../../src/contract/index.ts'
import { endStatuses, limits, StoreUnavailable } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { append, end, keep, same, settle } from '../support/engine-words.ts'
import { findById } from './mailbox-schedule.exam.ts'

const roomyKeep: CreateBroadcast = { maxDevices: 10_000, maxKept: 100 }

const broadcastOf = (rig: Rig, parts: Partial<NewBroadcast> = {}): NewBroadcast => ({
  app: 'shop',
  id: 'b1',
  tag: 'site-7',
  askedBy: 'first',
  createdAtMs: rig.clock.nowMs(),
  command: {
    ...{ channel: 'main', name: 'update', payload: Buffer.from('{"to":2}') },
    ...{ contentType: 'application/json', delivery: 'queue', expect: 'ack' },
  },
  ...parts,
})

function gate(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((opened) => {
    resolve = opened
  })
  return { promise, resolve }
}

async function* chunksOf(devices: readonly DeviceId[], size = 3) {
  for (let at = 0; at < devices.length; at += size) yield devices.slice(at, at + size)
}

const names = (count: number): DeviceId[] =>
  Array.from({ length: count }, (_, at) => `d${String(at).padStart(4, '0')}`)

const create = (
  rig: Rig,
  devices: readonly DeviceId[],
  parts: Partial<NewBroadcast> = {},
  options: Partial<CreateBroadcast> = {},
): Promise<BroadcastMade> =>
  rig.engine.broadcasts.create(broadcastOf(rig, parts), chunksOf(devices), {
    ...roomyKeep,
    ...options,
  })

async function make(
  rig: Rig,
  devices: readonly DeviceId[],
  parts: Partial<NewBroadcast> = {},
  options: Partial<CreateBroadcast> = {},
): Promise<Broadcast> {
  const made = await create(rig, devices, parts, options)
  assert.ok(made.kind === 'kept', `not kept but ${made.kind}`)
  return made.broadcast
}

/** Give a member its command, as the hub does. */
const place = (
  rig: Rig,
  device: DeviceId,
  options: Partial<AppendOptions> = {},
  broadcast = 'b1',
) => append(rig, `shop/${device}/main`, { broadcast, name: 'update' }, options)

const waiting = (rig: Rig, max = 100, id = 'b1') => rig.engine.broadcasts.waiting('shop', id, max)

async function membersOf(rig: Rig, id = 'b1', limit = 2) {
  const all: { readonly device: DeviceId; readonly command?: string }[] = []
  for (let after: DeviceId | undefined; ; ) {
    const query = { limit, ...(after && { after }) }
    const page = await rig.engine.broadcasts.members('shop', id, query)
    all.push(...page.items)
    if (page.next === undefined) return all
    after = page.next
  }
}

function stands(rig: Rig, id = 'b1') {
  const broadcast = rig.engine.broadcasts.find('shop', id)
  assert.ok(broadcast !== undefined, 'it is there')
  const { state, devices, waiting, open, ended } = broadcast
  const endedAll = endStatuses.reduce((sum, status) => sum + (ended[status] ?? 0), 0)
  assert.equal(waiting + open + endedAll, devices)
  return { state, waiting, open, ended }
}

/** What broadcasts must do: src/contract/broadcast.ts and rule 27. */
export function broadcastsExam(name: string, subject: EngineSubject): void {
  describe(`${name}: broadcasts`, () => {
    test('it is kept as it was given, with a snapshot of its members', async (t) => {
      const rig = await Rig.make(t, subject)
      const given = broadcastOf(rig, {
        command: {
          ...{ channel: 'urgent', name: '__proto__', payload: Uint8Array.from([0, 255, 1]) },
          ...{ contentType: 'application/octet-stream; a="ü"', delivery: 'now', expect: 'reply' },
          ...{ ttlMs: 5, replyTimeoutMs: 6, collapse: 'constructor' },
          callback: 'https://shop.example/',
        },
        ratePerSecond: 7,
        stopAfterFailures: 3,
      })
      const devices = names(8)
      const made = await rig.engine.broadcasts.create(given, chunksOf(devices), roomyKeep)
      assert.ok(made.kind === 'kept')
      const expected = {
        ...given,
        ...{ state: 'running', devices: 8, waiting: 8, open: 0, ended: {} },
      }
      same(made.broadcast, expected)
      for (const life of ['the same', 'the next']) {
        if (life === 'the next') await rig.crash()
        const { broadcasts } = rig.engine
        same(broadcasts.find('shop', 'b1'), expected, life)
        same(broadcasts.list('shop', { limit: 9 }), { items: [expected], next: undefined })
        same(broadcasts.running(), [expected])
        same(
          await membersOf(rig),
          devices.map((device) => ({ device })),
        )
        assert.deepEqual(await waiting(rig), devices)
      }
    })

    test('rule 30: it is unknown to another app, and unknown is no error', async (t) => {
      const rig = await Rig.make(t, subject)
      await make(rig, names(2))
      const { broadcasts } = rig.engine
      for (const [app, id] of [
        ['sho', 'b1'],
        ['shop2', 'b1'],
        ['shop', 'b'],
        ['shop', 'constructor'],
      ] as const) {
        assert.equal(broadcasts.find(app, id), undefined)
        assert.equal(await broadcasts.stop(app, id, 'why'), undefined)
        assert.deepEqual(await broadcasts.waiting(app, id, 9), [])
        same(await broadcasts.members(app, id, { limit: 9 }), { items: [], next: undefined })
        same(broadcasts.list(app, { limit: 9 }).items.length, app === 'shop' ? 1 : 0)
      }
    })

    test('members wait in order of name, and leave as they are placed', async (t) => {
      const rig = await Rig.make(t, subject)
      const devices = names(7)
      await make(rig, devices)
      assert.deepEqual(await waiting(rig, 3), devices.slice(0, 3))
      assert.deepEqual(await waiting(rig, 3), devices.slice(0, 3))
      const second = await place(rig, devices[1]!)
      assert.ok(second.kind === 'kept')
      assert.equal(second.command.broadcast, 'b1')
      assert.deepEqual(await waiting(rig, 3), [devices[0], devices[2], devices[3]])
      await place(rig, devices[0]!)
      await place(rig, devices[2]!)
      assert.deepEqual(await waiting(rig, 3), devices.slice(3, 6))
      assert.deepEqual(stands(rig), { state: 'running', waiting: 4, open: 3, ended: {} })
      await rig.crash()
      assert.deepEqual(await waiting(rig), devices.slice(3))
      for (const device of devices.slice(3)) await place(rig, device)
      assert.deepEqual(await waiting(rig), [])
      assert.deepEqual(stands(rig), { state: 'placed', waiting: 0, open: 7, ended: {} })
      assert.deepEqual(rig.engine.broadcasts.running(), [])
      const members = await membersOf(rig)
      assert.deepEqual(
        members.map(({ device }) => device),
        devices,
      )
      assert.equal(members[1]!.command, second.command.id)
      await rig.crash()
      same(await membersOf(rig), members)
      assert.deepEqual(stands(rig), { state: 'placed', waiting: 0, open: 7, ended: {} })
      assert.deepEqual(rig.engine.broadcasts.running(), [])
    })

    test('who is being placed at the moment is not given again', async (t) => {
      const rig = await Rig.make(t, subject)
      const devices = names(20)
      await make(rig, devices)
      const placing = devices.slice(0, 10).map((device) => place(rig, device))
      assert.deepEqual(await waiting(rig, 5), devices.slice(10, 15))
      await Promise.all(placing)
      assert.deepEqual(await waiting(rig, 5), devices.slice(10, 15))
    })

    test('nobody is placed twice, not even by two calls at once, or after a crash', async (t) => {
      const rig = await Rig.make(t, subject)
      const [a] = names(2)
      await make(rig, names(2))
      const [first, second] = await Promise.all([place(rig, a!), place(rig, a!)])
      assert.ok(first.kind === 'kept')
      const again = { kind: 'repeat', id: first.command.id }
      assert.deepEqual(second, again)
      await settle(rig, `shop/${a}/main`, {
        changes: [end(first.command.offset, 'delivered', rig.clock.nowMs())],
      })
      assert.deepEqual(await place(rig, a!), again)
      await rig.crash()
      assert.deepEqual(await place(rig, a!), again)
      assert.deepEqual(stands(rig), {
        state: 'running',
        waiting: 1,
        open: 0,
        ended: { delivered: 1 },
      })
      assert.equal((await rig.engine.mailbox.counts('shop')).accepted, 1)
    })

    test('a crash between placing and its answer leaves both or nothing', async (t) => {
      const rig = await Rig.make(t, subject)
      const devices = names(5)
      await make(rig, devices)
      const kept = await place(rig, devices[0]!)
      assert.equal(kept.kind, 'kept')
      for (const device of devices.slice(1)) place(rig, device)
      await rig.crash()
      const left = await waiting(rig)
      const members = await membersOf(rig)
      const { open } = await rig.engine.mailbox.counts('shop')
      assert.equal(open, devices.length - left.length)
      assert.equal(stands(rig).open, open)
      for (const { device, command } of members) {
        assert.equal(command === undefined, left.includes(device))
        if (command !== undefined) assert.equal((await findById(rig, command))?.kind, 'open')
      }
    })

    test('its commands are counted as they end, in whatever way', async (t) => {
      const rig = await Rig.make(t, subject)
      const devices = names(4)
      await make(rig, devices)
      const offsets = new Map<string, number>()
      for (const device of devices.slice(0, 3)) {
        const placed = await place(rig, device)
        assert.ok(placed.kind === 'kept')
        offsets.set(device, placed.command.offset)
      }
      const full = { status: 'dropped', reason: 'mailbox-full' } as const
      const dropped = await place(rig, devices[3]!, { ended: full })
      assert.ok(dropped.kind === 'kept')
      assert.deepEqual(stands(rig), { state: 'placed', waiting: 0, open: 3, ended: { dropped: 1 } })
      for (const [device, status] of [
        [devices[0]!, 'delivered'],
        [devices[1]!, 'delivered'],
        [devices[2]!, 'in-doubt'],
      ] as const) {
        const changes = [end(offsets.get(device)!, status, rig.clock.nowMs())]
        // The same end again changes nothing.
        await settle(rig, `shop/${device}/main`, { changes })
        await settle(rig, `shop/${device}/main`, { changes })
      }
      const ended = { dropped: 1, delivered: 2, 'in-doubt': 1 }
      assert.deepEqual(stands(rig), { state: 'placed', waiting: 0, open: 0, ended })
      await rig.crash()
      assert.deepEqual(stands(rig), { state: 'placed', waiting: 0, open: 0, ended })
      const found = await findById(rig, dropped.command.id)
      assert.ok(found?.kind === 'ended')
      assert.equal(found.command.broadcast, 'b1')
    })

    test('one superseded or dropped by a later command is counted too', async (t) => {
      const rig = await Rig.make(t, subject)
      const [a] = names(1)
      await make(rig, [a!])
      await append(rig, `shop/${a}/main`, { broadcast: 'b1', collapse: 'door' })
      await keep(rig, `shop/${a}/main`, { collapse: 'door' })
      assert.deepEqual(stands(rig).ended, { superseded: 1 })
    })

    test('who is none of its members has a command of its own, that counts nowhere', async (t) => {
      const rig = await Rig.make(t, subject)
      await make(rig, names(2))
      for (const [device, broadcast] of [
        ['stranger', 'b1'],
        ['d0000', 'unknown'],
      ] as const) {
        const placed = await place(rig, device, {}, broadcast)
        assert.ok(placed.kind === 'kept')
        assert.equal(placed.command.broadcast, undefined)
        const { offset } = placed.command
        await settle(rig, `shop/${device}/main`, { changes: [end(offset, 'delivered', 1)] })
      }
      assert.deepEqual(stands(rig), { state: 'running', waiting: 2, open: 0, ended: {} })
    })

    test('stopped, it gives no more members, says why, and still counts', async (t) => {
      const rig = await Rig.make(t, subject)
      const [a, b] = names(3)
      await make(rig, names(3))
      const placed = await place(rig, a!)
      assert.ok(placed.kind === 'kept')
      const { broadcasts } = rig.engine
      const stopping = broadcasts.stop('shop', 'b1', 'three failures')
      assert.deepEqual(await waiting(rig), [])
      const stopped = await stopping
      assert.deepEqual([stopped?.state, stopped?.why], ['stopped', 'three failures'])
      // Again, for another reason: it has been stopped already.
      assert.equal((await broadcasts.stop('shop', 'b1', 'again'))?.why, 'three failures')
      await rig.crash()
      assert.deepEqual(rig.engine.broadcasts.running(), [])
      assert.deepEqual(await waiting(rig), [])
      assert.equal(rig.engine.broadcasts.find('shop', 'b1')?.why, 'three failures')
      // One that was on its way when it was stopped.
      assert.equal((await place(rig, b!)).kind, 'kept')
      const { offset } = placed.command
      await settle(rig, `shop/${a}/main`, { changes: [end(offset, 'expired', 1)] })
      assert.deepEqual(stands(rig), {
        state: 'stopped',
        waiting: 1,
        open: 1,
        ended: { expired: 1 },
      })
      assert.equal((await membersOf(rig)).filter(({ command }) => command === undefined).length, 1)
    })

    test('one whose members are all placed is not stopped any more', async (t) => {
      const rig = await Rig.make(t, subject)
      await make(rig, names(1))
      await place(rig, 'd0000')
      const placed = await rig.engine.broadcasts.stop('shop', 'b1', 'too late')
      assert.deepEqual([placed?.state, placed?.why], ['placed', undefined])
      assert.equal((await make(rig, [], { id: 'nobody' })).state, 'placed')
      assert.deepEqual(rig.engine.broadcasts.running(), [])
    })

    test('they are listed newest first, page by page, and go on oldest first', async (t) => {
      const rig = await Rig.make(t, subject)
      for (const id of ['c', 'a', 'e', 'b', 'd']) {
        rig.clock.advance(10)
        await make(rig, names(1), { id })
      }
      await make(rig, names(1), { id: 'x', app: 'shop2', createdAtMs: 1 })
      for (const life of ['the same', 'the next']) {
        if (life === 'the next') await rig.crash()
        const { broadcasts } = rig.engine
        const listed: string[] = []
        for (let after: string | undefined; ; ) {
          const page = broadcasts.list('shop', { limit: 2, ...(after && { after }) })
          listed.push(...page.items.map(({ id }) => id))
          if (page.next === undefined) break
          after = page.next
        }
        assert.deepEqual(listed, ['d', 'b', 'e', 'a', 'c'], life)
        const running = broadcasts.running().map(({ id }) => id)
        assert.deepEqual(running, ['x', 'c', 'a', 'e', 'b', 'd'])
      }
    })

    test('a list goes on where it stood, though the one it stood at is gone', async (t) => {
      const rig = await Rig.make(t, subject)
      for (const id of ['b1', 'b2', 'b3', 'b4']) {
        rig.clock.advance(10)
        // The first still runs, so it stays.
        await make(rig, names(id === 'b1' ? 1 : 0), { id, createdAtMs: rig.clock.nowMs() })
      }
      const { broadcasts } = rig.engine
      const first = broadcasts.list('shop', { limit: 2 })
      assert.deepEqual([first.items.map(({ id }) => id), first.next], [['b4', 'b3'], 'b3'])
      assert.equal(await broadcasts.purge(rig.clock.nowMs()), 2)
      const rest = broadcasts.list('shop', { limit: 2, after: first.next! })
      assert.deepEqual([rest.items.map(({ id }) => id), rest.next], [['b1'], undefined])
      same(broadcasts.list('shop', { limit: 2, after: 'a' }), { items: [], next: undefined })
    })

    test('more members than may be make none of it', async (t) => {
      const rig = await Rig.make(t, subject)
      const key = { idempotency: { key: 'k', hash: 'a' } }
      const made = await create(rig, names(10), {}, { maxDevices: 9, ...key })
      assert.deepEqual(made, { kind: 'too-many', max: 9 })
      assert.equal(rig.engine.broadcasts.find('shop', 'b1'), undefined)
      await make(rig, names(9), { id: 'b2' }, { maxDevices: 9, ...key })
      assert.deepEqual((await membersOf(rig, 'b1')).length, 0)
    })

    test('as many run as may, of one app half and over all apps', async (t) => {
      const rig = await Rig.make(t, subject, { broadcastsMaxRunning: 3 })
      await make(rig, names(1), { id: 'a' })
      await make(rig, names(1), { id: 'b' })
      assert.deepEqual(await create(rig, names(1), { id: 'c' }), { kind: 'busy', max: 2 })
      await make(rig, names(1), { id: 'd', app: 'shop2' })
      const third = { id: 'e', app: 'shop3' }
      for (const life of ['the same', 'the next']) {
        if (life === 'the next') await rig.crash()
        assert.deepEqual(await create(rig, names(1), { id: 'c' }), { kind: 'busy', max: 2 }, life)
        assert.deepEqual(await create(rig, names(1), third), { kind: 'busy', max: 3 }, life)
      }
      await rig.engine.broadcasts.stop('shop', 'a', 'enough')
      await make(rig, names(1), { id: 'c' })
      await rig.engine.broadcasts.stop('shop', 'b', 'enough')
      await make(rig, names(1), third)
    })

    test('those that are being made count, each for its app', async (t) => {
      const rig = await Rig.make(t, subject, { broadcastsMaxRunning: 4 })
      const ids = ['a', 'b', 'c', 'd']
      const made = await Promise.all(ids.map((id) => create(rig, names(1), { id })))
      assert.deepEqual(made.map(({ kind }) => kind).sort(), ['busy', 'busy', 'kept', 'kept'])
      await make(rig, names(1), { id: 'e', app: 'shop2' })
    })

    test('rule 28: what a key stands for can be asked, also once it is forgotten', async (t) => {
      const rig = await Rig.make(t, subject)
      const once = { key: 'k', hash: 'x' }
      assert.equal(await rig.engine.broadcasts.asked('shop', once), undefined)
      await make(rig, names(1), { id: 'a' }, { idempotency: once })
      await rig.engine.broadcasts.stop('shop', 'a', 'enough')
      for (const life of ['the same', 'forgotten', 'the next']) {
        if (life === 'forgotten') assert.equal(await rig.engine.broadcasts.purge(Infinity), 1)
        if (life === 'the next') await rig.crash()
        const { broadcasts } = rig.engine
        same(await broadcasts.asked('shop', once), { kind: 'repeat', id: 'a' }, life)
        const other = { key: 'k', hash: 'y' }
        same(await broadcasts.asked('shop', other), { kind: 'conflict', id: 'a' }, life)
        assert.equal(await broadcasts.asked('shop2', once), undefined)
        assert.equal((await rig.engine.mailbox.asked('shop', once))?.kind, 'conflict')
      }
      rig.clock.advance(limits.idempotencyMs)
      assert.equal(await rig.engine.broadcasts.asked('shop', once), undefined)
    })

    test('where as many are kept as may be, the oldest that does not run goes, with its members', async (t) => {
      const rig = await Rig.make(t, subject)
      const options = { maxKept: 3 }
      for (const id of ['a', 'b', 'c']) {
        rig.clock.advance(1)
        await make(rig, names(2), { id }, options)
      }
      rig.clock.advance(1)
      assert.deepEqual(await create(rig, names(2), { id: 'd' }, options), { kind: 'busy', max: 3 })
      await rig.engine.broadcasts.stop('shop', 'c', 'enough')
      await rig.engine.broadcasts.stop('shop', 'b', 'enough')
      await make(rig, names(2), { id: 'd' }, options)
      // Another app has its own.
      await make(rig, names(2), { id: 'b', app: 'shop2' }, options)
      for (const life of ['the same', 'the next']) {
        if (life === 'the next') await rig.crash()
        const { items } = rig.engine.broadcasts.list('shop', { limit: 9 })
        assert.deepEqual(
          items.map(({ id }) => id),
          ['d', 'c', 'a'],
          life,
        )
        assert.equal(rig.engine.broadcasts.find('shop', 'b'), undefined)
        assert.deepEqual(await membersOf(rig, 'b'), [])
        assert.equal((await membersOf(rig, 'a')).length, 2)
        assert.equal(rig.engine.broadcasts.find('shop2', 'b')?.devices, 2)
      }
    })

    test('rule 28: the same key and body is the same broadcast, for all who come with it', async (t) => {
      const rig = await Rig.make(t, subject)
      const key = (hash: string) => ({ idempotency: { key: 'k', hash } })
      const [first, second] = await Promise.all([
        create(rig, names(7), { id: 'a' }, key('x')),
        create(rig, names(7), { id: 'b' }, key('x')),
      ])
      assert.equal(first.kind, 'kept')
      assert.deepEqual(second, { kind: 'repeat', id: 'a' })
      assert.equal(rig.engine.broadcasts.find('shop', 'b'), undefined)
      await rig.crash()
      assert.deepEqual(await create(rig, names(7), { id: 'c' }, key('x')), {
        kind: 'repeat',
        id: 'a',
      })
      assert.deepEqual(await create(rig, names(7), { id: 'c' }, key('y')), {
        kind: 'conflict',
        id: 'a',
      })
      await make(rig, names(7), { id: 'c', app: 'shop2' }, key('x'))
      rig.clock.advance(limits.idempotencyMs)
      await make(rig, names(7), { id: 'd' }, key('x'))
    })

    test('rule 28: a key is of a command or of a broadcast, not of both', async (t) => {
      const rig = await Rig.make(t, subject)
      const key = (name: string) => ({ idempotency: { key: name, hash: 'same' } })
      const kept = await keep(rig, 'shop/locker/main', {}, key('of a command'))
      const made = await create(rig, names(1), {}, key('of a command'))
      assert.deepEqual(made, { kind: 'conflict', id: kept.id })
      assert.equal(rig.engine.broadcasts.find('shop', 'b1'), undefined)
      await make(rig, names(1), {}, key('of a broadcast'))
      const appended = await append(rig, 'shop/locker/main', {}, key('of a broadcast'))
      assert.deepEqual(appended, { kind: 'conflict', id: 'b1' })
      // At once: the command is kept while the members are still read.
      const [late, early] = await Promise.all([
        create(rig, names(9), { id: 'b2' }, key('both')),
        append(rig, 'shop/locker/main', {}, key('both')),
      ])
      assert.deepEqual([late.kind, early.kind].sort(), ['conflict', 'kept'])
    })

    test('what was made before and does not run is purged; of one app, all', async (t) => {
      const rig = await Rig.make(t, subject)
      for (const [id, app] of [
        ['a', 'shop'],
        ['b', 'shop'],
        ['c', 'shop2'],
      ] as const) {
        await make(rig, names(2), { id, app })
      }
      await rig.engine.broadcasts.stop('shop', 'a', 'enough')
      await rig.engine.broadcasts.stop('shop2', 'c', 'enough')
      rig.clock.advance(10)
      await make(rig, names(2), { id: 'd' })
      await rig.engine.broadcasts.stop('shop', 'd', 'enough')
      assert.equal(await rig.engine.broadcasts.purge(rig.clock.nowMs() - 10), 0)
      const placed = await place(rig, 'd0000', {}, 'a')
      assert.ok(placed.kind === 'kept')
      assert.equal(await rig.engine.broadcasts.purge(rig.clock.nowMs()), 2)
      const left = () => rig.engine.broadcasts.list('shop', { limit: 9 }).items.map(({ id }) => id)
      assert.deepEqual(left(), ['d', 'b'])
      assert.equal(rig.engine.broadcasts.find('shop2', 'c'), undefined)
      // A command may outlive its broadcast.
      const { offset } = placed.command
      await settle(rig, 'shop/d0000/main', { changes: [end(offset, 'delivered', 1)] })
      await rig.crash()
      assert.deepEqual(left(), ['d', 'b'])
      assert.deepEqual(await membersOf(rig, 'a'), [])
      assert.equal(await rig.engine.broadcasts.purge(0, 'shop2'), 0)
      assert.equal(await rig.engine.broadcasts.purge(0, 'shop'), 2)
      assert.deepEqual(left(), [])
      assert.deepEqual(rig.engine.broadcasts.running(), [])
      await rig.restart()
      assert.deepEqual(left(), [])
    })

    test('of one that a crash cut short nothing is left', async (t) => {
      const rig = await Rig.make(t, subject)
      const { promise: read, resolve: reading } = gate()
      async function* endless(): AsyncIterable<readonly DeviceId[]> {
        yield names(3)
        yield names(6).slice(3)
        reading()
        await new Promise(() => {})
      }
      const key = { idempotency: { key: 'k', hash: 'x' } }
      rig.engine.broadcasts.create(broadcastOf(rig), endless(), { ...roomyKeep, ...key })
      await read
      assert.equal(rig.engine.broadcasts.find('shop', 'b1'), undefined)
      await rig.crash()
      assert.equal(rig.engine.broadcasts.find('shop', 'b1'), undefined)
      assert.deepEqual(rig.engine.broadcasts.running(), [])
      // Under its name another is made: it has its own members only.
      await make(rig, ['z'], {}, key)
      assert.deepEqual(await waiting(rig), ['z'])
      same(await membersOf(rig), [{ device: 'z' }])
      await rig.crash()
      same(await membersOf(rig), [{ device: 'z' }])
    })

    test('members that cannot be read make none of it', async (t) => {
      const rig = await Rig.make(t, subject)
      async function* broken(): AsyncIterable<readonly DeviceId[]> {
        yield names(3)
        throw new StoreUnavailable(false)
      }
      const made = await rig.engine.broadcasts.create(broadcastOf(rig), broken(), roomyKeep)
      assert.deepEqual(made, { kind: 'unavailable', full: false })
      assert.equal(rig.engine.broadcasts.find('shop', 'b1'), undefined)
      await rig.restart()
      assert.deepEqual(await membersOf(rig), [])
    })

    test('thousands of members are placed without beginning anew each time', async (t) => {
      const rig = await Rig.make(t, subject)
      const devices = names(2_000)
      await make(rig, devices)
      const placed: string[] = []
      for (let turn = 0; placed.length < devices.length; turn++) {
        const next = await waiting(rig, 250)
        await Promise.all(next.map((device) => place(rig, device)))
        placed.push(...next)
        if (turn === 3) await rig.crash()
      }
      assert.deepEqual(placed, devices)
      assert.deepEqual(stands(rig), { state: 'placed', waiting: 0, open: 2_000, ended: {} })
    })

    test('one that goes while it is being stopped is gone, and that is no failure of the store', async (t) => {
      const rig = await Rig.make(t, subject)
      const { broadcasts } = rig.engine
      await make(rig, names(2))
      const [stopped, gone] = await Promise.all([
        broadcasts.stop('shop', 'b1', 'why'),
        broadcasts.purge(0, 'shop'),
      ])
      assert.equal(gone, 1)
      assert.ok(stopped === undefined || stopped.state === 'stopped')
      assert.equal(broadcasts.find('shop', 'b1'), undefined)
    })

    const { breakage } = subject
    if (breakage === undefined) return

    test('a store that fails keeps what was kept, and answers for it meanwhile', async (t) => {
      const rig = await Rig.make(t, subject)
      const devices = names(3)
      await make(rig, devices)
      await place(rig, devices[0]!)
      const { promise: wait, resolve: goOn } = gate()
      const { promise: read, resolve: reading } = gate()
      async function* slow(): AsyncIterable<readonly DeviceId[]> {
        yield names(3)
        reading()
        await wait
        yield names(6).slice(3)
      }
      const half = rig.engine.broadcasts.create(broadcastOf(rig, { id: 'b2' }), slow(), roomyKeep)
      await read
      await breakage.break(rig.engine, 'full')
      assert.deepEqual(await create(rig, devices, { id: 'b3' }), {
        kind: 'unavailable',
        full: true,
      })
      assert.deepEqual(await place(rig, devices[1]!), { kind: 'unavailable', full: true })
      await assert.rejects(rig.engine.broadcasts.stop('shop', 'b1', 'why'), StoreUnavailable)
      assert.equal(stands(rig).open, 1)
      await breakage.mend(rig.engine)
      goOn()
      const answer = await half
      // What was read before it failed may be gone; then so is the whole of it.
      if (answer.kind === 'kept') assert.equal((await membersOf(rig, 'b2')).length, 6)
      else assert.equal(rig.engine.broadcasts.find('shop', 'b2'), undefined)
      assert.deepEqual(stands(rig), { state: 'running', waiting: 2, open: 1, ended: {} })
      assert.deepEqual(await waiting(rig), devices.slice(1))
      await place(rig, devices[1]!)
      await rig.crash()
      assert.deepEqual(stands(rig), { state: 'running', waiting: 1, open: 2, ended: {} })
    })

    test('one that is over is told whole, or not at all: after a failure of the store and a crash too', async (t) => {
      const rig = await Rig.make(t, subject)
      const given = broadcastOf(rig)
      await make(rig, names(1))
      await place(rig, names(1)[0]!)
      const told = () => [
        rig.engine.broadcasts.find('shop', 'b1'),
        ...rig.engine.broadcasts.list('shop', { limit: 9 }).items,
      ]
      const placed = { ...given, state: 'placed', devices: 1, waiting: 0, open: 1, ended: {} }
      same(told(), [placed, placed])
      const changes = [end(1, 'delivered', rig.clock.nowMs())]
      await settle(rig, `shop/${names(1)[0]}/main`, { changes })
      const whole = { ...placed, open: 0, ended: { delivered: 1 } }
      same(told(), [whole, whole])
      await breakage.break(rig.engine, 'down')
      try {
        same(told(), [whole, whole])
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error
      }
      await breakage.mend(rig.engine)
      same(told(), [whole, whole])
      await rig.crash()
      same(told(), [whole, whole])
    })
  })
}
