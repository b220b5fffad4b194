import { answerQuestions } from '../bench/worker.ts'
import { randomBy } from '../support/random.ts'
import { StormDevice } from './device.ts'

/** Devices of one process: many more than one could hold, together with the others. */
let devices: StormDevice[] = []
const received = new Map<number, number>()
let repeats = 0
let running = 0
/** When each was first in again since the fault. */
let backMs = new Map<number, number>()

export interface Begin {
  readonly port: number
  readonly from: number
  readonly count: number
  readonly addresses: number
  readonly seed: number
}

export const answers = {
  begin({ port, from, count, addresses, seed }: Begin): void {
    const below = randomBy(seed)
    const host = {
      port,
      random: () => below(2 ** 30) / 2 ** 30,
      running(device: StormDevice) {
        running++
        if (!backMs.has(device.index)) backMs.set(device.index, Date.now())
      },
      away: () => {
        running--
      },
      received(_device: StormDevice, n: number) {
        if (received.has(n)) repeats++
        else received.set(n, Date.now())
      },
    }
    devices = Array.from(
      { length: count },
      (_, i) => new StormDevice(from + i, `127.0.0.${1 + ((from + i) % addresses)}`, host),
    )
    // Some at a time: it is not the first coming that is looked at.
    let next = 0
    const some = (): void => {
      for (let i = 0; i < 50 && next < devices.length; i++)
        devices[next++]!.input({ kind: 'start' })
      if (next < devices.length) setTimeout(some, 50)
    }
    some()
  },
  fault(): void {
    backMs = new Map()
  },
  count: () => ({ running, back: backMs.size, received: received.size }),
  result: () => ({ backMs: [...backMs.values()], received: [...received], repeats }),
  stop(): void {
    for (const device of devices) device.stop()
  },
}

answerQuestions(answers)
