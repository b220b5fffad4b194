import type { CommandId, Stamp } from '../../src/contract/index.ts'

/** Who a client is, once it has proved itself. */
export interface Who {
  readonly app: string
  readonly device: string
  readonly clientId: string
  /** Nothing is left of what this client id did before. */
  readonly isClean: boolean
  /** It may come back to what it leaves (MQTT 5). Left out: not, if it `isClean`. */
  readonly lasts?: boolean
  /** As it asked for; 0: it says nothing of itself while it is silent. */
  readonly keepaliveMs: number
  /** Said for it when it goes without a goodbye. */
  readonly will?: Incoming | undefined
}

/** A publish of a device. */
export interface Incoming {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  /** 0 at QoS 0. */
  readonly messageId: number
  readonly dup: boolean
  /** Left out: by what the payload looks like. */
  readonly contentType?: string | undefined
  readonly stamp?: Stamp | undefined
  /** Of an event, where its topic cannot say it. */
  readonly name?: string | undefined
  /** Of a reply, where its topic does not say it: which command, and how it went. */
  readonly command?: CommandId | undefined
  readonly status?: string | undefined
  readonly reason?: string | undefined
}

/**
 * How a publish went. 'kept': acknowledge it. 'stale', 'unknown' (a reply to a command nobody has):
 * not kept, and it would not be if it came again. The rest is a refusal.
 */
export type Published =
  | 'kept'
  | 'stale'
  | 'unknown'
  | 'foreign-topic'
  | 'bad-name'
  | 'too-large'
  | 'unknown-channel'
  | 'unavailable'
