import type { AppId, KeptEvent } from '../../contract/index.ts'

/** Bytes of recent events held in memory; beyond them the oldest go, as at `eventsRecentMax`. */
const eventsRecentMaxBytes = 16 * 1_048_576
const chunkBytes = 65_536
const lengthBytes = 4

interface Log {
  /** Where each record lies: the number of its chunk, then where in it. */
  places: number[]
  head: number
  /** Sequence of the oldest held, which is at `places[head]`. */
  first: number
  /** Those that somebody asked for, by sequence: many may read the same. */
  readonly asked: Map<number, KeptEvent>
}

type Decode = (app: AppId, sequence: number, record: Buffer) => KeptEvent | undefined

/**
 * The newest events, so that who reads along never waits for the disk. Bounded over all apps
 * together; the oldest goes first, whosever it is.
 *
 *     chunks   | length record length record … | length record …  free |
 *     places            ^ 17 of app a  ^ 3 of app b   ^ 18 of app a
 *
 * As records, not as objects: of thousands a second that nobody may ever ask for, the garbage
 * collector would have to carry each from one place to another until it goes.
 */
export class RecentEvents {
  readonly #max: number
  readonly #decode: Decode
  readonly #logs = new Map<AppId, Log>()
  /** Whose event came next, oldest first. */
  #order: Log[] = []
  #orderHead = 0
  /** By number; the first are gone. */
  #chunks: Buffer[] = []
  #firstChunk = 0
  #bytes = 0
  /** Free from here on in the last chunk. */
  #free = 0

  constructor(max: number, decode: Decode) {
    this.#max = max
    this.#decode = decode
  }

  get size(): number {
    return this.#order.length - this.#orderHead
  }

  /** The next one of its app's log; its bytes are copied. */
  push(app: AppId, sequence: number, record: Buffer): void {
    let log = this.#logs.get(app)
    if (log === undefined) {
      log = { places: [], head: 0, first: sequence, asked: new Map() }
      this.#logs.set(app, log)
    }
    if (log.head === log.places.length) log.first = sequence
    log.places.push(this.#write(record))
    this.#order.push(log)
    while (this.size > this.#max || (this.#bytes > eventsRecentMaxBytes && this.size > 1)) {
      this.#shift()
    }
  }

  /** The event, or undefined when it is not held. */
  get(app: AppId, sequence: number): KeptEvent | undefined {
    const log = this.#logs.get(app)
    if (log === undefined || sequence < log.first) return undefined
    const place = log.places[log.head + sequence - log.first]
    if (place === undefined) return undefined
    const asked = log.asked.get(sequence)
    if (asked !== undefined) return asked
    const event = this.#decode(app, sequence, this.#copy(place))
    if (event !== undefined) log.asked.set(sequence, event)
    return event
  }

  clear(): void {
    this.#logs.clear()
    this.#order = []
    this.#orderHead = 0
    this.#chunks = []
    this.#firstChunk = 0
    this.#bytes = 0
    this.#free = 0
  }

  #write(record: Buffer): number {
    const wanted = lengthBytes + record.length
    let chunk = this.#chunks.at(-1)
    if (chunk === undefined || this.#free + wanted > chunk.length) {
      chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, wanted))
      this.#chunks.push(chunk)
      this.#bytes += chunk.length
      this.#free = 0
    }
    const at = this.#free
    chunk.writeUInt32LE(record.length, at)
    chunk.set(record, at + lengthBytes)
    // A longer chunk has one record: behind it there is no place that could be named.
    this.#free = chunk.length > chunkBytes ? chunk.length : at + wanted
    return (this.#firstChunk + this.#chunks.length - 1) * chunkBytes + at
  }

  #copy(place: number): Buffer {
    const number = Math.floor(place / chunkBytes)
    const chunk = this.#chunks[number - this.#firstChunk]!
    const at = place - number * chunkBytes
    const start = at + lengthBytes
    return Buffer.from(chunk.subarray(start, start + chunk.readUInt32LE(at)))
  }

  #shift(): void {
    const log = this.#order[this.#orderHead++]!
    if (log.asked.size > 0) log.asked.delete(log.first)
    log.head += 1
    log.first += 1
    if (log.head >= 1_024 && log.head * 2 >= log.places.length) {
      log.places.splice(0, log.head)
      log.head = 0
    }
    if (this.#orderHead >= 4_096 && this.#orderHead * 2 >= this.#order.length) {
      this.#order.splice(0, this.#orderHead)
      this.#orderHead = 0
    }
    const oldest = this.#order[this.#orderHead]
    if (oldest === undefined) return
    const number = Math.floor(oldest.places[oldest.head]! / chunkBytes)
    while (this.#firstChunk < number) {
      this.#bytes -= this.#chunks.shift()!.length
      this.#firstChunk += 1
    }
  }
}
