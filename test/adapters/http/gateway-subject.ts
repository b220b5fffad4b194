import type { ExamReply, Identity } from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type {
  ExamGateway,
  GatewayCommand,
  GatewayDoor,
  GatewaySubject,
} from '../../support/gateway-subject.ts'
import { HttpClient, type Said } from './http-client.ts'
import { type HttpDoor, httpSubject } from './subject.ts'

/** Controllers over HTTP: one poll for each device they speak for. */
export const httpGatewaySubject = (engine: EngineSubject): GatewaySubject => {
  const subject = httpSubject('poll', engine)
  return {
    ...subject,
    start: async (core, clock) => (await subject.start(core, clock)) as HttpDoor,
    gateway: (door, identity) => new HttpGateway(door, identity),
    refusedTotal: 'ungranted_total',
    words: { ungranted: /^400 path device: /, unknownChannel: /^404 query channel: / },
  }
}

interface Polled {
  readonly epoch: string
  readonly after: number | string
  readonly items: readonly { epoch: string; offset: number; id: string; name: string }[]
}

class HttpGateway implements ExamGateway {
  readonly received: GatewayCommand[] = []
  act: (command: GatewayCommand) => ExamReply | undefined = () => undefined
  readonly #client: HttpClient
  /** Whose polls go on. */
  readonly #polling = new Set<object>()
  readonly #byDevice = new Map<string, object>()
  readonly #places = new Map<string, string>()

  constructor(door: GatewayDoor, { device, secret }: Identity) {
    this.#client = new HttpClient(door.port, device, secret)
  }

  async connect(): Promise<void> {}

  async receive(device: string, channel = 'main'): Promise<string> {
    const answer = await this.#poll(device, channel, 0)
    if (answer.status !== 200) return refusal(answer)
    const life = {}
    this.#polling.add(life)
    this.#byDevice.set(device, life)
    void this.#loop(device, channel, life)
    return 'attached'
  }

  async report(device: string, name: string, channel = 'main'): Promise<string> {
    const path = `/device/v1/devices/${device}/events/${name}?channel=${channel}`
    const answer = await this.#post(path, '{}')
    return answer.status === 204 ? 'kept' : refusal(answer)
  }

  async stop(device: string): Promise<void> {
    this.#polling.delete(this.#byDevice.get(device)!)
    await this.#client.ask(`/device/v1/devices/${device}/commands`, { method: 'DELETE' })
  }

  async drop(): Promise<void> {
    this.#polling.clear()
    await this.#client.cut()
  }

  async #loop(device: string, channel: string, life: object): Promise<void> {
    while (this.#polling.has(life)) {
      const answer = await this.#poll(device, channel, 30).catch(() => undefined)
      if (answer?.status !== 200) return
    }
  }

  async #poll(device: string, channel: string, waitS: number): Promise<Said> {
    const key = `${device}/${channel}`
    const path = `/device/v1/devices/${device}/commands?channel=${channel}&wait=${waitS}`
    const answer = await this.#client.ask(path + (this.#places.get(key) ?? ''))
    if (answer.status !== 200) return answer
    for (const { id, name, epoch, offset } of (answer.json() as Polled).items) {
      const command = { device, id, name }
      this.received.push(command)
      const reply = this.act(command)
      if (reply !== undefined)
        await this.#post(`/device/v1/devices/${device}/replies/${id}`, JSON.stringify(reply))
      this.#places.set(key, `&epoch=${epoch}&after=${offset}`)
    }
    return answer
  }

  #post(path: string, body: string): Promise<Said> {
    const headers = { 'content-type': 'application/json' }
    return this.#client.ask(path, { method: 'POST', headers, body })
  }
}

function refusal(answer: Said): string {
  const { errors } = answer.json() as {
    errors?: readonly { in: string; path: string; message: string }[]
  }
  const said = errors?.map(({ in: where, path, message }) => `${where} ${path}: ${message}`)
  return `${answer.status} ${said?.join('; ') ?? ''}`
}
