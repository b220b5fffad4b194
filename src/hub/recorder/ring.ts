import type { Seen, TraceEntry } from '../../contract/index.ts'
import { byPlace, channelId, commandId } from '../../contract/index.ts'
import type { Connection, Track } from './known.ts'

/** Slots that are made at once, when the first of them is written. */
const chunkSlots = 1024

/** Of one slot without its payload, about, the names it keeps alive included. */
const slotBytes = 256

/** Names that are held once. */
const namesMax = 1024

const ways = ['in', 'out', 'state'] as const
export type Way = 0 | 1 | 2

/** Numbers lie in arrays of numbers; of texts and of whom they are about only references are kept. */
class Chunk {
  readonly id: Float64Array
  readonly at: Float64Array
  /** Place of the entry before it of the same device, counted from 1; 0: none. */
  readonly before: Float64Array
  readonly offset: Float64Array
  readonly sequence: Float64Array
  readonly epoch: Uint32Array
  readonly bytes: Uint32Array
  /** Bytes of the payload, plus 1; 0: none. */
  readonly size: Uint32Array
  readonly way: Uint8Array
  readonly head: Uint8Array
  readonly type: string[] = []
  readonly channel: (string | undefined)[] = []
  readonly command: (string | undefined)[] = []
  readonly name: (string | undefined)[] = []
  readonly reason: (string | undefined)[] = []
  readonly about: (string | undefined)[] = []
  readonly track: (Track | undefined)[] = []
  readonly connection: (Connection | undefined)[] = []

  constructor(slots: number, payloadMaxBytes: number) {
    this.id = new Float64Array(slots)
    this.at = new Float64Array(slots)
    this.before = new Float64Array(slots)
    this.offset = new Float64Array(slots)
    this.sequence = new Float64Array(slots)
    this.epoch = new Uint32Array(slots)
    this.bytes = new Uint32Array(slots)
    this.size = new Uint32Array(slots)
    this.way = new Uint8Array(slots)
    this.head = new Uint8Array(slots * payloadMaxBytes)
  }
}

/** Told when the ring writes over an entry: what it was about may have no other left. */
export interface Forgetting {
  faded(track: Track | undefined, connection: Connection | undefined): void
}

/**
 * The last entries, of all devices together; each knows where the one before it of its device is.
 *
 *     slots | 8 d1 | 9 d2 | 4 d1 | 5 d2 | 6 d1 | 7 d1 |      d1.last = 8 ─▶ 7 ─▶ 6 ─▶ (4 may be gone)
 *                          ^ next to be written over
 */
export class Ring {
  readonly #slots: number
  readonly #payloadMaxBytes: number
  readonly #forgetting: Forgetting
  readonly #chunks: Chunk[] = []
  /** Entries ever written; the last one's place. */
  #written = 0
  #slot = 0
  readonly #names = new Map<string, string>()

  /** @param maxBytes about; below one slot nothing is kept. */
  constructor(maxBytes: number, payloadMaxBytes: number, forgetting: Forgetting) {
    this.#slots = Math.floor(maxBytes / (slotBytes + payloadMaxBytes))
    this.#payloadMaxBytes = payloadMaxBytes
    this.#forgetting = forgetting
  }

  get slots(): number {
    return this.#slots
  }

  get written(): number {
    return this.#written
  }

  /** @returns its place. */
  write(
    id: number,
    atMs: number,
    way: Way,
    type: string,
    bytes: number,
    track: Track | undefined,
    connection: Connection | undefined,
    channel: string | undefined,
    seen: Seen | undefined,
  ): number {
    const slot = this.#slot
    const chunk = this.#chunks[Math.floor(slot / chunkSlots)] ?? this.#grow()
    const i = slot % chunkSlots
    const overwrites = this.#written >= this.#slots
    const oldTrack = overwrites ? chunk.track[i] : undefined
    const oldConnection = overwrites ? chunk.connection[i] : undefined
    this.#slot = slot + 1 === this.#slots ? 0 : slot + 1
    chunk.id[i] = id
    chunk.at[i] = atMs
    chunk.way[i] = way
    chunk.type[i] = type
    chunk.bytes[i] = bytes
    chunk.track[i] = track
    chunk.connection[i] = connection
    chunk.before[i] = track === undefined ? 0 : track.last
    chunk.channel[i] = seen?.channel === undefined ? channel : this.#shared(seen.channel)
    chunk.command[i] = seen?.command
    chunk.epoch[i] = seen?.epoch ?? 0
    chunk.offset[i] = seen?.offset ?? 0
    chunk.sequence[i] = seen?.sequence ?? 0
    chunk.name[i] = seen?.name === undefined ? undefined : this.#shared(seen.name)
    chunk.reason[i] = seen?.reason
    chunk.about[i] = seen?.about
    const payload = seen?.payload
    chunk.size[i] = payload === undefined ? 0 : payload.length + 1
    if (payload !== undefined) this.#copy(payload, chunk.head, i)
    if (overwrites) this.#forgetting.faded(oldTrack, oldConnection)
    return ++this.#written
  }

  /** Is this place not written over yet? */
  has(place: number): boolean {
    return place > 0 && place > this.#written - this.#slots
  }

  before(place: number): number {
    const [chunk, i] = this.#at(place)
    return chunk.before[i]!
  }

  idAt(place: number): number {
    const [chunk, i] = this.#at(place)
    return chunk.id[i]!
  }

  atMs(place: number): number {
    const [chunk, i] = this.#at(place)
    return chunk.at[i]!
  }

  connectionAt(place: number): Connection | undefined {
    const [chunk, i] = this.#at(place)
    return chunk.connection[i]
  }

  get oldest(): number {
    return this.#written === 0 ? 0 : Math.max(1, this.#written - this.#slots + 1)
  }

  get newest(): number {
    return this.#written
  }

  read(place: number): TraceEntry {
    const [chunk, i] = this.#at(place)
    const connection = chunk.connection[i]
    const size = chunk.size[i]!
    const from = i * this.#payloadMaxBytes
    return {
      id: chunk.id[i]!,
      atMs: chunk.at[i]!,
      way: ways[chunk.way[i]!]!,
      type: chunk.type[i]!,
      ...(connection && { connection: connection.token, protocol: connection.protocol }),
      ...text('channel', chunk.channel[i]),
      ...text('command', commandAt(chunk, i)),
      ...number('epoch', chunk.epoch[i]!),
      ...number('offset', chunk.offset[i]!),
      ...number('sequence', chunk.sequence[i]!),
      ...text('name', chunk.name[i]),
      ...number('bytes', chunk.bytes[i]!),
      ...text('reason', chunk.reason[i]),
      ...text('about', chunk.about[i]),
      ...(size > 0 && {
        payload: {
          bytes: size - 1,
          head: chunk.head.slice(from, from + Math.min(size - 1, this.#payloadMaxBytes)),
        },
      }),
    }
  }

  /** Names repeat; every request brings a text of its own, which need not live as long as the ring. */
  #shared(name: string): string {
    const known = this.#names.get(name)
    if (known !== undefined) return known
    if (this.#names.size >= namesMax) this.#names.clear()
    this.#names.set(name, name)
    return name
  }

  /** Never a view: a payload may lie in a large buffer of its connection. */
  #copy(payload: Uint8Array, head: Uint8Array, i: number): void {
    const from = i * this.#payloadMaxBytes
    const length = Math.min(payload.length, this.#payloadMaxBytes)
    for (let j = 0; j < length; j++) head[from + j] = payload[j]!
  }

  #grow(): Chunk {
    const left = this.#slots - this.#chunks.length * chunkSlots
    const chunk = new Chunk(Math.min(chunkSlots, left), this.#payloadMaxBytes)
    this.#chunks.push(chunk)
    return chunk
  }

  #at(place: number): readonly [Chunk, number] {
    const slot = (place - 1) % this.#slots
    return [this.#chunks[Math.floor(slot / chunkSlots)]!, slot % chunkSlots]
  }
}

function commandAt({ command, track, channel, epoch, offset }: Chunk, i: number) {
  const id = command[i]
  const of = track[i]
  const name = channel[i]
  if (id !== byPlace || of === undefined || name === undefined) return id || undefined
  return commandId(channelId(of.app, of.device, name), epoch[i]!, offset[i]!)
}

const text = <N extends string>(name: N, value: string | undefined) =>
  value === undefined ? undefined : ({ [name]: value } as { [name in N]: string })

const number = <N extends string>(name: N, value: number) =>
  value === 0 ? undefined : ({ [name]: value } as { [name in N]: number })
