import { CoapDevice } from './coap-device.ts'
import type { MakeDevice } from './device.ts'
import { HttpDevice } from './http-device.ts'
import { MqttDevice } from './mqtt-device.ts'
import type { DeviceKind } from './options.ts'
import { PikeDevice } from './pike-device.ts'

export const makeDevice: Readonly<Record<DeviceKind, MakeDevice>> = {
  pike: (settings) => new PikeDevice(settings),
  mqtt: (settings) => new MqttDevice(4, settings),
  mqtt5: (settings) => new MqttDevice(5, settings),
  coap: (settings) => new CoapDevice(settings),
  poll: (settings) => new HttpDevice('poll', settings),
  sse: (settings) => new HttpDevice('stream', settings),
}
