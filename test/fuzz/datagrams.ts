import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { generate, parse } from 'coap-packet'
import { type Case, caseOf } from './case.ts'
import type { Who } from './grammar.ts'
import { coapGrammar } from './grammars/coap.ts'
import { type Found, tally } from './streams.ts'

/** So many datagrams, and then it is seen that all were read. */
const burst = 24
const pingMaxMs = 5_000
const pingAgainMs = 500
/** Some cases end sessions, or put them to sleep. */
const sessionMaxBursts = 20

/** Sends cases as datagrams, from a few addresses. */
export class DatagramFuzzer {
  readonly #port: number
  readonly #whos: readonly Who[]
  readonly #seed: number
  readonly #found: Found
  readonly tally = tally()
  readonly underWay = new Map<number, Case>()
  #pings = 0

  constructor(port: number, whos: readonly Who[], seed: number, found: Found) {
    this.#port = port
    this.#whos = whos
    this.#seed = seed
    this.#found = found
  }

  async run(numbers: Iterator<number>, lanes: number, goesOn: () => boolean): Promise<void> {
    const count = Math.min(lanes, 16)
    await Promise.all(Array.from({ length: count }, (_, lane) => this.#lane(numbers, lane, goesOn)))
  }

  async #lane(numbers: Iterator<number>, lane: number, goesOn: () => boolean): Promise<void> {
    const who = this.#whos[lane % this.#whos.length]!
    const peer = await Peer.open(this.#port)
    let session = ''
    for (let bursts = 0; goesOn(); bursts++) {
      if (bursts % sessionMaxBursts === 0) {
        this.tally.logins++
        session = (await peer.logIn(who)) ?? session
      }
      const cases: Case[] = []
      while (cases.length < burst) {
        const next = numbers.next()
        if (next.done === true) break
        const one = caseOf(coapGrammar, this.#seed, next.value, { ...who, session })
        cases.push(one)
        this.tally.cases++
        this.tally.packets += one.packets.length
        if (one.stage === 'before') this.tally.before++
        this.underWay.set(lane * burst + cases.length, one)
        for (const packet of one.packets) peer.send(packet)
      }
      const last = cases.at(-1)
      if (last === undefined) break
      if (await peer.ping(++this.#pings & 0xffff)) this.tally.survived += cases.length
      else if (goesOn()) this.#found(`no answer to a ping within ${pingMaxMs} ms, behind it`, last)
      if (peer.nonsense !== undefined) {
        this.#found(`was told nonsense: ${peer.nonsense}`, last)
        peer.nonsense = undefined
      }
      for (let i = 1; i <= burst; i++) this.underWay.delete(lane * burst + i)
    }
    peer.close()
  }
}

/** One address. */
class Peer {
  readonly #socket: Socket
  readonly #port: number
  nonsense: string | undefined
  #reset: (() => void) | undefined
  #awaited = -1
  #welcome: ((session: string | undefined) => void) | undefined

  private constructor(socket: Socket, port: number) {
    this.#socket = socket
    this.#port = port
    socket.on('message', (bytes) => this.#take(bytes))
    socket.on('error', () => {})
  }

  static async open(port: number): Promise<Peer> {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return new Peer(socket, port)
  }

  send(bytes: Buffer): void {
    // Longer is no datagram.
    if (bytes.length < 65_000) this.#socket.send(bytes, this.#port, '127.0.0.1', () => {})
  }

  /** undefined: no answer. */
  logIn({ app, device, secret }: Who): Promise<string | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pingAgainMs, undefined)
      this.#welcome = (session) => {
        clearTimeout(timer)
        resolve(session)
      }
      const options = [
        { name: 'Uri-Path', value: Buffer.from('session') },
        { name: 'Uri-Query', value: Buffer.from(`device=${device}`) },
        { name: 'Uri-Query', value: Buffer.from(`app=${app}`) },
      ] as const
      this.send(
        generate({
          code: 'POST',
          confirmable: true,
          messageId: Math.floor(Math.random() * 65_536),
          token: loginToken,
          options: [...options],
          payload: Buffer.from(secret),
        }),
      )
    })
  }

  /** Whatever came before it was read when it is answered. */
  ping(messageId: number): Promise<boolean> {
    return new Promise((resolve) => {
      const send = (): void => this.send(generate({ code: '0.00', confirmable: true, messageId }))
      const again = setInterval(send, pingAgainMs)
      const end = (isAnswered: boolean): void => {
        clearInterval(again)
        clearTimeout(timer)
        this.#awaited = -1
        resolve(isAnswered)
      }
      const timer = setTimeout(end, pingMaxMs, false)
      this.#awaited = messageId
      this.#reset = () => end(true)
      send()
    })
  }

  close(): void {
    this.#socket.close()
  }

  #take(bytes: Buffer): void {
    let message: ReturnType<typeof parse>
    try {
      message = parse(bytes)
    } catch (error) {
      this.nonsense ??= `${(error as Error).message}: ${bytes.toString('hex')}`
      return
    }
    const { code, token, messageId, reset, payload } = message
    if (code === '5.00') this.nonsense ??= `5.00 ${payload}`
    if (reset && messageId === this.#awaited) this.#reset?.()
    if (token.equals(loginToken)) this.#welcome?.(code === '2.01' ? payload.toString() : undefined)
  }
}

const loginToken = Buffer.from('f00dcafe', 'hex')
