import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { seeded } from '../seeded.ts'
import type { Conditions } from './conditions.ts'
import { DatagramLink } from './link.ts'
import { type Figures, linksMax, noFigures, type Relay, type RelayOptions } from './relay.ts'

/** Datagrams in the air, in sum; the next are lost. */
const airborneMax = 50_000
/** A device not heard of for longer is forgotten, ms. */
const forgetMs = 10 * 60_000
const sweepMs = 60_000

/** Stands before a UDP port and lets bad weather at what passes. */
export async function relayDatagrams(options: RelayOptions): Promise<Relay> {
  const relay = new DatagramRelay(options)
  await relay.listen()
  return relay
}

/** A device as the gateway sees it: an address that changes. */
interface Mapping {
  readonly link: DatagramLink
  readonly device: RemoteInfo
  socket: Socket
  heardAtMs: number
}

class DatagramRelay implements Relay {
  readonly figures: Figures = noFigures()
  readonly #options: RelayOptions
  #conditions: Conditions
  readonly #socket = createSocket('udp4')
  readonly #mappings = new Map<string, Mapping>()
  readonly #airborne = new Set<NodeJS.Timeout>()
  readonly #sweep: NodeJS.Timeout

  constructor(options: RelayOptions) {
    this.#options = options
    this.#conditions = options.conditions
    this.#socket.on('message', (bytes, device) => this.#up(bytes, device))
    this.#socket.on('error', () => {})
    this.#sweep = setInterval(() => this.#forget(), sweepMs)
    this.#sweep.unref()
  }

  get port(): number {
    return this.#socket.address().port
  }

  listen(): Promise<void> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      this.#socket.once('error', reject)
      this.#socket.bind({ address: host, port }, () => resolve())
    })
  }

  become(conditions: Conditions): void {
    this.#conditions = conditions
    for (const { socket } of this.#mappings.values()) socket.close()
    this.#mappings.clear()
  }

  stop(): Promise<void> {
    clearInterval(this.#sweep)
    for (const timer of this.#airborne) clearTimeout(timer)
    for (const { socket } of this.#mappings.values()) socket.close()
    this.#mappings.clear()
    return new Promise((resolve) => this.#socket.close(() => resolve()))
  }

  #up(bytes: Buffer, device: RemoteInfo): void {
    const nowMs = performance.now()
    const mapping = this.#mappingOf(device, nowMs)
    if (mapping === undefined) return
    mapping.heardAtMs = nowMs
    if (mapping.link.rebinds(nowMs)) {
      this.figures.rebinds++
      mapping.socket.close()
      mapping.socket = this.#outside(mapping)
    }
    const { to } = this.#options
    this.#fly(mapping.link.carry('up', nowMs), nowMs, () =>
      mapping.socket.send(bytes, to.port, to.host, () => {}),
    )
  }

  #mappingOf(device: RemoteInfo, nowMs: number): Mapping | undefined {
    const key = `${device.address}:${device.port}`
    const known = this.#mappings.get(key)
    if (known !== undefined) return known
    if (this.#mappings.size >= linksMax) return undefined
    const { seed } = this.#options
    const random = seeded(seed + this.figures.links++)
    const link = new DatagramLink(this.#conditions, random, nowMs)
    const socket = this.#outside({ link, device })
    const mapping: Mapping = { link, device, socket, heardAtMs: nowMs }
    this.#mappings.set(key, mapping)
    return mapping
  }

  #outside({ link, device }: Pick<Mapping, 'link' | 'device'>): Socket {
    const socket = createSocket('udp4')
    socket.on('message', (bytes) => {
      const nowMs = performance.now()
      this.#fly(link.carry('down', nowMs), nowMs, () =>
        this.#socket.send(bytes, device.port, device.address, () => {}),
      )
    })
    socket.on('error', () => {})
    return socket
  }

  #fly(arrivals: readonly number[], nowMs: number, land: () => void): void {
    if (arrivals.length === 0) this.figures.lost++
    for (const atMs of arrivals) {
      if (this.#airborne.size >= airborneMax) return
      this.figures.carried++
      const timer = setTimeout(() => {
        this.#airborne.delete(timer)
        try {
          land()
        } catch {
          // Its socket was closed meanwhile: the address it was sent from is no more.
        }
      }, atMs - nowMs)
      this.#airborne.add(timer)
    }
  }

  #forget(): void {
    const beforeMs = performance.now() - forgetMs
    for (const [key, { heardAtMs, socket }] of this.#mappings) {
      if (heardAtMs > beforeMs) continue
      socket.close()
      this.#mappings.delete(key)
    }
  }
}
