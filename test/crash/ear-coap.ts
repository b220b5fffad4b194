import { type ParsedPacket, parse } from 'coap-packet'
import { idAmong, Notes, type Paper, placeIn, readJson } from './ear.ts'
import { deviceOfId } from './judge/facts.ts'

/** A notification on its way. */
interface Out {
  readonly id: string
  readonly of: string
  /** Where it came from, and went to: an acknowledgement from elsewhere is none (RFC 7252 §4.4). */
  readonly reached: string
}

/** Message ids of one device that are remembered; the oldest go. */
const outMax = 256
const seenMax = 65_536

/** Messages with a command that some ear has heard: sent again by its stack, to wherever its device is by now, each is still the same. */
export class SeenMessages {
  readonly #seen = new Set<string>()

  /** @returns whether it is new. */
  add(message: string): boolean {
    if (this.#seen.has(message)) return false
    this.#seen.add(message)
    if (this.#seen.size > seenMax) this.#seen.delete(this.#seen.values().next().value!)
    return true
  }
}

/** Reads CoAP of one device's address: commands as they are notified or polled, ACKs, posts. */
export class CoapEar {
  readonly #notes: Notes
  /** Confirmable messages with a command, by message id and token. */
  readonly #out = new Map<string, Out>()
  /** Acknowledged, by observation. A datagram may be dropped behind the tap: the next command proves it. */
  readonly #taken = new Map<string, string>()
  #device = ''

  readonly #seen: SeenMessages

  constructor(paper: Paper, seen: SeenMessages) {
    this.#notes = new Notes(paper, 'coap')
    this.#seen = seen
  }

  /** @param reached which gateway, from which address: beyond that nobody knows a message id again. */
  up(bytes: Buffer, reached: string): boolean {
    const packet = read(bytes)
    if (packet === undefined) return false
    if (packet.ack && packet.code === '0.00') this.#acknowledged(packet.messageId, reached)
    else if (packet.code === '0.02') this.#posted(packet, reached)
    return true
  }

  down(bytes: Buffer, reached: string): boolean {
    const packet = read(bytes)
    if (packet === undefined) return false
    const text = packet.code === '2.05' ? packet.payload.toString() : ''
    if (!text.startsWith('id=')) return true
    const end = text.indexOf('\n')
    const parts = text.slice(0, end).split('&')
    const id = parts[0]!.slice('id='.length)
    const of = packet.token.toString('hex')
    const message = `${packet.messageId} ${of} ${id}`
    if (this.#out.has(message)) return true
    this.#out.set(message, { id, of, reached })
    if (this.#out.size > outMax) this.#out.delete(this.#out.keys().next().value!)
    if (!this.#seen.add(`${reached.split(' ', 1)[0]} ${message}`)) return true
    const before = this.#taken.get(of)
    if (before !== undefined && before !== id) {
      this.#notes.taken(before, of)
      this.#taken.delete(of)
    }
    const at = parts.find((part) => part.startsWith('at='))?.slice('at='.length)
    const payload = readJson(text.slice(end + 1))
    this.#notes.command(id, parts.includes('again'), payload, placeIn(id, at), of)
    this.#device = deviceOfId(id)
    return true
  }

  gone(): void {
    this.#notes.gone()
  }

  #acknowledged(messageId: number, from: string): void {
    for (const [message, { id, of, reached }] of this.#out) {
      if (message.startsWith(`${messageId} `) && from === reached) this.#taken.set(of, id)
    }
  }

  #posted({ options, payload, messageId }: ParsedPacket, reached: string): void {
    const texts = (name: string): string[] =>
      options.filter((option) => option.name === name).map(({ value }) => value.toString())
    const path = texts('Uri-Path')
    const query = new URLSearchParams(texts('Uri-Query').join('&'))
    const found = path.includes('replies') ? idAmong(path) : undefined
    if (found !== undefined) {
      this.#notes.reply(found.id, query.get('status') ?? 'done')
      return
    }
    if (!path.includes('events') || query.has('stamp')) return
    const said = readJson(payload)
    const channel = path[2] === 'channels' ? (path[3] ?? '') : 'main'
    // A device names itself only where it begins: raw ones say their name in what they report.
    const device = typeof said === 'object' && said !== null && 'device' in said ? said.device : ''
    this.#notes.event(String(device || this.#device), channel, said, `${reached} ${messageId}`)
  }
}

const read = (bytes: Buffer): ParsedPacket | undefined => {
  try {
    return parse(bytes)
  } catch {
    return undefined
  }
}
