import { generate } from 'mqtt-packet'
import type { Gateway, ListenerName } from '../fuzz/gateway.ts'
import { secretOf } from '../fuzz/gateway.ts'
import { frame, Peer, upgrade } from './peer.ts'

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms))

/** Where one attack on one listener is played. */
export class Stage {
  readonly gateway: Gateway
  readonly listener: ListenerName
  /** Of the attackers' app, `mad`, with its devices `mad0` to `mad63`. */
  readonly key: string
  readonly findings: string[] = []
  readonly #peers: Peer[] = []

  constructor(gateway: Gateway, listener: ListenerName, key: string) {
    this.gateway = gateway
    this.listener = listener
    this.key = key
  }

  get port(): number {
    return this.gateway.port(this.listener)
  }

  get kind(): 'pike' | 'mqtt' | 'http' | 'api' | 'coap' | 'mqtt-ws' {
    switch (this.listener) {
      case 'pike-tls':
        return 'pike'
      case 'mqtts':
        return 'mqtt'
      case 'https':
        return 'http'
      default:
        return this.listener
    }
  }

  connect(raw = false): Peer {
    const peer = new Peer(this.listener, this.port, raw)
    this.#peers.push(peer)
    return peer
  }

  found(what: string): void {
    this.findings.push(`${this.listener}: ${what}`)
  }

  /** Whoever is still there goes. */
  leave(): void {
    for (const peer of this.#peers.splice(0)) peer.destroy()
  }

  /** A header that proves a device, or the attackers' back end. */
  authorization(n = 0): string {
    const who = this.kind === 'api' ? this.key : `mad/mad${n}:${secretOf(`mad${n}`)}`
    return `Authorization: Bearer ${who}\r\n`
  }

  /** In over MQTT, whatever carries it. @returns undefined: it was refused. */
  async mqtt(n: number, version: 4 | 5, change: object = {}): Promise<MqttPeer | undefined> {
    const peer = this.connect()
    const web = this.kind === 'mqtt-ws'
    if (web) {
      peer.write(upgrade())
      await peer.until(() => peer.bytesIn > 0 || peer.closed, 10_000)
    }
    const before = peer.bytesIn
    const mqtt = new MqttPeer(peer, web, version)
    mqtt.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId: `c${n}`,
      clean: true,
      keepalive: 60,
      username: `mad/mad${n}`,
      password: Buffer.from(secretOf(`mad${n}`)),
      ...change,
    })
    await peer.until(() => peer.bytesIn > before || peer.closed, 10_000)
    return peer.closed ? undefined : mqtt
  }
}

export class MqttPeer {
  readonly peer: Peer
  readonly #web: boolean
  readonly #version: 4 | 5

  constructor(peer: Peer, web: boolean, version: 4 | 5) {
    this.peer = peer
    this.#web = web
    this.#version = version
  }

  send(...packets: object[]): void {
    const bytes = Buffer.concat(
      packets.map((packet) => generate(packet as never, { protocolVersion: this.#version })),
    )
    this.write(bytes)
  }

  write(bytes: Buffer): void {
    this.peer.write(this.#web ? frame(bytes) : bytes)
  }
}

/** Of an attack on several listeners: what happened on each. */
export interface Attack {
  readonly name: string
  readonly listeners: readonly ListenerName[]
  /** It costs time and little else: all listeners at once. */
  readonly waits?: true
  /** So many datagrams that some of the honest find no room. */
  readonly mayLose?: true
  /** What happened, in a few words; what should not have, by `stage.found`. */
  run(stage: Stage): Promise<string>
}
