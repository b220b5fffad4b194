import type { Attached, Session } from '../../src/contract/index.ts'
import { defaultApp, deviceKey } from '../../src/contract/index.ts'
import { Opening, type OpeningHost, type Proved } from './auth.ts'
import { type ChannelHost, PikeChannel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { AuthFrame, HelloFrame } from './frames.ts'
import type { Gate, Refused } from './gate.ts'
import { helloOf } from './welcome.ts'

/** What the openings of a connection ask of it. */
export interface OpeningsHost extends OpeningHost, ChannelHost {
  readonly gate: Gate
  readonly channels: Channels
  welcome(hello: HelloFrame, channel: PikeChannel, session: Session, proof: Uint8Array): void
  refuse(channelNumber: number, why: Refused): void
}

const takenText = 'an independent channel has this connection to itself'
const noProof = new Uint8Array(0)

/**
 * The channels of one connection that are not open yet, from HELLO to WELCOME or refusal. Made for
 * the first of them and let go after the last.
 *
 *     HELLO ──▶ authenticate ──▶ attach ──▶ WELCOME
 *                    └─────────────┴──────▶ CLOSE
 */
export class Openings {
  readonly #host: OpeningsHost
  readonly #byNumber = new Map<number, Opening>()
  /** Those whose work has not ended, given up ones too. */
  #atWork = 0

  constructor(host: OpeningsHost) {
    this.#host = host
  }

  has(number: number): boolean {
    return this.#byNumber.has(number)
  }

  get isIdle(): boolean {
    return this.#atWork === 0
  }

  /** @returns false when too many are at work. */
  begin(hello: HelloFrame, raw: Uint8Array, done: () => void): boolean {
    const { gate } = this.#host
    if (this.#atWork >= gate.core.limits.connectionMaxChannels) return false
    const opening = new Opening(this.#host, hello.channelNumber)
    this.#byNumber.set(hello.channelNumber, opening)
    // The first one's time is the connection's, and runs since before its HELLO.
    if (hello.channelNumber !== 0) gate.handshakes.add(opening)
    this.#atWork++
    this.#open(opening, hello, raw)
      .catch(() => this.#refuse(opening, { kind: 'refused', reason: 'unavailable' }))
      .finally(() => {
        this.#atWork--
        done()
      })
    return true
  }

  /** @returns why it may not come now, if so. */
  auth(frame: AuthFrame): string | undefined {
    const opening = this.#byNumber.get(frame.channelNumber)
    return opening === undefined ? 'AUTH without HELLO' : opening.take(frame)
  }

  giveUp(number: number): void {
    const opening = this.#byNumber.get(number)
    if (opening !== undefined) this.#drop(opening)
    opening?.giveUp()
  }

  giveUpAll(): void {
    for (const number of [...this.#byNumber.keys()]) this.giveUp(number)
  }

  overdue(opening: Opening): void {
    this.#refuse(opening, { kind: 'refused', reason: 'handshake-timeout' })
  }

  async #open(opening: Opening, hello: HelloFrame, raw: Uint8Array): Promise<void> {
    const { core } = this.#host.gate
    const app = hello.app === '' ? defaultApp : hello.app
    const proved = await this.#prove(opening, app, hello, raw)
    if (proved === undefined || opening.isOver) return
    if (proved.kind === 'refused') {
      if (proved.reason === 'rate-limited') await this.#host.gate.pause()
      this.#refuse(opening, proved)
      return
    }
    if (this.#host.channels.count >= core.limits.connectionMaxChannels) {
      this.#refuse(opening, { kind: 'refused', reason: 'overloaded', text: 'too many channels' })
      return
    }
    if (this.#host.channels.areTaken) {
      this.#refuse(opening, { kind: 'refused', reason: 'independent', text: takenText })
      return
    }
    const { channels } = this.#host
    const trail = channels.trail.as(app, hello.device, hello.channel)
    const id = channels.makeLinkId()
    const channel = new PikeChannel(this.#host, id, trail, hello)
    channel.via = proved.via
    const attached: Attached = await core.attach(channel, helloOf(hello, app, this.#host.peer))
    if (attached.kind === 'refused') {
      this.#refuse(opening, attached)
    } else if (opening.isOver) {
      attached.session.detach(false)
    } else if (channel.refused !== undefined) {
      attached.session.detach(false)
      this.#refuse(opening, { kind: 'refused', ...channel.refused })
    } else {
      this.#drop(opening)
      channel.independent = attached.independent === true && channel.connection() !== undefined
      this.#host.welcome(hello, channel, attached.session, proved.proof)
    }
  }

  async #prove(
    opening: Opening,
    app: string,
    hello: HelloFrame,
    raw: Uint8Array,
  ): Promise<Proved | Refused | undefined> {
    if (hello.channelNumber === 0 || hello.nonce.length > 0) {
      return opening.authenticate(this.#host.gate.core, app, hello, raw)
    }
    const { channels, gate } = this.#host
    const { device } = hello
    if (channels.hasDevice(deviceKey(app, device))) return { kind: 'proved', proof: noProof }
    for (const via of channels.devices(app))
      if (await gate.core.grants(app, via, device)) return { kind: 'proved', proof: noProof, via }
    return { kind: 'refused', reason: 'unauthorized' }
  }

  #refuse(opening: Opening, why: Refused): void {
    if (opening.isOver) return
    this.#drop(opening)
    opening.giveUp()
    this.#host.refuse(opening.channelNumber, why)
  }

  #drop(opening: Opening): void {
    this.#host.gate.handshakes.remove(opening)
    this.#byNumber.delete(opening.channelNumber)
  }
}
