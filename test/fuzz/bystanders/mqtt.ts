import mqtt, { type MqttClient } from 'mqtt'
import { secretOf } from '../gateway.ts'
import { type Bystander, eventBody, type Happenings, numberIn, type Place } from './bystander.ts'

/** MQTT 3.1.1 or 5. */
export class MqttBystander implements Bystander {
  readonly protocol: string
  readonly device: string
  readonly #place: Place
  readonly #happenings: Happenings
  readonly #version: 4 | 5
  #client: MqttClient | undefined
  #stopped = false

  constructor(place: Place, happenings: Happenings, version: 4 | 5) {
    this.#place = place
    this.#happenings = happenings
    this.#version = version
    this.protocol = version === 5 ? 'mqtt5' : 'mqtt'
    this.device = `by-${this.protocol}`
  }

  async start(): Promise<void> {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${this.#place.ports.mqtt}`, {
      protocolVersion: this.#version,
      clientId: this.device,
      username: this.device,
      password: secretOf(this.device),
      reconnectPeriod: 0,
    })
    this.#client = client
    client.on('message', (_topic, payload) => this.#happenings.commanded(numberIn(payload)))
    client.on('close', () => {
      if (!this.#stopped) this.#happenings.harmed('its connection was closed')
    })
    client.on('error', (error) => this.#happenings.harmed(error.message))
    await client.subscribeAsync('commands/#', { qos: 1 })
  }

  async report(n: number): Promise<void> {
    await this.#client!.publishAsync('events/alive', eventBody(n), { qos: 1 })
  }

  stop(): void {
    this.#stopped = true
    this.#client?.end(true)
  }
}
