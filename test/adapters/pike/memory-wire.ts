import { Gate } from '../../../adapters/pike/gate.ts'
import { PikeProtocol } from '../../../adapters/pike/protocol.ts'
import type { Wire } from '../../../adapters/pike/wire.ts'
import { turns } from '../../support/turns.ts'
import { WireClient } from './client.ts'
import type { FakeCore } from './fake-core.ts'

/** A wire of memory between a protocol and a client; writes leave when a turn of the loop ends. */
export class MemoryWire implements Wire {
  readonly peer = '192.0.2.7'
  readonly secure: boolean
  readonly protocol: PikeProtocol
  readonly client: WireClient
  readonly gate: Gate
  /** How it ended, if it did. */
  ended: 'end' | 'reset' | undefined
  held = false
  /** Set: nothing is taken by the network. */
  stuck = false
  writes = 0
  #output: Buffer[] = []
  #scheduled = false

  constructor(core: FakeCore, { secure = false, gate = new Gate(core) } = {}) {
    this.secure = secure
    this.gate = gate
    this.client = new WireClient((bytes) => this.protocol.received(bytes))
    this.protocol = new PikeProtocol(gate, this)
  }

  get waitingBytes(): number {
    return this.#output.reduce((sum, bytes) => sum + bytes.length, 0)
  }

  send(bytes: Buffer): void {
    this.#output.push(bytes)
    this.writeSoon()
  }

  writeSoon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  end(): void {
    this.#write()
    this.ended ??= 'end'
    this.client.over()
  }

  reset(): void {
    this.#output = []
    this.ended ??= 'reset'
    this.client.over()
  }

  hold(reading: boolean): void {
    this.held = reading
  }

  /** The network takes what waited. */
  unstick(): void {
    this.stuck = false
    this.#write()
    this.protocol.drained()
  }

  #flush(): void {
    this.#scheduled = false
    if (this.ended !== undefined) return
    this.protocol.beforeWrite()
    this.#write()
    if (!this.stuck) this.protocol.drained()
  }

  #write(): void {
    if (this.stuck || this.#output.length === 0) return
    const bytes = Buffer.concat(this.#output)
    this.#output = []
    this.writes++
    this.client.receive(bytes)
  }
}

/** What was set off has come about. */
export const settled = (): Promise<void> => turns(3)
