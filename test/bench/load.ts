import { createServer } from 'node:net'
import { defaultApp } from '../../src/contract/index.ts'
import { takeSentAgain } from './coap-device.ts'
import { type CommandsAsked, CommandsLoad, type CommandsRun } from './commands-load.ts'
import {
  type BenchDevice,
  connectDevices,
  type DeviceSettings,
  deviceName,
  deviceSecret,
} from './device.ts'
import { makeDevice } from './devices.ts'
import { type EventsAsked, type EventsRun, runEvents } from './events-load.ts'
import { HttpConnection, registration } from './http-connection.ts'
import {
  type DrainAsked,
  type DrainRun,
  drain,
  type LinesAsked,
  LinesLoad,
  type LinesRun,
  registerMany,
} from './lines-load.ts'
import { MqttDevice } from './mqtt-device.ts'
import type { DeviceKind } from './options.ts'
import { answerQuestions } from './worker.ts'

export interface ConnectAsked extends Partial<Omit<DeviceSettings, 'index'>> {
  readonly port: number
  readonly count: number
  readonly from?: number
  /** Left out: Pike. */
  readonly kind?: DeviceKind
}

/** The process that makes the load: back ends on one side, devices on the other, on one clock. */
const devices: BenchDevice[] = []
let lostDevices = 0
let heard = 0
let listener: MqttDevice | undefined
let back: CommandsLoad | undefined

const answers = {
  /** Devices 0 to count, by the API. */
  async register({
    port,
    key,
    count,
  }: {
    port: number
    key: string
    count: number
  }): Promise<void> {
    let next = 0
    let left = count
    await new Promise<void>((resolve, reject) => {
      const onAnswer = (connection: HttpConnection, status: number): void => {
        if (status === 0 && left === 0) return
        if (status !== 200 && status !== 201) reject(new Error(`registering: status ${status}`))
        else if (--left === 0) resolve()
        else send(connection)
      }
      const send = (connection: HttpConnection): void => {
        if (next === count) return
        connection.send(registration(key, deviceName(next), deviceSecret(next)))
        next++
      }
      for (let i = 0; i < Math.min(16, count); i++) {
        const connection = new HttpConnection(onAnswer)
        connection.connect(port).then(() => send(connection), reject)
        open.push(connection)
      }
    })
    for (const connection of open.splice(0)) connection.close()
  },

  /** ms it took. */
  async connectDevices({
    port,
    count,
    from = 0,
    kind = 'pike',
    ...settings
  }: ConnectAsked): Promise<number> {
    const fromMs = performance.now()
    const prepare = (device: BenchDevice): void => {
      device.onLost = (_, why) => {
        if (lostDevices++ === 0) console.error(`a device was cut off: ${why}`)
      }
    }
    const make = makeDevice[kind]
    devices.push(...(await connectDevices(make, port, from, count, prepare, settings)))
    return performance.now() - fromMs
  },

  async connectBackEnds({
    port,
    key,
    count,
  }: {
    port: number
    key: string
    count: number
  }): Promise<void> {
    back?.close()
    back = new CommandsLoad(key, count, devices)
    await back.connect(port)
  },

  commands: (asked: CommandsAsked): Promise<CommandsRun> => back!.run(asked),

  events: (asked: EventsAsked): Promise<EventsRun> => runEvents(devices, asked),

  /** Devices 0 to count, in one call. @returns how many a second. */
  registerMany: (asked: { port: number; key: string; count: number }): Promise<number> =>
    registerMany(asked.port, asked.key, asked.count),

  /** One NDJSON call or more, to the devices connected here; none: to absent ones. */
  lines: (asked: LinesAsked): Promise<LinesRun> => new LinesLoad(asked, devices).run(),

  /** Connects the devices for which commands wait. */
  drain: (asked: DrainAsked): Promise<DrainRun> => drain(asked, devices),

  /** ms from connecting one device, for which commands wait, to its first command. */
  async firstDelivery({ port, index }: { port: number; index: number }): Promise<number> {
    const fromMs = performance.now()
    const first = new Promise<number>((resolve, reject) => {
      void connectDevices(makeDevice.pike, port, index, 1, (device) => {
        devices.push(device)
        device.onCommand = () => resolve(performance.now() - fromMs)
      }).catch(reject)
    })
    return first
  },

  /** Devices that come and go, and come again at once when they are refused. */
  async churn(asked: {
    port: number
    app: string
    from: number
    seconds: number
  }): Promise<{ arrived: number; refused: number }> {
    const untilMs = performance.now() + asked.seconds * 1000
    const made = { arrived: 0, refused: 0 }
    const lane = async (index: number): Promise<void> => {
      while (performance.now() < untilMs) {
        try {
          const { port, app } = asked
          const [device] = await connectDevices(makeDevice.pike, port, index, 1, () => {}, { app })
          device!.close()
          made.arrived++
        } catch {
          made.refused++
        }
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, i) => lane(asked.from + i)))
    return made
  },

  /** A receiver that takes every request and never answers. @returns its port. */
  async blackHole(): Promise<number> {
    const server = createServer((socket) => socket.on('error', () => {}).resume())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as { port: number }).port
  },

  closeDevices(): void {
    for (const device of devices.splice(0)) device.close()
  },

  /** A back end of a broker: subscribed to all events, by QoS 0. */
  async listen({ port }: { port: number }): Promise<void> {
    const usual = { app: defaultApp, receives: true, qos: 0, bare: true } as const
    const filter = { topic: 'events/#', qos: 0 } as const
    listener = new MqttDevice(4, { ...usual, index: 999_999 }, filter)
    listener.onCommand = () => {
      heard++
    }
    await listener.connect(port)
  },

  /** Events the broker has passed on so far. */
  heard: (): number => heard,

  /** CoAP requests sent again since the last time this was asked. */
  sentAgain: (): number => takeSentAgain(),

  /** Devices cut off since the last time this was asked. */
  lostDevices(): number {
    const lost = lostDevices
    lostDevices = 0
    return lost
  },
}

const open: HttpConnection[] = []

export type LoadAnswers = typeof answers

answerQuestions(answers)
