import type { ExamReply, Identity } from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type { ExamGateway, GatewayCommand, GatewaySubject } from '../../support/gateway-subject.ts'
import { type Answer, CoapClient, type Notification, readCommand } from './client.ts'
import { type CoapDoor, coapSubject } from './subject.ts'

/** Controllers over CoAP: a session for each device they speak for, from one port. */
export const coapGatewaySubject = (engine: EngineSubject): GatewaySubject => {
  const subject = coapSubject(engine)
  return {
    ...subject,
    start: async (core, clock) => (await subject.start(core, clock)) as CoapDoor,
    gateway: (door, identity) => new CoapGateway(door as CoapDoor, identity),
    refusedTotal: 'ungranted_total',
    words: { ungranted: /^4\.03 \?for= /, unknownChannel: /^4\.04 channel: / },
  }
}

class CoapGateway implements ExamGateway {
  readonly received: GatewayCommand[] = []
  act: (command: GatewayCommand) => ExamReply | undefined = () => undefined
  readonly #door: CoapDoor
  readonly #identity: Identity
  #client: CoapClient | undefined
  /** Where each device's session is. */
  readonly #sessions = new Map<string, string>()

  constructor(door: CoapDoor, identity: Identity) {
    this.#door = door
    this.#identity = identity
  }

  async connect(): Promise<void> {
    this.#client ??= new CoapClient(this.#door.port, this.#door.clock)
    await this.#client.open()
  }

  async receive(device: string, channel = 'main'): Promise<string> {
    const refused = await this.#session(device)
    if (refused !== undefined) return refused
    const path = `${this.#sessions.get(device)}/channels/${channel}/commands`
    const answer = await this.#client!.observe(path, (one) => void this.#got(device, one))
    return answer.code === '2.05' ? 'attached' : said(answer)
  }

  async report(device: string, name: string, channel = 'main'): Promise<string> {
    const refused = await this.#session(device)
    if (refused !== undefined) return refused
    const path = `${this.#sessions.get(device)}/channels/${channel}/events/${name}`
    const answer = await this.#client!.post(path, Buffer.from('{}'), [[12, 50]])
    return answer.code === '2.04' ? 'kept' : said(answer)
  }

  async stop(device: string): Promise<void> {
    await this.#client!.ask('DELETE', this.#sessions.get(device)!)
    this.#sessions.delete(device)
  }

  async drop(): Promise<void> {
    this.#client?.close()
    this.#client = undefined
  }

  /** The one it has, while it is one; else another. @returns a refusal. */
  async #session(device: string): Promise<string | undefined> {
    const known = this.#sessions.get(device)
    if (known !== undefined && (await this.#client!.ask('PUT', known)).code === '2.04') return
    const path = `session?device=${this.#identity.device}&for=${device}`
    const answer = await this.#client!.ask('POST', path, { payload: this.#identity.secret })
    if (answer.code !== '2.01') return said(answer)
    const place = answer.all.filter(([number]) => number === 8).map(([, value]) => String(value))
    this.#sessions.set(device, place.join('/'))
    return undefined
  }

  async #got(device: string, one: Notification): Promise<void> {
    if (one.code !== '2.05') {
      one.acknowledge()
      return
    }
    const { fields } = readCommand(one.payload)
    const command = { device, id: fields.get('id')!, name: fields.get('name')! }
    this.received.push(command)
    const reply = this.act(command)
    one.acknowledge()
    if (reply === undefined) return
    const reason = reply.reason === undefined ? '' : `&reason=${reply.reason}`
    const path = `${this.#sessions.get(device)}/replies/${command.id}?status=${reply.status}${reason}`
    await this.#client!.post(path, Buffer.alloc(0), [])
  }
}

const said = ({ code, payload }: Answer): string => `${code} ${payload}`
