import type { IPublishPacket } from 'mqtt'
import { type MqttOptions, mqttAdapter } from '../../../adapters/mqtt/index.ts'
import type { AdapterSubject, ExamCommand, Said } from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import { MqttDevice, MqttDoor } from './exam-device.ts'

export { MqttDoor }

/** MQTT 3.1 and 3.1.1 through real sockets, with the `mqtt` package at the device's end. */
export const mqttSubject = (
  engine: EngineSubject,
  version: 3 | 4,
  options: Partial<MqttOptions> = {},
): AdapterSubject => ({
  name: version === 3 ? 'mqtt 3.1' : 'mqtt 3.1.1',
  engine,
  can: {
    posts: true,
    receivesUnacknowledged: true,
    acknowledgesOne: true,
  },
  async start(core) {
    const adapter = mqttAdapter({ host: '127.0.0.1', port: 0, ...options })
    const listeners = await adapter.start(core)
    return new MqttDoor(
      listeners,
      adapter,
      (door, identity) => new Mqtt3Device(door, identity, version),
    )
  },
})

/** A topic that tells all there is to tell, since there are no properties in this version. */
const detailed = 'detailed/commands/#'

class Mqtt3Device extends MqttDevice {
  protected override readonly filter = detailed

  protected override read(packet: IPublishPacket): ExamCommand {
    const [, , id = '', delivery, expect, , name = ''] = packet.topic.split('/')
    return {
      id,
      channel: id.split(':')[1]!,
      name: decodeURIComponent(name),
      payload: packet.payload as Buffer,
      now: delivery === 'now',
      replyExpected: expect === 'reply',
    }
  }

  /** In 3.x a publish is acknowledged, or its connection ends. */
  protected publish(topic: string, payload: unknown): Promise<Said> {
    const bytes = Buffer.isBuffer(payload) ? payload : JSON.stringify(payload)
    return new Promise((resolve) => {
      this.client.publish(topic, bytes, { qos: 1 }, (error, packet) => {
        resolve(error || packet === undefined ? 'refused' : 'kept')
      })
    })
  }
}
