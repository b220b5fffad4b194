import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DeviceRecord } from '../../src/contract/index.ts'
import { AdapterRig, secretOf } from '../support/adapter-subject.ts'
import type { ExamGateway, GatewayDoor, GatewaySubject } from '../support/gateway-subject.ts'

const boxes = ['box-1', 'box-2'] as const
const granted = { gateways: ['CAB-1'] }

/** A cabinet: its controller, the boxes that granted it to speak for them, and one that did not. */
class Cabinet {
  readonly rig: AdapterRig
  readonly gateway: ExamGateway
  readonly #subject: GatewaySubject

  private constructor(rig: AdapterRig, subject: GatewaySubject) {
    this.rig = rig
    this.#subject = subject
    this.gateway = subject.gateway(this.door, { device: 'CAB-1', secret: secretOf('CAB-1') })
  }

  static async make(rig: AdapterRig, subject: GatewaySubject): Promise<Cabinet> {
    await rig.register('CAB-1')
    for (const box of boxes) await rig.register(box, 'default', granted)
    await rig.register('stranger')
    const cabinet = new Cabinet(rig, subject)
    await cabinet.answer(cabinet.gateway.connect())
    return cabinet
  }

  get door(): GatewayDoor {
    return this.rig.door as GatewayDoor
  }

  get refusedTotal(): number {
    return this.door.figures()[this.#subject.refusedTotal]!
  }

  /** What comes of it, while time goes on. */
  async answer<Answer>(asked: Promise<Answer>): Promise<Answer> {
    let done = false
    const mark = (): void => {
      done = true
    }
    asked.then(mark, mark)
    await this.rig.until('it is answered', () => done)
    return asked
  }

  receive(device: string, channel?: string): Promise<string> {
    return this.answer(this.gateway.receive(device, channel))
  }

  report(device: string, name: string, channel?: string): Promise<string> {
    return this.answer(this.gateway.report(device, name, channel))
  }

  async receiveBoth(): Promise<void> {
    for (const box of boxes) assert.equal(await this.receive(box), 'attached')
  }

  /** A device's record is another, as by `PUT /v1/devices/{device}`. */
  async change(device: string, more: Partial<DeviceRecord>): Promise<void> {
    const before = (await this.rig.engine.names.device('default', device))!
    const after = await this.rig.register(device, 'default', more)
    this.rig.hub.deviceChanged(before, after)
  }

  submit(device: string, name: string, expect: 'ack' | 'reply' = 'ack'): Promise<string> {
    return this.rig.submit({ to: { device }, name, expect })
  }

  /** Names of what came for one device. */
  got(device: string): string[] {
    return this.gateway.received.flatMap((one) => (one.device === device ? [one.name] : []))
  }

  presence(device: string): string {
    const { state, via } = this.rig.hub.presence('default', device)
    return via === undefined ? state : `${state} via ${via}`
  }

  async told(device: string): Promise<string[]> {
    return (await this.rig.events('presence')).flatMap((one) =>
      one.kind === 'presence' && one.device === device ? [`${one.state} via ${one.via}`] : [],
    )
  }
}

/**
 * What a controller may expect that speaks for devices, and what it may not, whatever it speaks.
 * Every protocol sits this through real sockets, on a real store, in virtual time.
 */
export function grantsExam(subject: GatewaySubject): void {
  const exam = (what: string, run: (cabinet: Cabinet) => Promise<void>): void => {
    test(`${subject.name}: ${what}`, async (t) => {
      const cabinet = await Cabinet.make(await AdapterRig.make(t, subject), subject)
      t.after(() => cabinet.gateway.drop())
      await run(cabinet)
    })
  }
  const { words } = subject

  exam(
    'a controller gets the commands of two boxes, each in its order, answers them, and reports for each',
    async (cabinet) => {
      const { rig, gateway } = cabinet
      gateway.act = ({ name }) =>
        name === 'jams' ? { status: 'failed', reason: 'jammed' } : { status: 'done' }
      const ids = [
        await cabinet.submit('box-1', 'a', 'reply'),
        await cabinet.submit('box-2', 'b', 'reply'),
      ]
      await cabinet.receiveBoth()
      ids.push(await cabinet.submit('box-1', 'jams', 'reply'))
      ids.push(await cabinet.submit('box-2', 'd', 'reply'))
      const ends: string[] = []
      for (const id of ids) ends.push((await rig.ended(id)).status)
      assert.deepEqual(ends, ['done', 'done', 'failed', 'done'])
      assert.deepEqual(cabinet.got('box-1'), ['a', 'jams'])
      assert.deepEqual(cabinet.got('box-2'), ['b', 'd'])
      for (const box of boxes) assert.equal(await cabinet.report(box, `from-${box}`), 'kept')
      const events = (await rig.events('event')).map((one) =>
        one.kind === 'event' ? `${one.device} ${one.name}` : '',
      )
      assert.deepEqual(events, ['box-1 from-box-1', 'box-2 from-box-2'])
    },
  )

  exam(
    'presence says which controller speaks for it, in the view and in events',
    async (cabinet) => {
      await cabinet.receiveBoth()
      for (const box of boxes) assert.equal(cabinet.presence(box), 'online via CAB-1')
      assert.deepEqual(await cabinet.told('box-1'), ['online via CAB-1'])
      await cabinet.change('box-1', {})
      await cabinet.rig.until('it is gone', () => cabinet.presence('box-1') === 'offline')
      assert.deepEqual(await cabinet.told('box-1'), ['online via CAB-1', 'offline via CAB-1'])
    },
  )

  exam(
    'one that did not grant it and one that is not there are refused alike, and counted',
    async (cabinet) => {
      const answers: string[] = []
      for (const device of ['stranger', 'nobody']) {
        answers.push((await cabinet.receive(device)).replaceAll(device, '…'))
        assert.equal(cabinet.refusedTotal, answers.length)
      }
      assert.match(answers[0]!, words.ungranted)
      assert.equal(answers[0], answers[1])
      assert.equal(await cabinet.receive('box-1'), 'attached', 'who asked goes on')
      assert.match(
        await cabinet.report('stranger', 'opened'),
        words.reportUngranted ?? words.ungranted,
      )
      assert.equal(cabinet.refusedTotal, 3)
      assert.deepEqual(await cabinet.rig.events('event'), [])
    },
  )

  exam('who speaks by a grant passes none on', async (cabinet) => {
    await cabinet.rig.register('drawer', 'default', { gateways: ['box-1'] })
    assert.equal(await cabinet.receive('box-1'), 'attached')
    assert.match(await cabinet.receive('drawer'), words.ungranted)
  })

  exam('a grant withdrawn ends that box at once, and leaves the other', async (cabinet) => {
    const { rig } = cabinet
    await cabinet.receiveBoth()
    await cabinet.change('box-1', {})
    await rig.until('it is gone', () => cabinet.presence('box-1') === 'offline')
    const waits = await cabinet.submit('box-1', 'waits')
    const goes = await cabinet.submit('box-2', 'goes')
    assert.equal((await rig.ended(goes)).status, 'delivered')
    await rig.calm()
    assert.equal((await rig.status(waits))?.kind, 'open')
    assert.deepEqual([cabinet.got('box-1'), cabinet.got('box-2')], [[], ['goes']])
    assert.equal(cabinet.presence('box-2'), 'online via CAB-1')
    assert.match(await cabinet.receive('box-1'), words.ungranted)
    // Granted anew it goes on where it was.
    await cabinet.change('box-1', granted)
    assert.equal(await cabinet.receive('box-1'), 'attached')
    assert.equal((await rig.ended(waits)).status, 'delivered')
  })

  exam('a controller that is disabled speaks for nobody any more', async (cabinet) => {
    await cabinet.receiveBoth()
    await cabinet.change('CAB-1', { disabled: true })
    cabinet.rig.hub.refuseDevice('default', 'CAB-1')
    for (const box of boxes)
      await cabinet.rig.until(`${box} is gone`, () => cabinet.presence(box) === 'offline')
  })

  exam(
    'a box that comes itself takes its commands over, and the controller takes them back',
    async (cabinet) => {
      const { rig } = cabinet
      await cabinet.receiveBoth()
      const box = rig.door.device({ device: 'box-1', secret: secretOf('box-1') })
      assert.equal(await box.connect(), 'attached')
      await rig.until('it is there itself', () => cabinet.presence('box-1') === 'online')
      assert.equal((await rig.ended(await cabinet.submit('box-1', 'mine'))).status, 'delivered')
      assert.equal((await rig.ended(await cabinet.submit('box-2', 'yours'))).status, 'delivered')
      assert.deepEqual([cabinet.got('box-1'), cabinet.got('box-2')], [[], ['yours']])
      assert.deepEqual(
        box.received.map(({ name }) => name),
        ['mine'],
      )
      await box.leave()
      assert.equal(await cabinet.receive('box-1'), 'attached')
      assert.equal((await rig.ended(await cabinet.submit('box-1', 'back'))).status, 'delivered')
      assert.deepEqual(cabinet.got('box-1'), ['back'])
      assert.match(cabinet.presence('box-1'), /^online via CAB-1$/)
    },
  )

  exam('who stops receiving for one box goes on for the other', async (cabinet) => {
    const { rig, gateway } = cabinet
    await cabinet.receiveBoth()
    await cabinet.answer(gateway.stop('box-1'))
    await rig.until('it is gone', () => cabinet.presence('box-1') === 'offline')
    assert.equal((await rig.ended(await cabinet.submit('box-2', 'goes'))).status, 'delivered')
    assert.equal(cabinet.presence('box-2'), 'online via CAB-1')
  })

  exam(
    'what a controller left unsaid of two boxes comes to its next connection, in order',
    async (cabinet) => {
      const { rig, gateway } = cabinet
      await cabinet.receiveBoth()
      await gateway.drop()
      const ids: string[] = []
      for (const name of ['1', '2', '3'])
        for (const box of boxes) ids.push(await cabinet.submit(box, name))
      await cabinet.answer(gateway.connect())
      await cabinet.receiveBoth()
      for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
      for (const box of boxes) assert.deepEqual(cabinet.got(box), ['1', '2', '3'])
    },
  )

  exam('a channel that is not there is refused at the door, and named', async (cabinet) => {
    assert.match(await cabinet.receive('box-1', 'nowhere'), words.unknownChannel)
    // Where that ends the connection it is the last thing said.
    assert.match(
      await cabinet.report('box-1', 'opened', 'nowhere'),
      words.reportUnknownChannel ?? words.unknownChannel,
    )
    assert.deepEqual(await cabinet.rig.events('event'), [])
  })
}
