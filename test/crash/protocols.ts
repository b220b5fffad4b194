import { type ProtocolName, protocolNames, protocols } from '../../cli/protocols.ts'
import type { Family } from './journal.ts'
import { RawCoap } from './raw-coap.ts'
import type { RawDevice, RawOptions } from './raw-device.ts'
import { RawHttp } from './raw-http.ts'
import { RawMqtt } from './raw-mqtt.ts'

/** What the devices of a run speak. */
export interface Speech {
  readonly name: string
  /** Of devices with a client of ours: one of these, drawn at each boot. */
  readonly clients: readonly ProtocolName[]
  /** Of devices that remember nothing. */
  readonly raw: readonly RawFamily[]
}

export type RawFamily = Exclude<Family, 'pike'>

export const rawDevices: Record<RawFamily, (options: RawOptions) => RawDevice> = {
  mqtt: (options) => new RawMqtt(options),
  coap: (options) => new RawCoap(options),
  http: (options) => new RawHttp(options),
}

const rawFamilies = Object.keys(rawDevices) as RawFamily[]

/** Everything at once: clients change what they speak from one boot to the next. */
export const mixed: Speech = { name: 'mixed', clients: protocolNames, raw: rawFamilies }

export const speechNames: readonly string[] = [
  ...new Set([...protocolNames, ...rawFamilies, 'mixed']),
]

/** @returns undefined for a name that is none. */
export function speechOf(name: string): Speech | undefined {
  if (name === mixed.name) return mixed
  const clients = protocolNames.filter((one) => one === name)
  const listener = clients[0] === undefined ? name : protocols[clients[0]].listener
  const raw = rawFamilies.filter((family) => family === listener)
  return clients.length + raw.length === 0 ? undefined : { name, clients, raw }
}
