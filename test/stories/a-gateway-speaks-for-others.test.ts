import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { memoryStorage, type PikeClient, PikeGateway } from '../../devices/index.ts'
import { PikeStreet, secret } from './roads.ts'

const boxes = ['box-1', 'box-2', 'box-3']

/** A cabinet's controller and the boxes behind it, on one connection, all there. */
class Cabinet {
  readonly street: PikeStreet
  readonly gateway: PikeGateway
  readonly clients: readonly PikeClient[]
  /** What each box did, in order. */
  readonly done = new Map<string, string[]>()
  /** These hang: what they got they do not acknowledge. */
  readonly hangs = new Set<string>()

  private constructor(street: PikeStreet) {
    this.street = street
    this.gateway = new PikeGateway({
      ...{ host: '127.0.0.1', port: street.port, device: 'CAB-1', secret, channels: ['main'] },
      ...{ connect: street.socket, clock: street.world.clock, random: () => 0.5 },
    })
    this.clients = boxes.map((device) => {
      const storage = memoryStorage()
      const client = this.gateway.client({ device, channels: ['main', 'urgent'], storage })
      this.done.set(device, [])
      client.on('receive', async ({ name }, respond) => {
        if (this.hangs.has(device)) return new Promise<never>(() => {})
        this.done.get(device)!.push(name)
        void respond({ status: 'done' })
      })
      return client
    })
  }

  static async make(t: TestContext): Promise<Cabinet> {
    const street = await PikeStreet.make(t)
    await street.register('CAB-1')
    for (const box of boxes) await street.register(box, { gateways: ['CAB-1'] })
    const cabinet = new Cabinet(street)
    t.after(() => cabinet.gateway.stop())
    for (const client of cabinet.clients) client.start()
    cabinet.gateway.start()
    await cabinet.isThere()
    return cabinet
  }

  isThere(): Promise<void> {
    const all = (): boolean => this.clients.every(({ state }) => state.kind === 'running')
    return this.street.until(all, 'every box is there', 50)
  }

  did(device: string): string[] {
    return this.done.get(device)!
  }

  async submit(device: string, name: string): Promise<void> {
    assert.equal((await this.street.submit(device, 'main', name)).kind, 'accepted', name)
  }
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`)

test('a cabinet goes by one connection, however many boxes are behind it', async (t) => {
  const { street } = await Cabinet.make(t)
  assert.equal(street.connections, 1)
  assert.equal(street.figures().channels, 1 + 2 * boxes.length)
})

test('a cabinet whose line is cut again and again comes back with all its boxes: nothing lost, nothing twice, each in its order', async (t) => {
  const cabinet = await Cabinet.make(t)
  const { street, clients } = cabinet
  const names = numbered(12)
  const sent: Promise<unknown>[] = []
  for (const name of names) {
    for (const box of boxes) await cabinet.submit(box, name)
    for (const client of clients) sent.push(client.send(`event-${name}`, {}))
    if (Number(name) % 4 !== 3) continue
    await cabinet.isThere()
    for (const socket of street.sockets) socket.destroy()
  }
  for (const box of boxes)
    await street.until(() => cabinet.did(box).length >= names.length, `${box} did all`, 50)
  await street.until(() => clients.every(({ outboxSize }) => outboxSize === 0), 'all is kept', 50)
  for (const outcome of await Promise.all(sent))
    assert.equal((outcome as { kind: string }).kind, 'kept')
  for (const box of boxes) {
    assert.deepEqual(cabinet.did(box), names)
    assert.deepEqual(
      await street.events(box),
      names.map((name) => `main event-${name}`),
    )
  }
  assert.equal(street.connections, 1)
})

test('a box that hangs holds up itself, and not its neighbours', async (t) => {
  const cabinet = await Cabinet.make(t)
  cabinet.hangs.add('box-1')
  const names = numbered(40)
  for (const name of names) for (const box of boxes) await cabinet.submit(box, name)
  for (const box of ['box-2', 'box-3'])
    await cabinet.street.until(() => cabinet.did(box).length === names.length, `${box} did all`, 50)
  assert.deepEqual(cabinet.did('box-1'), [])
  assert.equal(cabinet.clients[0]!.state.kind, 'running')
})

test('a box that is stopped leaves the others, and comes back by the same connection', async (t) => {
  const cabinet = await Cabinet.make(t)
  const { street, clients } = cabinet
  await clients[0]!.stop()
  await street.until(
    () => street.world.hub.presence('default', 'box-1').state === 'offline',
    'it is gone',
  )
  await cabinet.submit('box-1', 'waits')
  await cabinet.submit('box-2', 'goes')
  await street.until(() => cabinet.did('box-2').length === 1, 'its neighbour goes on', 50)
  assert.deepEqual(cabinet.did('box-1'), [])
  clients[0]!.start()
  await street.until(() => cabinet.did('box-1').length === 1, 'what waited for it came', 50)
  assert.equal(street.sockets.length, 1)
})
