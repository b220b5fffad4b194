import type { IClientPublishOptions, IPublishPacket } from 'mqtt'
import { mqttAdapter, type TopicTemplates } from '../../../../adapters/mqtt/index.ts'
import type { Stamp } from '../../../../src/contract/index.ts'
import type {
  AdapterSubject,
  ExamCommand,
  ExamReply,
  Said,
} from '../../../support/adapter-subject.ts'
import type { EngineSubject } from '../../../support/engine-subject.ts'
import { MqttDevice, MqttDoor } from '../exam-device.ts'

/** MQTT 5 through real sockets, with the `mqtt` package at the device's end. */
export const mqtt5Subject = (engine: EngineSubject, topics?: TopicTemplates): AdapterSubject => ({
  name: 'mqtt5',
  engine,
  can: {
    posts: true,
    stamps: true,
    repliesById: true,
    receivesUnacknowledged: true,
    acknowledgesOne: true,
  },
  async start(core) {
    const adapter = mqttAdapter({
      host: '127.0.0.1',
      port: 0,
      ...(topics !== undefined && { topics }),
    })
    const listeners = await adapter.start(core)
    return new MqttDoor(listeners, adapter, (door, identity) => new Mqtt5Device(door, identity, 5))
  },
})

class Mqtt5Device extends MqttDevice {
  protected override readonly filter = 'commands/#'

  override async post(name: string, payload: unknown, stamp?: Stamp): Promise<Said> {
    if (!(await this.online())) return 'refused'
    return this.publish(`events/${name}`, payload, stamped(stamp))
  }

  async reply(id: string, { status, reason, payload }: ExamReply, stamp?: Stamp): Promise<Said> {
    if (!(await this.online())) return 'refused'
    const user = { ...stamped(stamp), 'pike-status': status }
    if (reason !== undefined) Object.assign(user, { 'pike-reason': reason })
    return this.publish(`replies/${id}`, payload ?? '', user)
  }

  protected override read(packet: IPublishPacket): ExamCommand {
    const user = packet.properties?.userProperties ?? {}
    const id = user['pike-command'] as string
    return {
      id,
      channel: id.split(':')[1]!,
      name: user['pike-name'] as string,
      payload: packet.payload as Buffer,
      now: user['pike-delivery'] === 'now',
      replyExpected: user['pike-expect'] === 'reply',
    }
  }

  protected override publish(
    topic: string,
    payload: unknown,
    user: Readonly<Record<string, string>> = {},
  ): Promise<Said> {
    const bytes = Buffer.isBuffer(payload) ? payload : JSON.stringify(payload)
    const options: IClientPublishOptions = { qos: 1 }
    if (Object.keys(user).length > 0) options.properties = { userProperties: user }
    return new Promise((resolve) => {
      this.client.publish(topic, bytes, options, (error, packet) => {
        const code = (error as { code?: number } | undefined)?.code ?? 0
        if (code === 0x83) resolve('stale')
        else if (code === 0x90) resolve('unknown')
        else resolve(error || packet === undefined ? 'refused' : 'kept')
      })
    })
  }
}

const stamped = (stamp: Stamp | undefined): Record<string, string> =>
  stamp === undefined ? {} : { 'pike-stamp': `${stamp.epoch}.${stamp.sequence}` }
