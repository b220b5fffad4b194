import assert from 'node:assert/strict'
import test from 'node:test'
import { copyDisk, openMemoryEngine } from '../../../src/engine/memory/index.ts'
import { append, keep, logEvents, readNames, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const main = 'shop/locker/main'

test('what is outstanding when a test breaks the store is refused, and nothing of it is kept', async () => {
  const clock = new ManualClock()
  const engine = openMemoryEngine({ clock })
  const outstanding = append({ engine, clock }, main)
  const settled = settle({ engine, clock }, main, { uplinks: 'lost' })
  engine.fail('full')
  assert.deepEqual(await outstanding, { kind: 'unavailable', full: true })
  assert.equal(await settled, 'unavailable')
  engine.recover()
  assert.deepEqual(await readNames({ engine, clock }, main), [])
  assert.equal((await engine.mailbox.open(main)).uplinks, undefined)
})

test('a broken store knows no more of what was sent than its intents', async () => {
  const clock = new ManualClock()
  const engine = openMemoryEngine({ clock })
  const a = await keep({ engine, clock }, main)
  const b = await keep({ engine, clock }, main)
  await engine.mailbox.intend(main, b.offset)
  engine.mailbox.sent(main, a.offset, clock.nowMs())
  engine.fail('down')
  engine.recover()
  assert.equal((await engine.mailbox.open(main)).sentUpTo, b.offset)
})

test('an engine that was killed cannot touch what it left', async () => {
  const clock = new ManualClock()
  const first = openMemoryEngine({ clock })
  const { offset } = await keep({ engine: first, clock }, main, { name: 'kept' })
  const never = append({ engine: first, clock }, main, { name: 'outstanding' })
  let answered = false
  never.then(() => {
    answered = true
  })
  const disk = first.crash()
  const second = openMemoryEngine({ clock, disk })
  first.mailbox.sent(main, offset, clock.nowMs())
  first.events.append([
    { kind: 'presence', app: 'shop', device: 'locker', atMs: 1, state: 'online' },
  ])
  assert.equal(await logEvents({ engine: second, clock }, []), 'kept')
  assert.deepEqual(await readNames({ engine: second, clock }, main), ['kept'])
  assert.equal((await second.mailbox.open(main)).sentUpTo, 0)
  assert.equal((await second.events.read('shop', { limit: 9 })).kind, 'page')
  assert.equal(answered, false)
})

test('a disk goes on where a close left it, and a copy of it does not pretend to', async () => {
  const clock = new ManualClock()
  const first = openMemoryEngine({ clock })
  const { epoch } = await keep({ engine: first, clock }, main)
  await first.close()
  const copy = copyDisk(first.disk)
  const second = openMemoryEngine({ clock, disk: first.disk })
  assert.equal((await keep({ engine: second, clock }, main)).epoch, epoch)
  const restored = openMemoryEngine({ clock, disk: copy })
  assert.notEqual((await keep({ engine: restored, clock }, main)).epoch, epoch)
})
