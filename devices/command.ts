import type { Epoch, Offset } from '../src/contract/index.ts'
import type { Received } from './inbox.ts'
import type { Sent } from './outbox.ts'

/** What a back end wants done, as it reached the device. */
export interface Command {
  /** Names it everywhere; the same at the back end. Repeats carry the same. */
  readonly id: string
  readonly channel: string
  readonly epoch: Epoch
  readonly offset: Offset
  readonly name: string
  readonly payload: Buffer
  /** False: the payload is JSON. */
  readonly binary: boolean
  /** The payload as JSON; undefined when it is none. */
  json(): unknown
  /** On the client's clock: from then on it must be refused. */
  readonly expiresAtMs: number
  /** For an actuator: now or never. */
  readonly now: boolean
  /** It may have been sent before. This client hands it on once; another life of it may have acted. */
  readonly repeated: boolean
  readonly replyExpected: boolean
}

/** `rejected`: refused before acting. `failed`: acted and failed (rule 7). */
export interface CommandReply {
  readonly status: 'done' | 'failed' | 'rejected'
  /** A short word, e.g. `jammed`. */
  readonly reason?: string
  /** Bytes as they are; anything else as JSON. */
  readonly payload?: unknown
}

export type Respond = (reply: CommandReply) => Promise<Sent>

const empty = new Uint8Array(0)

/** @returns undefined for what is neither bytes nor JSON. */
export function toPayload(value: unknown): { bytes: Uint8Array; binary: boolean } | undefined {
  if (value === undefined) return { bytes: empty, binary: false }
  if (value instanceof Uint8Array) return { bytes: value, binary: true }
  try {
    const text = JSON.stringify(value)
    return text === undefined ? undefined : { bytes: Buffer.from(text), binary: false }
  } catch {
    return undefined
  }
}

export class ReceivedCommand implements Command {
  readonly id: string
  readonly channel: string
  readonly epoch: Epoch
  readonly offset: Offset
  readonly name: string
  readonly payload: Buffer
  readonly binary: boolean
  readonly expiresAtMs: number
  readonly now: boolean
  readonly repeated: boolean
  readonly replyExpected: boolean

  constructor(device: string, channel: string, { epoch, frame }: Received, expiresAtMs: number) {
    this.id = `${device}:${channel}:${epoch.toString(36)}:${frame.offset}`
    this.channel = channel
    this.epoch = epoch
    this.offset = frame.offset
    this.name = frame.name
    // A view would hold the whole chunk of the socket for as long as the application holds this.
    this.payload = Buffer.from(frame.payload)
    this.binary = frame.binary
    this.expiresAtMs = expiresAtMs
    this.now = frame.now
    this.repeated = frame.repeated
    this.replyExpected = frame.replyExpected
  }

  json(): unknown {
    if (this.binary || this.payload.length === 0) return undefined
    try {
      return JSON.parse(this.payload.toString('utf8'))
    } catch {
      return undefined
    }
  }
}
