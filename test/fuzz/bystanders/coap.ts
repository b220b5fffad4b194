import { SystemClock } from '../../../src/node/clock.ts'
import { CoapClient, readCommand } from '../../adapters/coap/client.ts'
import { secretOf } from '../gateway.ts'
import { type Bystander, eventBody, type Happenings, numberIn, type Place } from './bystander.ts'

export class CoapBystander implements Bystander {
  readonly protocol = 'coap'
  readonly device = 'by-coap'
  readonly #client: CoapClient
  readonly #happenings: Happenings
  #session = ''

  constructor({ ports }: Place, happenings: Happenings) {
    this.#client = new CoapClient(ports.coap!, new SystemClock())
    this.#happenings = happenings
  }

  async start(): Promise<void> {
    await this.#client.open()
    const path = `session?device=${this.device}&keepalive=60`
    const welcome = await this.#client.ask('POST', path, { payload: secretOf(this.device) })
    if (welcome.code !== '2.01') throw new Error(`CoAP: ${welcome.code}`)
    this.#session = welcome.payload.toString()
    await this.#client.observe(`${this.#session}/commands`, (heard) => {
      if (heard.code === '2.05') {
        heard.acknowledge()
        this.#happenings.commanded(numberIn(readCommand(heard.payload).payload))
      } else this.#happenings.harmed(`told ${heard.code} while observing`)
    })
  }

  async report(n: number): Promise<void> {
    const answer = await this.#client.ask('POST', `${this.#session}/events/alive`, {
      payload: eventBody(n),
    })
    this.#client.received.length = 0
    if (answer.code !== '2.04') this.#happenings.harmed(`its event was answered ${answer.code}`)
  }

  stop(): void {
    this.#client.close()
  }
}
