import { type Packet, type Parser, parser } from 'mqtt-packet'

/**
 * What a client of aedes holds beside its connection. These are its own affairs: its version is
 * pinned, and one that looks different is left as it is.
 */
interface Client {
  _parser: Parses
  /** Ends its watch over the end of its stream. */
  _eos: () => void
  close(): void
}

/** What aedes uses of a parser. */
interface Parses {
  parse(bytes: Buffer): unknown
  removeAllListeners(event: string): void
  listeners?(event: string): unknown[]
}

/** aedes' own way on for a packet; its `this` is the parser it thinks it came from. */
type Take = (this: Borrowed, packet: Packet) => void

/** Parsers that parse nothing at this moment: one, but where parsing leads to parsing. */
const idle: Parser[] = []
const idleMax = 4

/**
 * Stands where a client had a parser and its buffers of its own, 1.5 KB. Every chunk of ours holds
 * whole packets, so between two of them a parser knows nothing, and one will do for all.
 */
class Borrowed implements Parses {
  readonly client: Client
  /** For what comes before CONNACK: aedes gets none of that. */
  _queue: unknown[] | null = null
  #take: Take | undefined

  constructor(client: Client, take: Take) {
    this.client = client
    this.#take = take
  }

  parse(bytes: Buffer): void {
    const one = idle.pop() ?? parser()
    let isWell = true
    one.on('packet', (packet) => this.#take?.call(this, packet))
    one.on('error', () => {
      isWell = false
    })
    const left = (one as unknown as Parses).parse(bytes)
    one.removeAllListeners()
    // Else it passed the gate, and is no packet for aedes.
    if (!isWell || left !== 0) this.client.close()
    else if (idle.length < idleMax) idle.push(one)
  }

  /** Its client is over. */
  removeAllListeners(): void {
    this.#take = undefined
  }
}

/**
 * A client that is connected, without its parser and without the six listeners by which it watches
 * over its stream.
 * @returns false: it is as it was. Else `close` it when its stream is gone.
 */
export function slim(client: object): client is Pick<Client, 'close'> {
  const fat = client as Client
  const take = fat._parser?.listeners?.('packet')[0]
  if (typeof take !== 'function') return false
  if (typeof fat._eos !== 'function' || typeof fat.close !== 'function') return false
  fat._parser = new Borrowed(fat, take as Take)
  fat._eos()
  fat._eos = watched
  return true
}

const watched = (): void => {}
