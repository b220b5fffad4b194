import type {
  AppCounts,
  BroadcastAsk,
  BroadcastSeen,
  Hook,
  HookStatus,
  LineCallSeen,
  Push,
  RegisterRead,
  RegisterWrite,
} from './journal-many.ts'

/**
 * What the outside saw, in memory, in the order it was seen. Nothing in here comes from the inside
 * of the gateway: answers over HTTP, bytes on the devices' wires, what their applications were
 * handed, what the event log was read to say. All times are ms since 1970 on this machine's clock.
 *
 *     driver ── HTTP ──▶ gateway ◀── TCP ── tap ◀── TCP ── device client ── application
 *        asks, cancels      ▲                wire                receipts, replies, reports
 *        statuses           ├── GET /v1/events: log, reread
 *        writes, reads      └── POST ──▶ receiver: pushes
 */
export interface Journal {
  readonly asks: Ask[]
  readonly cancels: Cancel[]
  readonly receipts: Receipt[]
  readonly replies: AppReply[]
  readonly reports: Report[]
  readonly wire: Wire[]
  /** As it was followed live, over all restarts. */
  readonly log: LogEntry[]
  /** The same log read once more from its beginning, when all was over. */
  reread: LogEntry[] | undefined
  /** `GET /v1/commands/{id}`, the last answer. */
  readonly statuses: Map<string, StatusSeen>
  readonly faults: Fault[]
  /** What must never happen and was seen directly, e.g. `410` for a cursor just given. */
  readonly oddities: Oddity[]
  /** When whoever writes this was held up: what is dated into it, or just behind, came earlier. */
  readonly stalls: Stall[]
  /** The gateway's own counting, last read. */
  counts: CountsSeen | undefined
  /** Of the app, by itself, when all was over. */
  appCounts: AppCounts | undefined
  readonly writes: RegisterWrite[]
  readonly reads: RegisterRead[]
  readonly lineCalls: LineCallSeen[]
  readonly broadcasts: BroadcastAsk[]
  /** All there are, when all was over; undefined before. */
  broadcastsSeen: readonly BroadcastSeen[] | undefined
  readonly hooks: Hook[]
  readonly hookStatuses: HookStatus[]
  readonly pushes: Push[]
  /** When the log was read again: what is pushed later may be of later events. */
  rereadAtMs: number
}

/** One thing the back end wanted done, however many requests it took. `n` is in its payload. */
export interface Ask {
  readonly n: number
  /** Empty when it was asked by alias: then it is for whoever the alias stood for. */
  readonly device: string
  readonly alias?: string | undefined
  readonly channel: string
  /**
   * `k<n>` with a key, so that the log tells the commands of one key; `s<n>` when it is for later,
   * since its id then is not its place; else a common name.
   */
  readonly name: string
  readonly delivery: 'queue' | 'now'
  readonly expect: 'ack' | 'reply'
  readonly ttlMs: number | undefined
  readonly key: string | undefined
  /** Not to be handed over before. */
  readonly notBeforeMs?: number | undefined
  readonly collapse?: string | undefined
  /** The path of the receiver to which its outcome is posted. */
  readonly callback?: string | undefined
  /** The name of the API key that asked, where it is not the first. */
  readonly askedBy?: string | undefined
  readonly attempts: Attempt[]
}

/**
 * One request. `unreached`: nobody listened. `refused`: answered so that nothing may have been kept (4xx). `unavailable`: 503 or
 * 507, nothing promised, though a failed write may have reached the disk. `unclear`: no answer.
 * `other-body`: its key was used with another body on purpose.
 */
export interface Attempt {
  readonly askedAtMs: number
  answeredAtMs: number | undefined
  verdict:
    | 'pending'
    | 'accepted'
    | 'unreached'
    | 'refused'
    | 'unavailable'
    | 'unclear'
    | 'other-body'
  http: number | undefined
  accepted: Accepted | undefined
  /** It was this line of this call. */
  readonly line?: { readonly call: number; readonly line: number }
}

export interface Accepted {
  readonly id: string
  /** 0: it is for later; `offset` is then its number among those. */
  readonly epoch: number
  readonly offset: number
  readonly status: string
  /** NaN where the answer does not say. */
  readonly expiresAtMs: number
}

export interface Cancel {
  readonly id: string
  readonly http: number | undefined
  /** What it was told to stand at, where it was too late. */
  readonly status?: string | undefined
}

/** A command handed to a device's application. */
export interface Receipt {
  readonly device: string
  readonly channel: string
  readonly id: string
  /** NaN where the device cannot know: of what was for later, MQTT 3 and CoAP say the id only. */
  readonly offset: number
  readonly n: number
  readonly atMs: number
  readonly repeated: boolean
  /** What its client spoke. */
  readonly over?: string
  /** Of a device that remembers nothing; left out where a client of ours knows repeats. */
  readonly raw?: Raw
}

/** How a command came to a device that remembers nothing, so that it may be handed it again. */
export interface Raw {
  readonly family: Family
  /** Counts its connections, or observations, or lives between reboots: see the judge's allowances. */
  readonly session: number
  /** Nothing of the message told it the deadline: it cannot refuse what was late on its way (rule 2). */
  readonly blind?: boolean
  /** When its end was said to have it; undefined: never. */
  acknowledgedAtMs: number | undefined
}

/** What an application answered to a command. */
export interface AppReply {
  readonly device: string
  readonly id: string
  readonly status: string
  readonly atMs: number
  /** Set once the gateway acknowledged it. */
  acknowledgedAtMs: number | undefined
}

/** An event of a device. `u` counts up per device and channel and is in its payload. */
export interface Report {
  readonly device: string
  readonly channel: string
  readonly u: number
  readonly atMs: number
  acknowledgedAtMs: number | undefined
  /** The protocol, where it goes without a stamp, so that repeats may be kept. */
  readonly unstamped?: Family
}

/** Protocols as they are on the wire; of MQTT both versions are one. */
export type Family = 'pike' | 'mqtt' | 'coap' | 'http'

/**
 * A message as it passed the tap. `session` counts the openings of a channel: on a connection of Pike
 * or MQTT, by a request over HTTP, by an observation over CoAP.
 */
export interface Wire {
  readonly session: number
  readonly family: Family
  readonly device: string
  readonly channel: string
  readonly atMs: number
  readonly what:
    | { readonly kind: 'hello'; readonly resume: { epoch: number; offset: number } | undefined }
    | {
        readonly kind: 'welcome'
        readonly resumed: string
        readonly epoch: number
        readonly offset: number
      }
    | {
        readonly kind: 'command'
        readonly epoch: number
        readonly offset: number
        readonly repeated: boolean
        /** Of its payload. */
        readonly n?: number | undefined
        /** Where the message names its command; then `offset` is NaN if that says no place. */
        readonly id?: string
      }
    /** The device's end acknowledged this one, by PUBACK or the ACK of a notification. */
    | { readonly kind: 'taken'; readonly id: string }
    /** An event without a stamp, on its way. The same `arrival` is told from a repeat by its protocol. */
    | { readonly kind: 'event'; readonly u: number; readonly arrival: string }
    /**
     * Nothing more comes by this opening. When the last bytes of the device came by, and how much later
     * the gateway must take it for dead; both only of a connection that shows it.
     */
    | {
        readonly kind: 'gone'
        readonly heardAtMs?: number | undefined
        readonly deadAfterMs?: number | undefined
      }
    /** Of the device, by offset. */
    | { readonly kind: 'ack'; readonly upTo: number }
    /** Of the gateway, by sequence. */
    | { readonly kind: 'kept'; readonly upTo: number }
    | {
        readonly kind: 'reply'
        readonly sequence: number
        readonly epoch: number
        readonly offset: number
        readonly status: string
        /** Where the message names its command. */
        readonly id?: string
      }
}

/** An entry of the event log. `body` is all of it, for comparing one reading with another. */
export interface LogEntry {
  readonly id: string
  readonly type: string
  readonly device: string
  readonly channel: string | undefined
  readonly atMs: number
  readonly command: string | undefined
  readonly name: string | undefined
  readonly status: string | undefined
  readonly reason: string | undefined
  readonly askedBy?: string | undefined
  /** Of an outcome; NaN elsewhere. */
  readonly expiresAtMs?: number
  /** `u` of a report. */
  readonly u: number | undefined
  /** Of an event: its device said that it may have come before. */
  readonly maybeRepeat?: boolean
  readonly body: string
}

/** `missing`: 404. */
export interface StatusSeen {
  readonly kind: 'open' | 'ended' | 'missing'
  readonly status: string
  readonly name: string | undefined
  readonly reason?: string | undefined
  readonly atMs: number
}

export type FaultKind = 'none' | 'kill' | 'stop' | 'pause' | 'disk' | 'power'

export interface Fault {
  readonly round: number
  readonly kind: FaultKind
  readonly atMs: number
  readonly young: boolean
  /** From the fault, or for disk and pause from its end, until the gateway accepted again. */
  readyMs: number | undefined
  /** SIGTERM until the process was gone. */
  goneMs: number | undefined
  /** A disk fault in which `503` or `507` was seen. */
  refused: boolean | undefined
  /** A pause's length; what was odd about it. */
  note: string | undefined
}

export interface Oddity {
  readonly rule: string
  readonly text: string
}

export interface CountsSeen {
  readonly accepted: number
  readonly ended: number
  readonly open: number
}

export const newJournal = (): Journal => ({
  asks: [],
  cancels: [],
  receipts: [],
  replies: [],
  reports: [],
  wire: [],
  log: [],
  reread: undefined,
  statuses: new Map(),
  faults: [],
  oddities: [],
  stalls: [],
  counts: undefined,
  appCounts: undefined,
  writes: [],
  reads: [],
  lineCalls: [],
  broadcasts: [],
  broadcastsSeen: undefined,
  hooks: [],
  hookStatuses: [],
  pushes: [],
  rereadAtMs: Number.POSITIVE_INFINITY,
})

export interface Stall {
  readonly fromMs: number
  readonly toMs: number
}
