import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { pikeAdapter } from '../../adapters/pike/index.ts'
import { PikeClient } from '../../devices/index.ts'
import type { ChannelSettings, DeviceRecord } from '../../src/contract/index.ts'
import { makeCredential } from '../../src/secrets/secrets.ts'
import { until } from '../support/turns.ts'
import { bytes, World } from '../support/world.ts'

export const secret = 'J7tYq0m3Vb2kXw9RfLhN5sPzA1c'

/** A gateway that speaks Pike, over real sockets and in virtual time, and lockers on it. */
export class PikeStreet {
  readonly world: World
  readonly port: number
  readonly sockets: Socket[] = []
  readonly figures: () => Readonly<Record<string, number>>

  private constructor(world: World, port: number, figures: PikeStreet['figures']) {
    this.world = world
    this.port = port
    this.figures = figures
  }

  static async make(
    t: TestContext,
    options: Parameters<typeof World.open>[0] = {},
  ): Promise<PikeStreet> {
    const world = await World.open(options)
    const adapter = pikeAdapter({ host: '127.0.0.1', port: 0 })
    const [listener] = await adapter.start(world.hub)
    const street = new PikeStreet(world, listener!.port, () => adapter.figures())
    t.after(async () => {
      for (const socket of street.sockets) socket.destroy()
      const stopped = adapter.stop(0)
      world.clock.advance(1_000)
      await stopped
      await world.hub.stop()
    })
    return street
  }

  async register(device: string, more: Partial<DeviceRecord> = {}): Promise<void> {
    const credentials = [await makeCredential(secret, 'default', device)]
    await this.world.register(device, 'default', {}, { credentials, ...more })
  }

  /** Its record becomes another, as by `PUT /v1/devices/{device}`. */
  async change(device: string, more: Partial<DeviceRecord>): Promise<void> {
    const { names } = this.world.engine
    const before = (await names.device('default', device))!
    const after = { ...before, ...more }
    await names.putDevice(after)
    this.world.hub.deviceChanged(before, after)
  }

  /** How one channel is to be connected. */
  connection(device: string, channel: string, how: ChannelSettings['connection']): Promise<void> {
    return this.change(device, { channels: { [channel]: { connection: how } } })
  }

  readonly socket = (): Socket => {
    const socket = connect({ host: '127.0.0.1', port: this.port, noDelay: true })
    this.sockets.push(socket)
    return socket
  }

  locker(
    t: TestContext,
    device: string,
    more: Partial<ConstructorParameters<typeof PikeClient>[0]> = {},
  ): PikeClient {
    const client = new PikeClient({
      ...{ host: '127.0.0.1', port: this.port, device, secret, connect: this.socket },
      ...{ clock: this.world.clock, random: () => 0.5, channels: ['main', 'urgent', 'media'] },
      ...more,
    })
    t.after(() => client.stop())
    return client
  }

  /** How many connections the gateway has. */
  get connections(): number {
    return this.figures().connections!
  }

  submit(device: string, channel: string, name: string, payload = '{}') {
    return this.world.submit({
      ...{ to: { device }, channel, name, payload: bytes(payload), expect: 'reply' as const },
    })
  }

  /** Names of the events of a device, in the order in which they are kept. */
  async events(device: string): Promise<string[]> {
    const page = await this.world.engine.events.read('default', { limit: 10_000, device })
    if (page.kind === 'gone') throw new Error('gone')
    return page.items.flatMap((event) =>
      event.kind === 'event' ? [`${event.channel} ${event.name}`] : [],
    )
  }

  /** Turns pass until it is so; with `time`, time too. */
  until(condition: () => boolean, what: string, time = 0): Promise<void> {
    return until(condition, what, time === 0 ? undefined : () => this.world.clock.advance(time))
  }
}
