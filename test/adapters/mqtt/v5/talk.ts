import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { IConnackPacket, IDisconnectPacket } from 'mqtt-packet'
import type { TopicTemplates } from '../../../../adapters/mqtt/index.ts'
import { AdapterRig, secretOf } from '../../../support/adapter-subject.ts'
import { memorySubject } from '../../../support/engine-memory.ts'
import { RawClient } from './raw-client.ts'
import { mqtt5Subject } from './subject.ts'

const password = Buffer.from(secretOf('locker'))
export const me = { username: 'locker', password }

/** A server, and a way to talk to it in bytes. */
export async function begin(
  t: TestContext,
  topics?: TopicTemplates,
): Promise<{ rig: AdapterRig; client: () => RawClient }> {
  const rig = await AdapterRig.make(t, mqtt5Subject(memorySubject, topics))
  await rig.register()
  const { port } = rig.door as unknown as { port: number }
  const client = (): RawClient => {
    const made = new RawClient(port)
    t.after(() => made.destroy())
    return made
  }
  return { rig, client }
}

/** Connected, and told so. */
export async function connected(
  t: TestContext,
  change = {},
): Promise<{ rig: AdapterRig; raw: RawClient; connack: IConnackPacket; client: () => RawClient }> {
  const { rig, client } = await begin(t)
  const raw = client()
  const connack = (await raw.connect({ ...me, ...change })) as unknown as IConnackPacket
  assert.equal(connack.reasonCode, 0, 'it is let in')
  return { rig, raw, connack, client }
}

export async function goodbye(raw: RawClient, code: number): Promise<string | undefined> {
  const packet = (await raw.next()) as unknown as IDisconnectPacket
  assert.equal(packet.cmd, 'disconnect')
  assert.equal(packet.reasonCode, code)
  await raw.ended()
  return packet.properties?.reasonString
}

export const publish = (change = {}) =>
  ({
    cmd: 'publish',
    topic: 'events/a',
    payload: '1',
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
    ...change,
  }) as const

export const subscribe = {
  cmd: 'subscribe',
  messageId: 3,
  subscriptions: [{ topic: 'commands/#', qos: 1 }],
} as const
