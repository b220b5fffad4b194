import { pikeAdapter } from '../../../adapters/pike/index.ts'
import { memoryStorage, PikeClient, type PikeClientOptions } from '../../../devices/index.ts'
import type { Adapter } from '../../../src/contract/index.ts'
import type {
  AdapterSubject,
  Door,
  ExamCommand,
  ExamDevice,
  ExamReply,
  Identity,
} from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type { GatewayDoor } from '../../support/gateway-subject.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { Wire } from '../../support/wire.ts'

/** Pike through real sockets, with our own client at the device's end. */
export const pikeSubject = (engine: EngineSubject): AdapterSubject =>
  clientSubject('pike', engine, () => pikeAdapter({ host: '127.0.0.1', port: 0 }))

/** The same client over whatever protocol its session speaks. */
export const clientSubject = (
  name: string,
  engine: EngineSubject,
  makeAdapter: () => Adapter,
  over: Pick<PikeClientOptions, 'session'> = {},
): AdapterSubject => ({
  name,
  engine,
  can: {},
  async start(core, clock) {
    const adapter = makeAdapter()
    const [listener] = await adapter.start(core)
    return new PikeDoor(listener!.port, clock, over, adapter)
  },
})

export class PikeDoor implements GatewayDoor {
  readonly port: number
  readonly clock: ManualClock
  readonly over: Pick<PikeClientOptions, 'session'>
  readonly #adapter: Adapter
  readonly #devices: PikeDevice[] = []

  constructor(
    port: number,
    clock: ManualClock,
    over: Pick<PikeClientOptions, 'session'>,
    adapter: Adapter,
  ) {
    this.port = port
    this.clock = clock
    this.over = over
    this.#adapter = adapter
  }

  figures(): Readonly<Record<string, number>> {
    return this.#adapter.figures()
  }

  device(identity: Identity): ExamDevice {
    const device = new PikeDevice(this, identity)
    this.#devices.push(device)
    return device
  }

  async kill(): Promise<void> {
    for (const device of this.#devices) await device.drop()
    await this.#adapter.stop(0)
  }

  stop(): Promise<void> {
    return this.#adapter.stop(1_000)
  }
}

class PikeDevice implements ExamDevice {
  readonly received: ExamCommand[] = []
  act: (command: ExamCommand) => Promise<ExamReply | undefined> = async () => undefined
  readonly #client: PikeClient
  #door: PikeDoor
  readonly #wires = new Set<Wire>()
  /** Its network is: connections it makes by itself meanwhile fall silent too. */
  #muted = false

  constructor(door: PikeDoor, identity: Identity) {
    this.#door = door
    const options: PikeClientOptions = {
      host: '127.0.0.1',
      port: door.port,
      ...identity,
      clock: door.clock,
      storage: memoryStorage(),
      ...door.over,
      connect: () => {
        const wire = new Wire(this.#door.port)
        this.#wires.add(wire)
        wire.on('close', () => this.#wires.delete(wire))
        if (this.#muted) wire.mute()
        return wire
      },
    }
    this.#client = new PikeClient(options)
    this.#client.on('receive', async (command, respond) => {
      const { id, channel, name, payload, now, replyExpected } = command
      const one = { id, channel, name, payload, now, replyExpected }
      this.received.push(one)
      const reply = await this.act(one)
      if (reply !== undefined) void respond(reply)
    })
  }

  get attached(): boolean {
    return this.#client.state.kind === 'running'
  }

  move(door: Door): void {
    this.#door = door as PikeDoor
  }

  connect(): Promise<'attached' | 'refused'> {
    const connected = new Promise<'attached' | 'refused'>((resolve) => {
      const heard = (): void => {
        const { kind } = this.#client.state
        if (kind === 'starting') return
        this.#client.off('state', heard)
        resolve(kind === 'running' ? 'attached' : 'refused')
      }
      this.#client.on('state', heard)
    })
    this.#client.restart()
    return connected
  }

  async event(name: string, payload: unknown): Promise<boolean> {
    return (await this.#client.send(name, payload)).kind === 'kept'
  }

  async drop(): Promise<void> {
    this.#muted = false
    for (const wire of this.#wires) wire.destroy()
    await this.#client.stop()
  }

  leave(): Promise<void> {
    return this.#client.stop()
  }

  mute(): void {
    this.#muted = true
    for (const wire of this.#wires) wire.mute()
  }

  stall(): void {
    for (const wire of this.#wires) wire.stall()
  }

  unstall(): void {
    for (const wire of this.#wires) wire.unstall()
  }
}
