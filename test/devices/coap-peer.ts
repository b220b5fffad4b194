import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { generate, type ParsedPacket, parse } from 'coap-packet'
import { uintBytes } from '../../devices/coap/requests.ts'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: readonly string[]
  readonly packet: ParsedPacket
  option(name: string): Buffer | undefined
  answer(code: string, options?: Options, payload?: Buffer | string): void
  /** First the acknowledgement, then the answer in a message of its own. */
  answerLater(code: string, options?: Options, payload?: Buffer | string): void
}

type Options = Readonly<Record<string, Buffer>>

const methods: Record<string, string> = {
  '0.01': 'GET',
  '0.02': 'POST',
  '0.03': 'PUT',
  '0.04': 'DELETE',
}

/** A gateway in a test's hands: says what it is told to, in datagrams as they are. */
export class CoapPeer {
  readonly #socket: Socket
  readonly asked: Asked[] = []
  /** Empty messages: acknowledgements and resets. */
  readonly empties: ParsedPacket[] = []
  /** Every request, repeats too, until told otherwise. */
  serve: (asked: Asked) => void = () => {}
  #device: RemoteInfo | undefined
  #messageId = 40_000
  #answered = new Map<number, Buffer>()
  /** By channel. */
  readonly observed = new Map<string, Buffer>()
  #observe = 1
  readonly timeMs = 1_800_000_000_000

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (bytes, from) => this.#take(bytes, from))
    socket.on('error', () => {})
  }

  static async listen(): Promise<CoapPeer> {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    const peer = new CoapPeer(socket)
    peer.serve = (asked) => peer.welcome(asked)
    return peer
  }

  close(): void {
    this.#socket.close()
  }

  get port(): number {
    return this.#socket.address().port
  }

  /** As a gateway does that has nothing to say. */
  welcome(asked: Asked) {
    const { method, path } = asked
    if (path === 'session' && asked.option('252') === undefined)
      return asked.answer('4.01', { 252: Buffer.from('an echo') })
    if (path === 'session')
      return asked.answer('2.01', {
        'Location-Path': Buffer.from('token'),
        'Max-Age': uintBytes(240),
      })
    const channel = /^s\/token\/channels\/(\w+)\/commands$/.exec(path)?.[1]
    if (method === 'GET' && channel !== undefined && asked.option('Observe') !== undefined) {
      this.observed.set(channel, asked.packet.token)
      return asked.answer('2.05', { Observe: uintBytes(1), 65008: uintBytes(this.timeMs) })
    }
    if (method === 'GET') return asked.answer('2.05')
    asked.answer(method === 'DELETE' ? '2.02' : '2.04')
  }

  /** @returns its message id. */
  notify(channel: string, payload: Buffer | string, options: Options = {}, code = '2.05'): number {
    const token = this.observed.get(channel)!
    this.#messageId++
    this.send(
      generate({
        ...{ code, confirmable: true, messageId: this.#messageId, token },
        options: optionsOf({ Observe: uintBytes(++this.#observe), ...options }),
        payload: Buffer.from(payload),
      }),
    )
    return this.#messageId
  }

  /** Anything, to the device that spoke last. */
  send(bytes: Buffer): void {
    this.#socket.send(bytes, this.#device!.port, this.#device!.address)
  }

  #take(bytes: Buffer, from: RemoteInfo) {
    this.#device = from
    const packet = parse(bytes)
    if (packet.code === '0.00') {
      this.empties.push(packet)
      return
    }
    const before = this.#answered.get(packet.messageId)
    if (before !== undefined) return this.send(before)
    const values = (name: string) =>
      packet.options.filter((one) => one.name === name).map(({ value }) => value)
    const { messageId, token } = packet
    const message = (code: string, options: Options = {}, payload: Buffer | string = '') => ({
      ...{ code, token, options: optionsOf(options), payload: Buffer.from(payload) },
    })
    const asked: Asked = {
      method: methods[packet.code]!,
      path: values('Uri-Path').join('/'),
      query: values('Uri-Query').map(String),
      packet,
      option: (name) => values(name)[0],
      answer: (...what) => {
        const answer = generate({ ...message(...what), messageId, ack: true })
        this.#answered.set(messageId, answer)
        this.send(answer)
      },
      answerLater: (...what) => {
        const acknowledgement = generate({ code: '0.00', messageId, ack: true })
        this.#answered.set(messageId, acknowledgement)
        this.send(acknowledgement)
        this.#messageId++
        this.send(generate({ ...message(...what), messageId: this.#messageId, confirmable: true }))
      },
    }
    this.asked.push(asked)
    this.serve(asked)
  }
}

const optionsOf = (options: Options) =>
  Object.entries(options).map(([name, value]) => ({ name, value }))
