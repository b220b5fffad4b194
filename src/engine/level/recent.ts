import type { AppId, KeptEvent } from '../../contract/index.ts'
import { isHeavy } from './bytes.ts'

/** Payload bytes of recent events held in memory; beyond them the oldest go, as at `eventsRecentMax`. */
const eventsRecentMaxBytes = 16 * 1_048_576
/** What an event weighs beside its payload, roughly. */
const eventBytes = 500

interface Recent {
  events: (KeptEvent | undefined)[]
  head: number
  /** Sequence of the oldest held, which is `events[head]`. */
  first: number
}

/**
 * The newest durable events, so that who reads along never waits for the disk. Bounded over all
 * apps together; the oldest goes first, whosever it is.
 */
export class RecentEvents {
  readonly #max: number
  readonly #logs = new Map<AppId, Recent>()
  #order: AppId[] = []
  #orderHead = 0
  #bytes = 0

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#order.length - this.#orderHead
  }

  /** The next one of its app's log. */
  push(event: KeptEvent, sequence: number): void {
    let log = this.#logs.get(event.app)
    if (log === undefined) {
      log = { events: [], head: 0, first: sequence }
      this.#logs.set(event.app, log)
    }
    if (log.head === log.events.length) log.first = sequence
    const held = lighten(event)
    log.events.push(held)
    this.#order.push(event.app)
    this.#bytes += weight(held)
    while (this.size > this.#max || this.#bytes > eventsRecentMaxBytes) this.#shift()
  }

  /** The event, or undefined when it is not held. */
  get(app: AppId, sequence: number): KeptEvent | undefined {
    const log = this.#logs.get(app)
    if (log === undefined || sequence < log.first) return undefined
    return log.events[log.head + sequence - log.first]
  }

  clear(): void {
    this.#logs.clear()
    this.#order = []
    this.#orderHead = 0
    this.#bytes = 0
  }

  #shift(): void {
    const log = this.#logs.get(this.#order[this.#orderHead++]!)!
    this.#bytes -= weight(log.events[log.head]!)
    log.events[log.head++] = undefined
    log.first += 1
    if (log.head >= 1_024 && log.head * 2 >= log.events.length) {
      log.events.splice(0, log.head)
      log.head = 0
    }
    if (this.#orderHead >= 4_096 && this.#orderHead * 2 >= this.#order.length) {
      this.#order.splice(0, this.#orderHead)
      this.#orderHead = 0
    }
  }
}

function payloadOf(event: KeptEvent): Uint8Array | undefined {
  if (event.kind === 'event') return event.payload
  if (event.kind === 'command.ended') return event.ended.reply?.payload
  if (event.kind === 'reply' || event.kind === 'command.late') return event.reply?.payload
  return undefined
}

const weight = (event: KeptEvent): number => eventBytes + (payloadOf(event)?.length ?? 0)

/** The same event, without holding on to the large buffer that its payload may be a view of. */
function lighten(event: KeptEvent): KeptEvent {
  const payload = payloadOf(event)
  if (payload === undefined || !isHeavy(payload)) return event
  const copy = new Uint8Array(payload)
  if (event.kind === 'event') return { ...event, payload: copy }
  if (event.kind === 'command.ended') {
    const reply = { ...event.ended.reply!, payload: copy }
    return { ...event, ended: { ...event.ended, reply } }
  }
  if (event.kind !== 'reply' && event.kind !== 'command.late') return event
  return { ...event, reply: { ...event.reply!, payload: copy } }
}
