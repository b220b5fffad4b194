import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { coapAdapter } from '../../../adapters/coap/index.ts'
import type { Adapter } from '../../../src/contract/index.ts'
import { AdapterRig, type AdapterSubject, secretOf } from '../../support/adapter-subject.ts'
import { memorySubject } from '../../support/engine-memory.ts'
import { type Answer, CoapClient, type Options } from './client.ts'
import { Network, type NetworkLine } from './network.ts'

/** A gateway with one CoAP adapter, and devices at any address, in virtual time. */
export class Stage {
  readonly rig: AdapterRig
  network: Network
  adapter: Adapter
  readonly #made: { network: Network; adapter: Adapter }

  private constructor(rig: AdapterRig, made: { network: Network; adapter: Adapter }) {
    this.rig = rig
    this.#made = made
    this.network = made.network
    this.adapter = made.adapter
  }

  static async make(t: TestContext, bareSecrets = true): Promise<Stage> {
    const made = {} as { network: Network; adapter: Adapter }
    const subject: AdapterSubject = {
      name: 'coap',
      engine: memorySubject,
      can: {},
      async start(core) {
        // Addresses and their devices outlast the gateway.
        made.network ??= new Network()
        made.adapter = coapAdapter({
          host: 'memory',
          port: 0,
          bareSecrets,
          datagrams: made.network,
        })
        const { adapter } = made
        await adapter.start(core)
        return {
          device: () => assert.fail('devices of a stage are made by it'),
          kill: () => adapter.stop(0),
          stop: () => adapter.stop(0),
        }
      },
    }
    const rig = await AdapterRig.make(t, subject)
    await rig.register()
    return new Stage(rig, made)
  }

  get figures(): Readonly<Record<string, number>> {
    return this.#made.adapter.figures()
  }

  client(address = '192.0.2.1'): { client: CoapClient; line: NetworkLine } {
    const line = this.network.line(address)
    return { client: new CoapClient(0, this.rig.clock, line), line }
  }

  /** Answers come while time creeps on. */
  async answer(asked: Promise<Answer>): Promise<Answer> {
    let answer: Answer | undefined
    asked.then((one) => {
      answer = one
    })
    await this.rig.until('it is answered', () => answer !== undefined)
    return answer!
  }

  ask(
    client: CoapClient,
    method: string,
    path: string,
    payload: Buffer | string = '',
    options: Options = [],
  ): Promise<Answer> {
    return this.answer(client.ask(method, path, { payload, options }))
  }

  /** The path of a session. */
  async login(client: CoapClient, query = '', device = 'locker'): Promise<string> {
    const path = `session?device=${device}${query}`
    const answer = await this.ask(client, 'POST', path, secretOf(device))
    assert.equal(answer.code, '2.01', answer.payload.toString())
    return answer.all
      .filter(([number]) => number === 8)
      .map(([, value]) => value.toString())
      .join('/')
  }
}
