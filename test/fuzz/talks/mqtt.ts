import { generate, type Packet, parser } from 'mqtt-packet'
import type { Who } from '../grammar.ts'
import type { Talk } from './talk.ts'

const probe = Buffer.from([0xc0, 0])

export class MqttTalk implements Talk {
  readonly hello: Buffer
  readonly probe = probe
  isIn = false
  answers = 0
  nonsense: string | undefined
  readonly #parser: ReturnType<typeof parser>

  /** @param isOurs false: CONNECT is of somebody else's making, and may name another version. */
  constructor(who: Who, protocolVersion: 4 | 5, isOurs = true) {
    this.hello = generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion,
      clientId: `c-${who.device}`,
      clean: true,
      keepalive: 60,
      username: `${who.app}/${who.device}`,
      password: Buffer.from(who.secret),
    })
    this.#parser = parser({ protocolVersion })
    this.#parser.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connack') {
        const code = protocolVersion === 5 ? packet.reasonCode : packet.returnCode
        this.isIn = code === 0
      } else if (packet.cmd === 'pingresp') this.answers++
    })
    this.#parser.on('error', (error: Error) => {
      if (isOurs) this.nonsense ??= error.message
    })
  }

  hear(chunk: Buffer): void {
    this.#parser.parse(chunk)
  }
}
