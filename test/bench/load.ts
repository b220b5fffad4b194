import { type CommandsAsked, CommandsLoad, type CommandsRun } from './commands-load.ts'
import { type EventsAsked, type EventsRun, runEvents } from './events-load.ts'
import { HttpConnection, registration } from './http-connection.ts'
import { type BenchDevice, connectDevices, deviceName, deviceSecret } from './pike-device.ts'
import { answerQuestions } from './worker.ts'

/** The process that makes the load: back ends on one side, devices on the other, on one clock. */
const devices: BenchDevice[] = []
let lostDevices = 0
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
  }: {
    port: number
    count: number
    from?: number
  }): Promise<number> {
    const fromMs = performance.now()
    const more = await connectDevices(port, from, count, (device) => {
      device.onLost = (_, why) => {
        if (lostDevices++ === 0) console.error(`a device was cut off: ${why}`)
      }
    })
    devices.push(...more)
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
