import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { seeded } from '../../cli/seeded.ts'
import { mqtt5Session, mqttSession, PikeClient } from '../../devices/index.ts'
import {
  applyChange,
  copyDevice,
  type DeviceStorage,
  type StorageChange,
  type StoredDevice,
} from '../../devices/storage.ts'
import { hangUp } from '../../src/listen/sockets.ts'
import { mqttSubject } from '../adapters/mqtt/subject.ts'
import { mqtt5Subject } from '../adapters/mqtt/v5/subject.ts'
import { AdapterRig, secretOf } from '../support/adapter-subject.ts'
import { memorySubject } from '../support/engine-memory.ts'
import { turn } from '../support/turns.ts'

/** Where the power goes, as seen from the commit that moves a position. */
type Moment = 'before the store' | 'after the store, before it is known' | 'after the PUBACK'

/** Flash whose device may lose its power in the middle of a commit. */
class Flash {
  readonly #device: StoredDevice = new Map()
  /** What was not settled: a crash loses it, or the first of it, or nothing. */
  #open: { changes: readonly StorageChange[]; settled: ((error?: Error) => void) | undefined }[] =
    []
  #life = 0
  /** Cut at the next position. */
  cutAt: Moment | undefined
  cut: () => void = () => {}

  /** For one life of its device: what a dead one still says is not heard. */
  open(): DeviceStorage {
    const life = this.#life
    return {
      load: () => copyDevice(this.#device),
      commit: (changes, settled) => {
        if (life === this.#life) this.#commit(changes, settled)
      },
      close() {},
    }
  }

  #commit(changes: readonly StorageChange[], settled?: (error?: Error) => void): void {
    const life = this.#life
    const moment = changes.some(({ kind }) => kind === 'position') ? this.cutAt : undefined
    if (moment === 'before the store') {
      this.cut()
      return
    }
    this.#open.push({ changes, settled })
    if (settled === undefined) return
    setImmediate(() => {
      if (life !== this.#life) return
      const commits = this.#open.splice(0)
      for (const commit of commits) this.#keep(commit.changes)
      if (moment === 'after the store, before it is known') return this.cut()
      for (const commit of commits) commit.settled?.()
      if (moment === 'after the PUBACK') setTimeout(() => this.cut(), 20)
    })
  }

  /** @param kept so many of the unsettled commits reached the chip all the same. */
  crash(kept: number): void {
    this.#life++
    this.cutAt = undefined
    for (const { changes } of this.#open.splice(0).slice(0, kept)) this.#keep(changes)
  }

  knows(channel: string, epoch: number, offset: number): boolean {
    const positions = this.#device.get(channel)?.positions ?? []
    return positions.some((one) => one.epoch === epoch && one.offset >= offset)
  }

  #keep(changes: readonly StorageChange[]): void {
    for (const change of changes) applyChange(this.#device, change)
  }
}

interface Act {
  readonly id: string
  readonly channel: string
  readonly epoch: number
  readonly offset: number
  readonly n: number
}

/** A device that can lose its power; its application writes down what it did. */
class Device {
  readonly rig: AdapterRig
  readonly flash = new Flash()
  /** Of all lives; what was undone by a crash is struck out. */
  acts: Act[] = []
  struck = 0
  readonly #version: 4 | 5
  #client: PikeClient | undefined
  #sockets: Socket[] = []

  constructor(rig: AdapterRig, version: 4 | 5) {
    this.rig = rig
    this.#version = version
    this.flash.cut = () => this.crash(0)
  }

  get client(): PikeClient | undefined {
    return this.#client
  }

  start(): void {
    if (this.#client !== undefined) return
    const client = new PikeClient({
      host: '127.0.0.1',
      port: 0,
      device: 'locker',
      secret: secretOf('locker'),
      clock: this.rig.clock,
      random: () => 0,
      storage: this.flash.open(),
      session: this.#version === 5 ? mqtt5Session : mqttSession,
      connect: () => {
        const { port } = this.rig.door as unknown as { port: number }
        const socket = connect({ host: '127.0.0.1', port, noDelay: true })
        this.#sockets.push(socket)
        return socket
      },
    })
    this.#client = client
    client.on('receive', async (command, respond) => {
      const { id, channel, epoch, offset } = command
      const { n } = command.json() as { n: number }
      this.acts.push({ id, channel, epoch, offset, n })
      if (n % 3 === 0) await turn()
      if (this.#client !== client) return
      void client.send('did', { n }, { channel })
      if (command.replyExpected) void respond({ status: 'done', payload: { n } })
    })
    client.start()
  }

  drop(): void {
    for (const socket of this.#sockets.splice(0)) hangUp(socket)
  }

  crash(kept: number): void {
    const client = this.#client
    if (client === undefined) return
    this.#client = undefined
    this.flash.crash(kept)
    this.drop()
    void client.stop()
    // What it did and could not keep it will do again: nobody can spare it that.
    const before = this.acts.length
    this.acts = this.acts.filter((one) => this.flash.knows(one.channel, one.epoch, one.offset))
    this.struck += before - this.acts.length
  }

  async stop(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.stop()
  }
}

async function begin(t: TestContext, version: 4 | 5): Promise<Device> {
  const subject = version === 5 ? mqtt5Subject(memorySubject) : mqttSubject(memorySubject, 4)
  const rig = await AdapterRig.make(t, subject)
  await rig.register()
  const device = new Device(rig, version)
  t.after(() => device.stop())
  return device
}

const payload = (n: number) => Buffer.from(JSON.stringify({ n }))

for (const version of [4, 5] as const) {
  const name = version === 5 ? 'MQTT 5' : 'MQTT 3.1.1'
  const moments: readonly (readonly [Moment, acts: number])[] = [
    ['before the store', 2],
    ['after the store, before it is known', 1],
    ['after the PUBACK', 1],
  ]
  for (const [moment, times] of moments) {
    test(`${name}: the power goes ${moment}: acted on ${times === 1 ? 'once' : 'again, with the same id'}`, async (t) => {
      const device = await begin(t, version)
      const { rig, flash } = device
      let cuts = 0
      flash.cut = () => {
        cuts++
        device.crash(0)
      }
      flash.cutAt = moment
      device.start()
      const id = await rig.submit({ payload: payload(1) })
      await rig.until('the power is gone', () => cuts === 1)
      if (moment === 'after the PUBACK') await rig.ended(id)
      device.start()
      const { status } = await rig.ended(id)
      assert.equal(status, 'delivered')
      assert.equal(device.struck + device.acts.length, times)
      assert.deepEqual(
        device.acts.map((one) => one.id),
        [id],
      )
    })
  }

  test(`${name}: a command scheduled long before is known by its place, and its reply finds it`, async (t) => {
    const device = await begin(t, version)
    const { rig } = device
    const notBeforeMs = rig.clock.nowMs() + 2_000
    const id = await rig.submit({ payload: payload(1), expect: 'reply', notBeforeMs })
    assert.match(id, /:0:/)
    device.flash.cutAt = 'after the store, before it is known'
    device.start()
    await rig.pass(3_000)
    await rig.until('the power is gone', () => device.client === undefined)
    device.start()
    // Its reply was stored with its place.
    const { reply } = await rig.ended(id)
    assert.equal(reply?.status, 'done')
    assert.equal(device.acts.length, 1)
    assert.equal(device.struck, 0)
  })

  for (const seed of [1, 2, 3, 4, 5, 6]) {
    test(`${name}: power, network and gateway fail by the dice of ${seed}: once, in order`, async (t) => {
      const random = seeded(seed * 10 + version)
      const dice = (sides: number): number => Math.floor(random() * sides)
      const device = await begin(t, version)
      const { rig } = device
      device.start()
      const sent: { id: string; reply: boolean; n: number }[] = []
      let events = 0
      for (let step = 0; step < 60; step++) {
        switch (dice(12)) {
          case 0:
            device.crash(dice(4))
            break
          case 1:
            device.drop()
            break
          case 2:
            if (dice(3) === 0) await rig.crash()
            break
          case 3:
          case 4:
            if (device.client?.state.kind === 'running') {
              const n = ++events
              void device.client.send('said', { n })
            }
            break
          case 5:
            await rig.pass(dice(3_000))
            break
          case 6:
            device.flash.cutAt = moments[dice(3)]![0]
            break
          default: {
            const n = sent.length + 1
            const reply = dice(2) === 0
            const channel = dice(4) === 0 ? 'urgent' : 'main'
            const id = await rig.submit({
              ...{ payload: payload(n), channel, expect: reply ? 'reply' : 'ack' },
              ...(dice(5) === 0 && { notBeforeMs: rig.clock.nowMs() + dice(2_000) }),
            })
            sent.push({ id, reply, n })
          }
        }
        for (let i = dice(6); i > 0; i--) await turn()
        device.start()
      }
      device.flash.cutAt = undefined
      // Longer than two that fight are held off (rule 18): a device that drops all the time looks like it.
      for (let i = 0; i < 4; i++) {
        device.start()
        await rig.pass(30_000)
      }
      for (const { id, reply } of sent) {
        const { status } = await rig.ended(id)
        assert.equal(status, reply ? 'done' : 'delivered', id)
      }
      await rig.until('all is said', () => {
        device.start()
        return device.client?.state.kind === 'running' && device.client.outboxSize === 0
      })
      // Each once, whatever was repeated on the way; in the order of its channel.
      assert.deepEqual(
        device.acts.map(({ n }) => n).sort((a, b) => a - b),
        sent.map(({ n }) => n),
      )
      for (const channel of ['main', 'urgent']) {
        const offsets = device.acts
          .filter((one) => one.channel === channel)
          .map((one) => one.offset)
        assert.deepEqual(
          offsets,
          [...offsets].sort((a, b) => a - b),
        )
      }
      const kept = await rig.events('event')
      const said = kept.flatMap((event) => (event.kind === 'event' ? [event] : []))
      const numbers = (of: string) =>
        said
          .filter((event) => event.name === of)
          .map((event) => JSON.parse(Buffer.from(event.payload).toString()).n)
      assert.equal(new Set(numbers('said')).size, numbers('said').length, 'no event twice')
      assert.deepEqual(
        [...new Set(numbers('did'))].sort((a, b) => a - b),
        sent.map(({ n }) => n),
        'no event of an act is lost',
      )
      const replies = await rig.events('reply')
      assert.equal(replies.length, sent.filter(({ reply }) => reply).length, 'each reply once')
    })
  }
}
