import { type PikeClient, PikeGateway } from '../../../devices/index.ts'
import type { ExamReply, Identity } from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type { ExamGateway, GatewayCommand, GatewaySubject } from '../../support/gateway-subject.ts'
import { Wire } from '../../support/wire.ts'
import { type PikeDoor, pikeSubject } from './subject.ts'

/** Controllers over Pike: our client for several devices on one connection. */
export const pikeGatewaySubject = (engine: EngineSubject): GatewaySubject => {
  const subject = pikeSubject(engine)
  return {
    ...subject,
    start: async (core, clock) => (await subject.start(core, clock)) as PikeDoor,
    gateway: (door, identity) => new PikeCabinet(door as PikeDoor, identity),
    refusedTotal: 'handshakes_failed_total',
    words: { ungranted: /^197 /, unknownChannel: /^195 / },
  }
}

class PikeCabinet implements ExamGateway {
  readonly received: GatewayCommand[] = []
  act: (command: GatewayCommand) => ExamReply | undefined = () => undefined
  readonly #cabinet: PikeGateway
  readonly #wires = new Set<Wire>()
  readonly #clients = new Map<string, PikeClient>()

  constructor(door: PikeDoor, identity: Identity) {
    this.#cabinet = new PikeGateway({
      ...{ host: '127.0.0.1', port: door.port, ...identity, clock: door.clock },
      connect: () => {
        const wire = new Wire(door.port)
        this.#wires.add(wire)
        wire.on('close', () => this.#wires.delete(wire))
        return wire
      },
    })
  }

  async connect(): Promise<void> {
    const heard = settled(this.#cabinet.self)
    this.#cabinet.self.restart()
    await heard
  }

  async receive(device: string, channel = 'main'): Promise<string> {
    const client = this.#client(device, channel)
    if (client.state.kind === 'running') return 'attached'
    const heard = settled(client)
    client.restart()
    return heard
  }

  async report(device: string, name: string, channel = 'main'): Promise<string> {
    const attached = await this.receive(device, channel)
    if (attached !== 'attached') return attached
    return (await this.#client(device, channel).send(name, {})).kind
  }

  async stop(device: string): Promise<void> {
    await this.#client(device, 'main').stop()
  }

  async drop(): Promise<void> {
    for (const wire of this.#wires) wire.destroy()
    await this.#cabinet.stop()
  }

  #client(device: string, channel: string): PikeClient {
    const key = `${device}/${channel}`
    const known = this.#clients.get(key)
    if (known !== undefined) return known
    const client = this.#cabinet.client({ device, channels: [channel] })
    client.on('receive', ({ id, name }, respond) => {
      const command = { device, id, name }
      this.received.push(command)
      const reply = this.act(command)
      if (reply !== undefined) void respond(reply)
    })
    this.#clients.set(key, client)
    return client
  }
}

/** How its next try goes. */
const settled = (client: PikeClient): Promise<string> =>
  new Promise((resolve) => {
    const heard = (): void => {
      const { state } = client
      if (state.kind === 'starting') return
      client.off('state', heard)
      if (state.kind === 'running') resolve('attached')
      else if (state.kind === 'stopped' && state.reason.kind === 'refused')
        resolve(`${state.reason.code} ${state.reason.text}`)
      else resolve(state.kind)
    }
    client.on('state', heard)
  })
