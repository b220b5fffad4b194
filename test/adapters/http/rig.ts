import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { AdapterRig, type Door, secretOf } from '../../support/adapter-subject.ts'
import { memorySubject } from '../../support/engine-memory.ts'
import { HttpClient, type Said } from './http-client.ts'
import { httpSubject } from './subject.ts'

export interface Answer {
  readonly epoch: string
  readonly after: string
  readonly receiver: string
  readonly items: readonly {
    readonly channel: string
    readonly epoch: string
    readonly offset: number
    readonly id: string
    readonly name: string
    readonly delivery: string
    readonly repeated?: true
    readonly payload?: unknown
  }[]
}

/** A gateway in virtual time, and a device that says exactly what a test wants. */
export interface HttpRig {
  readonly rig: AdapterRig
  readonly client: HttpClient
  readonly port: number
  /** GET /device/v1/commands with this query; virtual time creeps on until it is answered. */
  poll(query?: string): Promise<Answer>
  ask(...asking: Parameters<HttpClient['ask']>): Promise<Said>
}

export async function httpRig(t: TestContext): Promise<HttpRig> {
  const rig = await AdapterRig.make(t, httpSubject('poll', memorySubject))
  await rig.register()
  const { port } = rig.door as Door & { readonly port: number }
  const client = new HttpClient(port, 'locker', secretOf('locker'))
  t.after(() => client.cut())
  const ask: HttpRig['ask'] = async (...asking) => {
    const asked = client.ask(...asking)
    let settled = false
    const done = (): void => {
      settled = true
    }
    asked.then(done, done)
    await rig.until('answered', () => settled)
    return asked
  }
  return {
    rig,
    client,
    port,
    ask,
    async poll(query = '') {
      const said = await ask(`/device/v1/commands?${query}`)
      if (said.status !== 200) throw new Error(`${said.status}: ${said.body}`)
      return said.json() as Answer
    },
  }
}

/** A peer that sends bytes as they are, HTTP or not. */
export class RawPeer {
  readonly socket: Socket
  text = ''
  closed = false

  constructor(port: number, bytes: string) {
    this.socket = connect({ host: '127.0.0.1', port })
    this.socket.on('data', (chunk) => {
      this.text += chunk
    })
    // A reset is one way to be refused.
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.write(bytes)
  }
}

export const basic = (device = 'locker', secret = secretOf(device)): string =>
  `Basic ${Buffer.from(`${device}:${secret}`).toString('base64')}`
