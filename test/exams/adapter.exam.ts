import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AdapterRig,
  type AdapterSubject,
  type ExamDevice,
  type ExamReply,
  secretOf,
} from '../support/adapter-subject.ts'

const namesOf = (device: ExamDevice): string[] => device.received.map(({ name }) => name)

/**
 * What a device may expect, whatever it speaks. Every adapter sits this with a real client of its
 * protocol, on a real store, in virtual time.
 */
export function adapterExam(subject: AdapterSubject): void {
  const exam = (what: string, run: (rig: AdapterRig) => Promise<void>): void => {
    test(`${subject.name}: ${what}`, async (t) => run(await AdapterRig.make(t, subject)))
  }

  exam('a device that proves itself is attached and online', async (rig) => {
    const device = await rig.device()
    assert.equal(await device.connect(), 'attached')
    assert.equal(rig.hub.presence('default', 'locker').state, 'online')
  })

  exam('a wrong secret and an unknown device are refused alike', async (rig) => {
    await rig.register()
    for (const device of ['locker', 'nobody']) {
      const stranger = rig.door.device({ device, secret: secretOf('somebody-else') })
      assert.equal(await stranger.connect(), 'refused')
    }
    assert.equal(rig.hub.figures().sessions, 0)
  })

  exam('a command is delivered, acknowledged, and ends delivered', async (rig) => {
    const device = await rig.device()
    await device.connect()
    const id = await rig.submit({ payload: Buffer.from('{"door":7}') })
    assert.equal((await rig.ended(id)).status, 'delivered')
    assert.equal(device.received.length, 1)
    const [command] = device.received
    assert.equal(command!.id, id)
    assert.equal(command!.name, 'open')
    assert.equal(Buffer.from(command!.payload).toString(), '{"door":7}')
  })

  exam('a command waits for a device that is not there', async (rig) => {
    const device = await rig.device()
    const ids = [await rig.submit({ name: 'one' }), await rig.submit({ name: 'two' })]
    await device.connect()
    for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
    assert.deepEqual(namesOf(device), ['one', 'two'])
  })

  exam(
    'a reply ends a command done, failed or rejected, with its reason and payload',
    async (rig) => {
      const device = await rig.device()
      const replies: Record<string, ExamReply> = {
        works: { status: 'done', payload: { door: 7 } },
        jams: { status: 'failed', reason: 'jammed' },
        refuses: { status: 'rejected', reason: 'out-of-service' },
      }
      device.act = async ({ name }) => replies[name]
      await device.connect()
      for (const [name, reply] of Object.entries(replies)) {
        const ended = await rig.ended(await rig.submit({ name, expect: 'reply' }))
        assert.equal(ended.status, reply.status)
        assert.equal(ended.reason, reply.reason)
        if (reply.payload !== undefined) {
          assert.deepEqual(JSON.parse(Buffer.from(ended.reply!.payload).toString()), reply.payload)
        }
      }
      const kinds = (await rig.events('reply')).length
      assert.equal(kinds, 3)
    },
  )

  exam('an event is kept before it is acknowledged', async (rig) => {
    const device = await rig.device()
    await device.connect()
    const sent = watch(device.event('door-opened', { door: 7 }))
    await rig.until('acknowledged', () => sent.done)
    assert.equal(await sent.promise, true)
    await rig.crash()
    const [event] = await rig.events('event')
    assert.equal(event?.kind === 'event' && event.name, 'door-opened')
    assert.ok(event?.kind === 'event')
    assert.equal(Buffer.from(event.payload).toString(), '{"door":7}')
  })

  exam('events arrive in the order they were sent', async (rig) => {
    const device = await rig.device()
    await device.connect()
    const all = Array.from({ length: 50 }, (_, i) => device.event(`e${i}`, i))
    const acknowledged = watch(Promise.all(all))
    await rig.until('all acknowledged', () => acknowledged.done)
    const names = (await rig.events('event')).map((event) => event.kind === 'event' && event.name)
    assert.deepEqual(
      names,
      all.map((_, i) => `e${i}`),
    )
  })

  exam('the newest of two wins the channel, and gets what comes', async (rig) => {
    const older = await rig.device()
    const newer = rig.door.device({ device: 'locker', secret: secretOf('locker') })
    await older.connect()
    assert.equal(await newer.connect(), 'attached')
    await rig.until('the older is closed', () => !older.attached)
    const id = await rig.submit()
    assert.equal((await rig.ended(id)).status, 'delivered')
    assert.equal(newer.received.length, 1)
    assert.equal(older.received.length, 0)
  })

  exam('a command that expires while it waits is never handed over', async (rig) => {
    const device = await rig.device()
    const id = await rig.submit({ ttlMs: 2_000 })
    await rig.pass(2_500)
    await device.connect()
    await rig.calm()
    assert.equal((await rig.ended(id)).status, 'expired')
    assert.equal(device.received.length, 0)
  })

  exam(
    'a canceled command is never handed over; one that was sent cannot be canceled',
    async (rig) => {
      const device = await rig.device()
      const unsent = await rig.submit({ name: 'unsent' })
      assert.equal((await rig.hub.cancel('default', unsent)).kind, 'canceled')
      device.act = () => new Promise(() => {})
      await device.connect()
      const sent = await rig.submit({ name: 'sent' })
      await rig.until(
        'it is sent',
        async () => (await rig.status(sent))?.kind === 'open' && device.received.length === 1,
      )
      assert.equal((await rig.hub.cancel('default', sent)).kind, 'too-late')
      assert.deepEqual(namesOf(device), ['sent'])
    },
  )

  exam('a newer command with the same collapse key replaces one still queued', async (rig) => {
    const device = await rig.device()
    const old = await rig.submit({ name: 'old', collapse: 'display' })
    const newer = await rig.submit({ name: 'new', collapse: 'display' })
    await device.connect()
    assert.equal((await rig.ended(newer)).status, 'delivered')
    assert.equal((await rig.ended(old)).status, 'superseded')
    assert.deepEqual(namesOf(device), ['new'])
  })

  exam('a now goes to a live link, and to no other', async (rig) => {
    const device = await rig.device()
    const absent = await rig.ended(await rig.submit({ delivery: 'now' }))
    assert.equal(absent.status, 'undeliverable')
    assert.equal(absent.reason, 'no-link')
    await device.connect()
    const live = await rig.submit({ delivery: 'now' })
    assert.equal((await rig.ended(live)).status, 'delivered')
    assert.equal(device.received[0]!.now, true)
  })

  exam(
    'a now that was sent and not heard of is in doubt when the device is back, never repeated',
    async (rig) => {
      const device = await rig.device()
      await device.connect()
      device.mute()
      const id = await rig.submit({ delivery: 'now' })
      await rig.until('it is sent', async () => {
        const status = await rig.status(id)
        return status?.kind === 'open' && status.status === 'sent'
      })
      await device.drop()
      await device.connect()
      assert.equal((await rig.ended(id)).status, 'in-doubt')
      await rig.calm()
      assert.equal(device.received.length, 0)
    },
  )

  exam('what one channel holds up does not hold up another', async (rig) => {
    const device = await rig.device()
    device.act = ({ channel }) =>
      channel === 'urgent' ? Promise.resolve(undefined) : new Promise(() => {})
    await device.connect()
    await rig.submit({ name: 'stuck' })
    const urgent = await rig.submit({ name: 'urgent', channel: 'urgent' })
    assert.equal((await rig.ended(urgent)).status, 'delivered')
  })

  exam('no more is out than the window holds', async (rig) => {
    const device = await rig.device()
    device.act = () => new Promise(() => {})
    await device.connect()
    const ids: string[] = []
    for (let i = 0; i < 40; i++) ids.push(await rig.submit())
    await rig.calm()
    const statuses = await Promise.all(ids.map((id) => rig.status(id)))
    const sent = statuses.filter((status) => status?.kind === 'open' && status.status === 'sent')
    assert.ok(sent.length >= 1 && sent.length <= 16, `${sent.length} out`)
  })

  exam('order holds across reconnects, and nothing is handed over twice', async (rig) => {
    const device = await rig.device()
    await device.connect()
    const wanted: string[] = []
    for (let i = 0; i < 30; i++) {
      wanted.push(`c${i}`)
      await rig.submit({ name: `c${i}` })
      if (i % 7 !== 3) continue
      await device.drop()
      await rig.pass(61_000)
      await device.connect()
    }
    await rig.until('all arrived', () => device.received.length >= wanted.length)
    assert.deepEqual(namesOf(device), wanted)
  })

  exam('a device resumes after the server was killed, and gets the rest once', async (rig) => {
    const device = await rig.device()
    await device.connect()
    await rig.ended(await rig.submit({ name: 'before' }))
    await rig.crash()
    const during = await rig.submit({ name: 'during' })
    device.move(rig.door)
    assert.equal(await device.connect(), 'attached')
    assert.equal((await rig.ended(during)).status, 'delivered')
    assert.deepEqual(namesOf(device), ['before', 'during'])
  })

  exam('a device that does not read stops itself and nobody else', async (rig) => {
    const slow = await rig.device('slow')
    const quick = await rig.device('quick')
    await slow.connect()
    await quick.connect()
    slow.stall()
    const big = Buffer.from(JSON.stringify('x'.repeat(40_000)))
    const ids: string[] = []
    for (let i = 0; i < 20; i++)
      ids.push(await rig.submit({ to: { device: 'slow' }, payload: big }))
    const one = await rig.submit({ to: { device: 'quick' } })
    assert.equal((await rig.ended(one)).status, 'delivered')
    slow.unstall()
    for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
  })

  exam(
    'a silent device is suspect, then offline, and what was out is told honestly',
    async (rig) => {
      const device = await rig.device()
      await device.connect()
      device.mute()
      await rig.pass(1_000)
      for (let i = 0; i < 60 && rig.hub.presence('default', 'locker').state !== 'offline'; i++) {
        await rig.pass(10_000)
      }
      const presence = rig.hub.presence('default', 'locker')
      assert.equal(presence.state, 'offline')
      assert.ok(['keepalive-expired', 'unresponsive', 'lost'].includes(presence.reason ?? ''))
    },
  )

  exam('presence is told in the order it happened', async (rig) => {
    const device = await rig.device()
    await device.connect()
    await device.leave()
    await rig.until('offline', () => rig.hub.presence('default', 'locker').state === 'offline')
    await device.connect()
    await device.drop()
    await rig.until('offline', () => rig.hub.presence('default', 'locker').state === 'offline')
    const states = (await rig.events('presence')).map(
      (event) => event.kind === 'presence' && event.state,
    )
    assert.deepEqual(states, ['online', 'offline', 'online', 'offline'])
  })

  exam('the largest payloads go both ways unharmed', async (rig) => {
    const device = await rig.device()
    await device.connect()
    const payload = Buffer.alloc(48 * 1024, 'p')
    const id = await rig.submit({ payload, contentType: 'application/octet-stream' })
    assert.equal((await rig.ended(id)).status, 'delivered')
    assert.ok(payload.equals(device.received[0]!.payload))
    const sent = watch(device.event('large', payload))
    await rig.until('acknowledged', () => sent.done)
    const [event] = await rig.events('event')
    assert.ok(event?.kind === 'event' && payload.equals(event.payload))
  })

  exam('__proto__ and constructor are names like others', async (rig) => {
    for (const name of ['constructor', 'toString']) {
      const device = await rig.device(name)
      await device.connect()
      const id = await rig.submit({ to: { device: name }, name: '__proto__' })
      assert.equal((await rig.ended(id)).status, 'delivered')
      assert.deepEqual(namesOf(device), ['__proto__'])
      const sent = watch(device.event('__proto__', JSON.parse('{"__proto__":1}')))
      await rig.until('acknowledged', () => sent.done)
    }
    const names = (await rig.events('event')).map((event) => event.kind === 'event' && event.name)
    assert.deepEqual(names, ['__proto__', '__proto__'])
  })

  exam('a device of one app is not one of another', async (rig) => {
    await rig.register('locker', 'other')
    const mine = await rig.device('locker', 'default')
    const theirs = rig.door.device({ app: 'other', device: 'locker', secret: secretOf('locker') })
    assert.equal(await mine.connect(), 'attached')
    assert.equal(await theirs.connect(), 'attached')
    await rig.ended(await rig.submit({ app: 'default' }))
    assert.equal(mine.received.length, 1)
    assert.equal(theirs.received.length, 0)
  })

  exam('a removed device is closed and comes back in vain', async (rig) => {
    const device = await rig.device()
    await device.connect()
    await rig.hub.removeDevice('default', 'locker')
    await rig.until('it is closed', () => !device.attached)
    assert.equal(await device.connect(), 'refused')
  })

  exam('a store that fails closes its devices, and they come back when it does', async (rig) => {
    const { breakage } = subject.engine
    if (breakage === undefined) return
    const device = await rig.device()
    await device.connect()
    await breakage.break(rig.engine, 'full')
    const sent = device.event('lost?', 1)
    await rig.until('it is closed', () => !device.attached)
    await breakage.mend(rig.engine)
    await rig.until('it is attached again', async () => (await device.connect()) === 'attached')
    await rig.until('what was not acknowledged arrives', async () => {
      return (await rig.events('event')).length === 1
    })
    await sent.catch(() => false)
  })
}

/** A promise, and whether it has settled by now. */
function watch<T>(promise: Promise<T>): { readonly promise: Promise<T>; done: boolean } {
  const watched = { promise, done: false }
  promise.then(
    () => (watched.done = true),
    () => (watched.done = true),
  )
  return watched
}
