import { makeFolder, newLoad, removeFolder } from './bench.ts'
import type { DeviceSettings } from './device.ts'
import { type BenchGateway, type ListenerName, startGateway } from './gateway.ts'
import type { GlueAnswers } from './glue.ts'
import type { LoadAnswers } from './load.ts'
import { cores, type Pids } from './machine.ts'
import type { DeviceKind, Options } from './options.ts'
import type { Peer, StartPeer } from './peers.ts'
import { Worker } from './worker.ts'

/** How devices reach the gateway, and what it is called in a table. */
export const protocols = {
  pike: { title: 'Pike IoT, Pike', listener: 'pike', setting: 'PIKE_TCP_PORT' },
  mqtt: { title: 'Pike IoT, MQTT 3.1.1 (aedes)', listener: 'mqtt', setting: 'PIKE_MQTT_PORT' },
  mqtt5: { title: 'Pike IoT, MQTT 5', listener: 'mqtt', setting: 'PIKE_MQTT_PORT' },
  coap: { title: 'Pike IoT, CoAP', listener: 'coap', setting: 'PIKE_COAP_PORT' },
  poll: { title: 'Pike IoT, HTTP, long poll', listener: 'http', setting: 'PIKE_HTTP_PORT' },
  sse: { title: 'Pike IoT, HTTP, stream', listener: 'http', setting: 'PIKE_HTTP_PORT' },
} as const satisfies Record<
  DeviceKind,
  { readonly title: string; readonly listener: ListenerName; readonly setting: string }
>

/** Who takes commands for a server's devices. */
export interface Api {
  readonly port: number
  readonly key: string
  /** It and the server. */
  readonly pids: Pids
}

/** A server with devices connected, and the process they are in. */
export interface ProtocolSide {
  readonly name: string
  readonly pid: number
  readonly load: Worker<LoadAnswers>
  /** For single calls; undefined: it takes none. */
  readonly api: Api | undefined
  /** undefined: it is a peer. */
  readonly gateway: BenchGateway | undefined
  readonly folder: string | undefined
  stop(): Promise<void>
}

export interface GatewaySide extends ProtocolSide {
  readonly gateway: BenchGateway
  readonly folder: string
  /** Runs whose commands the gateway has counted so far. */
  counted: readonly { readonly accepted: number }[]
}

/** A gateway that listens for this protocol. */
export const startFor = (
  folder: string,
  kind: DeviceKind,
  nodeArgs: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<BenchGateway> =>
  startGateway(folder, nodeArgs, { [protocols[kind].setting]: '0', ...env })

export interface SideSettings extends Partial<Pick<DeviceSettings, 'qos' | 'receives'>> {
  /** Left out: as many as the options say. */
  readonly devices?: number
  /** In a table; left out: the protocol's. */
  readonly name?: string
  /** Settings of the gateway, and arguments for its Node. */
  readonly env?: Readonly<Record<string, string>>
  readonly nodeArgs?: readonly string[]
}

/** The gateway with all devices registered and connected by this protocol. */
export async function gatewaySide(
  options: Options,
  kind: DeviceKind,
  settings: SideSettings = {},
): Promise<GatewaySide> {
  const folder = makeFolder(options)
  const { title, listener } = protocols[kind]
  const { devices: count = options.devices, name = title, env, nodeArgs, ...ofDevices } = settings
  const gateway = await startFor(folder, kind, nodeArgs, env)
  const load = newLoad()
  const { ports, key, pid } = gateway
  await load.ask('registerMany', { port: ports.api, key, count })
  await load.ask('connectDevices', { port: ports[listener], count, kind, ...ofDevices })
  return {
    ...{ name, pid, load, gateway, folder, counted: [] },
    api: { port: ports.api, key, pids: pid },
    async stop() {
      await load.stop()
      await gateway.stop()
      removeFolder(folder)
    },
  }
}

/**
 * A peer with the same devices.
 * @param listens a back end subscribes to what they report.
 * @param glue beside it stands what takes commands by HTTP and publishes them.
 */
export async function peerSide(
  options: Options,
  startPeer: StartPeer,
  kind: DeviceKind,
  settings: SideSettings & { readonly listens: boolean; readonly glue?: boolean },
): Promise<ProtocolSide | undefined> {
  const peer: Peer | undefined = options.alone ? undefined : await startPeer()
  if (peer === undefined) return undefined
  const { listens, glue = false, devices: count = options.devices, ...ofDevices } = settings
  const { name, pid, port } = peer
  const load = newLoad()
  if (listens) await load.ask('listen', { port })
  await load.ask('connectDevices', { port, count, kind, bare: true, ...ofDevices })
  const worker = glue ? new Worker<GlueAnswers>('glue.ts', cores.server) : undefined
  const key = 'bench-key-0123456789abcdefghijklmnop'
  const api = worker && {
    ...{ key, port: await worker.ask('start', { key, port }), pids: [worker.pid, pid] },
  }
  const title = glue ? `node:http, mqtt.js and ${name}` : listens ? `${name}, one subscriber` : name
  return {
    ...{ name: title, pid, load, api },
    gateway: undefined,
    folder: undefined,
    async stop() {
      await load.stop()
      await worker?.stop()
      await peer.stop()
    },
  }
}

/** One for each of these that was asked for. */
export async function gatewaySides(
  options: Options,
  kinds: readonly DeviceKind[],
  settings: SideSettings = {},
): Promise<GatewaySide[]> {
  const sides: GatewaySide[] = []
  for (const kind of kinds) {
    if (options.protocols.includes(kind)) sides.push(await gatewaySide(options, kind, settings))
  }
  return sides
}

export async function stopAll(sides: readonly ProtocolSide[]): Promise<void> {
  for (const side of sides) await side.stop()
}
