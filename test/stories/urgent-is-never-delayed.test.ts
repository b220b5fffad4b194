import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from '../support/turns.ts'
import { PikeStreet } from './roads.ts'

const channels = { media: { maxCommands: 3 } }

test('a locker whose media mailbox is full: what is urgent is accepted, delivered and answered all the same', async (t) => {
  const street = await PikeStreet.make(t)
  await street.register('locker', { channels })
  const kinds: string[] = []
  for (let n = 0; n < 4; n++) kinds.push((await street.submit('locker', 'media', `show ${n}`)).kind)
  assert.deepEqual(kinds, ['accepted', 'accepted', 'accepted', 'full'])
  const locker = street.locker(t, 'locker')
  const got: string[] = []
  locker.on('receive', (command, respond) => {
    got.push(command.name)
    if (command.channel === 'media') return new Promise(() => {}) // its screen hangs
    void respond({ status: 'done' })
    return undefined
  })
  locker.start()
  await street.until(() => got.includes('show 0'), 'the screen is busy')
  const opened = await street.submit('locker', 'urgent', 'open')
  assert.equal(opened.kind, 'accepted')
  if (opened.kind !== 'accepted') return
  const { id } = opened.status.command
  let status: string | undefined
  await street.until(() => got.includes('open'), 'the door is asked')
  while (status !== 'done') {
    await turn()
    status = await street.world.status(id)
  }
  assert.deepEqual(got, ['show 0', 'open'])
  assert.equal((await street.submit('locker', 'media', 'show 4')).kind, 'full')
})

test('a locker that sends a hundred pictures over a slow link: its alarm waits for what the socket holds, no more', async (t) => {
  const street = await PikeStreet.make(t)
  await street.register('locker', { channels: { media: {} } })
  const locker = street.locker(t, 'locker')
  locker.start()
  await street.until(() => locker.state.kind === 'running', 'running')
  const pictures = Array.from({ length: 100 }, (_, n) =>
    locker.send(`picture ${n}`, 'x'.repeat(40_000), { channel: 'media' }),
  )
  const alarm = locker.send('alarm', null, { channel: 'urgent' })
  assert.equal((await alarm).kind, 'kept')
  await Promise.all(pictures)
  const events = await street.events('locker')
  assert.equal(events.length, events.includes('urgent alarm') ? events.length : -1)
  const before = events.indexOf('urgent alarm')
  assert.ok(before * 40_000 <= 64 * 1024 + 2 * 40_000, `${before} pictures went before it`)
})
