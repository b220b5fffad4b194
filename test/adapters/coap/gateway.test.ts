import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secretOf } from '../../support/adapter-subject.ts'
import { type Notification, readCommand } from './client.ts'
import { Stage } from './stage.ts'

test('a controller has a session for each box it was granted: commands in order of each, answers, reports; others are refused alike', async (t) => {
  const stage = await Stage.make(t)
  const { rig } = stage
  await rig.register('CAB-1')
  const boxes = ['box-1', 'box-2']
  const records = await Promise.all(
    boxes.map((box) => rig.register(box, 'default', { gateways: ['CAB-1'] })),
  )
  await rig.register('stranger')
  const { client } = stage.client()
  const heard = new Map<string, string[]>()
  for (const box of boxes) {
    const session = await stage.login(client, `&for=${box}`, 'CAB-1')
    const names: string[] = []
    heard.set(box, names)
    const take = (one: Notification): void => {
      const { fields } = readCommand(one.payload)
      names.push(fields.get('name')!)
      one.acknowledge()
    }
    assert.equal((await stage.answer(client.observe(`${session}/commands`, take))).code, '2.05')
    assert.equal((await stage.ask(client, 'POST', `${session}/events/here`, '{}')).code, '2.04')
    assert.equal(rig.hub.presence('default', box).via, 'CAB-1')
  }
  const ids: string[] = []
  for (const [device, name] of [
    ['box-1', 'a'],
    ['box-2', 'b'],
    ['box-1', 'c'],
    ['box-2', 'd'],
  ] as const)
    ids.push(await rig.submit({ to: { device }, name }))
  for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
  assert.deepEqual(
    [...heard.values()],
    [
      ['a', 'c'],
      ['b', 'd'],
    ],
  )
  const answers: string[] = []
  for (const device of ['stranger', 'nobody']) {
    const path = `session?device=CAB-1&for=${device}`
    const { code, payload } = await stage.ask(client, 'POST', path, secretOf('CAB-1'))
    answers.push(`${code} ${payload}`)
  }
  assert.equal(answers[0], answers[1])

  // Withdrawn: it is over at once.
  const after = await rig.register('box-1')
  rig.hub.deviceChanged(records[0]!, after)
  await rig.calm()
  assert.equal(rig.hub.presence('default', 'box-1').state, 'offline')
  assert.equal(rig.hub.presence('default', 'box-2').state, 'online')
})
