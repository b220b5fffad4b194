import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { helloFrame, WireClient } from '../adapters/pike/client.ts'
import { PikeStreet, secret, turn } from './roads.ts'

const noNonce = Buffer.alloc(0)
const granted = { gateways: ['CAB-1'] }

/** A cabinet's controller with its own connection; frames by hand. */
async function cabinet(t: TestContext, street: PikeStreet): Promise<WireClient> {
  const socket = connect({ host: '127.0.0.1', port: street.port, noDelay: true })
  street.sockets.push(socket)
  const client = new WireClient((bytes) => socket.write(bytes))
  socket.on('data', (chunk) => client.receive(chunk))
  socket.on('error', () => {})
  socket.on('close', () => client.over())
  t.after(() => socket.destroy())
  await client.open({ device: 'CAB-1' }, { secret })
  return client
}

async function made(t: TestContext): Promise<PikeStreet> {
  const street = await PikeStreet.make(t)
  await street.register('CAB-1')
  await street.register('box-1', granted)
  await street.register('box-2', granted)
  await street.register('stranger')
  return street
}

const open = (client: WireClient, channelNumber: number, device: string): void =>
  client.send(helloFrame({ channelNumber, device, nonce: noNonce }))

test('Pike: a controller receives, answers and reports for the two boxes it was granted, in order of each', async (t) => {
  const street = await made(t)
  const client = await cabinet(t, street)
  for (const [number, device] of [
    [1, 'box-1'],
    [2, 'box-2'],
  ] as const) {
    open(client, number, device)
    assert.equal((await client.next('welcome')).channelNumber, number)
    const presence = street.world.hub.presence('default', device)
    assert.deepEqual([presence.state, presence.via], ['online', 'CAB-1'])
  }
  const ids = new Map<string, string>()
  for (const [device, name] of [
    ['box-1', 'a'],
    ['box-2', 'b'],
    ['box-1', 'c'],
    ['box-2', 'd'],
  ] as const) {
    const accepted = await street.submit(device, 'main', name)
    assert.equal(accepted.kind, 'accepted')
    if (accepted.kind === 'accepted') ids.set(name, accepted.status.command.id)
  }
  const got: string[] = []
  let sequence = 0
  for (let n = 0; n < 4; n++) {
    const command = await client.next('command')
    got.push(`${command.channelNumber} ${command.name}`)
    client.send({
      ...{ type: 'reply', channelNumber: command.channelNumber, sequence: ++sequence },
      ...{ epoch: undefined, offset: command.offset, status: 'done', reason: undefined },
      ...{ payload: noNonce, binary: false },
    })
  }
  for (const number of [1, 2])
    client.send({
      ...{ type: 'event', channelNumber: number, sequence: ++sequence, name: `from ${number}` },
      ...{ payload: noNonce, binary: false },
    })
  assert.deepEqual(
    got.filter((one) => one.startsWith('1')),
    ['1 a', '1 c'],
  )
  assert.deepEqual(
    got.filter((one) => one.startsWith('2')),
    ['2 b', '2 d'],
  )
  let events: string[] = []
  while (events.length < 2) {
    await turn()
    events = [...(await street.events('box-1')), ...(await street.events('box-2'))]
  }
  assert.deepEqual(events, ['main from 1', 'main from 2'])
  for (const id of ids.values()) while ((await street.world.status(id)) !== 'done') await turn()
})

test('Pike: one it was not granted and one that is not there are refused alike, and counted', async (t) => {
  const street = await made(t)
  const client = await cabinet(t, street)
  const answers: unknown[] = []
  for (const [number, device] of [
    [1, 'stranger'],
    [2, 'nobody'],
  ] as const) {
    open(client, number, device)
    const { code, text, channelNumber } = await client.next('close')
    assert.equal(channelNumber, number)
    answers.push({ code, text })
  }
  assert.deepEqual(answers[0], answers[1])
  assert.equal(street.figures().handshakes_failed_total, 2)
  // Who was let in by a grant passes nothing on: a grant to box-1 is not one to the controller.
  await street.register('drawer', { gateways: ['box-1'] })
  open(client, 3, 'box-1')
  await client.next('welcome')
  open(client, 4, 'drawer')
  assert.equal((await client.next('close')).channelNumber, 4)
})

test('Pike: a grant withdrawn ends that box at once and leaves the others; the controller disabled, all of them', async (t) => {
  const street = await made(t)
  const client = await cabinet(t, street)
  for (const number of [1, 2]) {
    open(client, number, `box-${number}`)
    await client.next('welcome')
  }
  await street.change('box-1', { gateways: [] })
  const { channelNumber, code } = await client.next('close')
  assert.deepEqual([channelNumber, code], [1, 197])
  assert.equal(street.world.hub.presence('default', 'box-1').state, 'offline')
  assert.equal(street.world.hub.presence('default', 'box-2').state, 'online')
  open(client, 3, 'box-1')
  assert.equal((await client.next('close')).code, 197)
  await street.change('CAB-1', { disabled: true })
  street.world.hub.refuseDevice('default', 'CAB-1')
  await client.ended()
  assert.equal(street.world.hub.presence('default', 'box-2').state, 'offline')
})

test('a box that comes itself takes its channel over from the controller, and the other way round', async (t) => {
  const street = await made(t)
  const client = await cabinet(t, street)
  open(client, 1, 'box-1')
  await client.next('welcome')
  const box = street.locker(t, 'box-1', { channels: ['main'] })
  box.start()
  const { channelNumber, code } = await client.next('close')
  assert.deepEqual([channelNumber, code], [1, 64])
  await street.until(() => box.state.kind === 'running', 'it is there itself')
  assert.equal(street.world.hub.presence('default', 'box-1').via, undefined)
})
