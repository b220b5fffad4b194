import { parseArgs } from 'node:util'

export const partNames = [
  'commands',
  'lines',
  'absent',
  'events',
  'latency',
  'mqtt',
  'coap',
  'http',
  'idle',
  'start',
  'noisy',
  'recorder',
  'codec',
  'store',
] as const
export type PartName = (typeof partNames)[number]

/** Rows of the parts of a protocol. */
export const rowNames = ['events', 'qos0', 'single', 'lines', 'memory'] as const
export type RowName = (typeof rowNames)[number]

/** What a measured device speaks. */
export const deviceKinds = ['pike', 'mqtt', 'mqtt5', 'coap', 'poll', 'sse'] as const
export type DeviceKind = (typeof deviceKinds)[number]

export interface Options {
  readonly only: readonly PartName[]
  readonly rows: readonly RowName[]
  readonly protocols: readonly DeviceKind[]
  /** Without the servers of others beside ours, in the parts of a protocol and idle. */
  readonly alone: boolean
  /** Length of one measured window. */
  readonly seconds: number
  readonly rounds: number
  readonly devices: number
  /** HTTP connections with one call outstanding each. */
  readonly connections: number
  /** Devices of the idle part. */
  readonly idleDevices: number
  /** Events a device has sent and not seen acknowledged, at most. */
  readonly outstanding: number
  /** Calls a second of the latency part; undefined: half of what the commands part measured. */
  readonly rate: number | undefined
  readonly profile: boolean
  /** Where the data folders are made; the disk that is measured. */
  readonly dir: string | undefined
}

export const usage = `npm run bench -- [options]

  --only PARTS         of ${partNames.join(',')} (all)
  --rows ROWS          of ${rowNames.join(',')}: of the parts of a protocol (all they have)
  --protocols NAMES    of ${deviceKinds.join(',')}: in the parts of a protocol and idle (all)
  --alone              in those without the servers of others beside ours
  --seconds N          length of a measured window (8)
  --rounds N           rounds, both sides of a ratio in turn; medians are printed (3)
  --devices N          connected devices (1000)
  --connections N      HTTP connections, one call outstanding each (64)
  --idle-devices N     connected devices of the idle part (10000, or what the limits allow)
  --outstanding N      events a device sends before it waits (16)
  --rate N             calls a second of the latency part (half of what is measured)
  --dir DIR            where data folders are made: the disk that is measured (the system's)
  --profile            under the profiler: where the time goes; of --only commands, lines, absent (commands)`

export class WrongOptions extends Error {}

export function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      rows: { type: 'string' },
      protocols: { type: 'string' },
      alone: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '8' },
      rounds: { type: 'string', default: '3' },
      devices: { type: 'string', default: '1000' },
      connections: { type: 'string', default: '64' },
      'idle-devices': { type: 'string', default: '10000' },
      outstanding: { type: 'string', default: '16' },
      rate: { type: 'string' },
      dir: { type: 'string' },
      profile: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const number = (name: string, text: string): number => {
    const value = Number(text)
    if (!Number.isFinite(value) || value <= 0) {
      throw new WrongOptions(`--${name}: "${text}" is no number above 0`)
    }
    return value
  }
  const chosen = <T extends string>(
    name: string,
    known: readonly T[],
    text?: string,
  ): readonly T[] =>
    text?.split(',').map((one) => {
      const found = known.find((each) => each === one)
      if (found === undefined) throw new WrongOptions(`--${name}: there is no "${one}"`)
      return found
    }) ?? known
  return {
    only: chosen('only', partNames, values.only),
    rows: chosen('rows', rowNames, values.rows),
    protocols: chosen('protocols', deviceKinds, values.protocols),
    alone: values.alone,
    seconds: number('seconds', values.seconds),
    rounds: number('rounds', values.rounds),
    devices: number('devices', values.devices),
    connections: number('connections', values.connections),
    idleDevices: number('idle-devices', values['idle-devices']),
    outstanding: number('outstanding', values.outstanding),
    rate: values.rate === undefined ? undefined : number('rate', values.rate),
    profile: values.profile,
    dir: values.dir,
  }
}

export const wants = ({ rows }: Options, row: RowName): boolean => rows.includes(row)
