import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AdapterRig,
  type AdapterSubject,
  type ExamDevice,
  type ExamReply,
  secretOf,
  type Ways,
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

  /** A story of something that not every protocol has. */
  const way = (needs: keyof Ways, what: string, run: (rig: AdapterRig) => Promise<void>): void => {
    if (subject.can[needs] === true) exam(what, run)
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

  exam('a reply to a scheduled command ends that one', async (rig) => {
    const device = await rig.device()
    device.act = async ({ replyExpected }) => (replyExpected ? { status: 'done' } : undefined)
    await device.connect()
    const before = [await rig.submit({ name: 'one' }), await rig.submit({ name: 'two' })]
    for (const id of before) assert.equal((await rig.ended(id)).status, 'delivered')
    const notBeforeMs = rig.clock.nowMs() + 5_000
    const id = await rig.submit({ name: 'later', expect: 'reply', notBeforeMs })
    await rig.pass(5_500)
    assert.equal((await rig.ended(id)).status, 'done')
    assert.deepEqual(namesOf(device), ['one', 'two', 'later'])
  })

  way('posts', 'an event is taken though the device receives nothing', async (rig) => {
    const receiver = await rig.device()
    await receiver.connect()
    const speaker = rig.door.device({ device: 'locker', secret: secretOf('locker') })
    const said = watch(speaker.post!('door-opened', { door: 7 }))
    await rig.until('it is answered', () => said.done)
    assert.equal(await said.promise, 'kept')
    assert.equal(receiver.attached, true, 'who speaks takes nobody its channel')
    assert.equal((await rig.ended(await rig.submit())).status, 'delivered')
    assert.equal(receiver.received.length, 1)
    await rig.crash()
    const [event] = await rig.events('event')
    assert.ok(event?.kind === 'event' && event.name === 'door-opened', 'the event is kept')
    assert.deepEqual(JSON.parse(Buffer.from(event.payload).toString()), { door: 7 })
  })

  way('posts', 'who does not prove itself posts nothing', async (rig) => {
    await rig.register()
    for (const device of ['locker', 'nobody']) {
      const stranger = rig.door.device({ device, secret: secretOf('somebody-else') })
      const said = watch(stranger.post!('door-opened', 7))
      await rig.until('it is answered', () => said.done)
      assert.equal(await said.promise, 'refused')
    }
    assert.equal((await rig.events('event')).length, 0)
  })

  way(
    'stamps',
    'a repeated stamp is kept once, one out of order is new, one too old is stale',
    async (rig) => {
      const device = await rig.device()
      const say = async (sequence: number) => {
        const said = watch(device.post!(`e${sequence}`, sequence, { epoch: 7, sequence }))
        await rig.until('it is answered', () => said.done)
        return said.promise
      }
      const answers: string[] = []
      for (const sequence of [100, 100, 99, 30]) answers.push(await say(sequence))
      await rig.crash()
      device.move(rig.door)
      answers.push(await say(100), await say(99), await say(101))
      assert.deepEqual(answers, ['kept', 'kept', 'kept', 'stale', 'kept', 'kept', 'kept'])
      const names = (await rig.events('event')).map((event) => event.kind === 'event' && event.name)
      assert.deepEqual(names, ['e100', 'e99', 'e101'])
    },
  )

  way(
    'repliesById',
    'a reply by id from a session it was not delivered to ends the command',
    async (rig) => {
      const device = await rig.device()
      await rig.register('other')
      device.act = () => new Promise(() => {})
      await device.connect()
      const id = await rig.submit({ expect: 'reply' })
      await rig.until('it has it', () => device.received.length === 1)
      await device.drop()
      const reply = async (who: ExamDevice) => {
        const said = watch(who.reply!(id, { status: 'done', payload: { door: 7 } }))
        await rig.until('it is answered', () => said.done)
        return said.promise
      }
      const other = rig.door.device({ device: 'other', secret: secretOf('other') })
      assert.equal(await reply(other), 'unknown', "another's command is none")
      assert.equal(await reply(device), 'kept')
      const ended = await rig.ended(id)
      assert.equal(ended.status, 'done')
      assert.deepEqual(JSON.parse(Buffer.from(ended.reply!.payload).toString()), { door: 7 })
      assert.equal((await rig.events('reply')).length, 1)
    },
  )

  way('sleeps', 'a device that sleeps is asleep until it said, then offline', async (rig) => {
    const device = await rig.device()
    await device.connect()
    await device.sleep!(120_000)
    const state = () => rig.hub.presence('default', 'locker').state
    await rig.until('it is asleep', () => state() === 'asleep')
    const id = await rig.submit()
    assert.equal((await rig.hub.explain('default', id))?.code, 'waiting.asleep')
    await rig.pass(60_000)
    assert.equal(state(), 'asleep')
    await rig.pass(61_000)
    assert.equal(state(), 'offline')
    await device.connect()
    assert.equal((await rig.ended(id)).status, 'delivered')
    assert.equal(state(), 'online')
  })

  way(
    'receivesUnacknowledged',
    'who acknowledges nothing gets a command once, and it ends in doubt or by its reply',
    async (rig) => {
      const device = await rig.device()
      device.act = async ({ replyExpected }) => (replyExpected ? { status: 'done' } : undefined)
      await device.connect({ acknowledges: false })
      const ids: string[] = []
      for (let i = 0; i < 20; i++) ids.push(await rig.submit({ name: `c${i}` }))
      const asked = await rig.submit({ name: 'asked', expect: 'reply' })
      for (const id of ids) {
        const { status, reason } = await rig.ended(id)
        assert.equal(`${status} ${reason}`, 'in-doubt no-acknowledgement')
      }
      assert.equal((await rig.ended(asked)).status, 'done')
      await device.drop()
      await rig.pass(61_000)
      await device.connect({ acknowledges: false })
      await rig.calm()
      assert.deepEqual(namesOf(device), [...ids.map((_, i) => `c${i}`), 'asked'])
    },
  )

  way(
    'acknowledgesOne',
    'a command acknowledged before an older one does not come again; the older does',
    async (rig) => {
      const device = await rig.device()
      await device.connect()
      device.hold!()
      const older = await rig.submit({ name: 'older' })
      const newer = await rig.submit({ name: 'newer' })
      await rig.until('it has both', () => device.received.length === 2)
      device.acknowledge!(newer)
      assert.equal((await rig.ended(newer)).status, 'delivered')
      assert.equal((await rig.status(older))?.kind, 'open')
      await device.drop()
      await rig.pass(61_000)
      await device.connect()
      await rig.until('the older comes again', () => device.received.length === 3)
      device.acknowledge!(older)
      assert.equal((await rig.ended(older)).status, 'delivered')
      assert.deepEqual(namesOf(device), ['older', 'newer', 'older'])
    },
  )

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
