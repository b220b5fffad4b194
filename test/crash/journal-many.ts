/**
 * What was seen of everything beside plain commands: names that change, calls of many lines,
 * broadcasts, and what was pushed to receivers.
 */

/**
 * One change of a register, and there is one writer for each, which waits for its answer before it
 * writes again. Registers are named by what they are, their values are words; `-` is: nothing there.
 *
 *     alias/NAME        the device      tag/TAG/DEVICE   on
 *     device/NAME       there           key/NAME         works
 *     quota             commands/s      webhook/NAME     there
 */
export interface RegisterWrite {
  readonly register: string
  readonly value: string
  readonly askedAtMs: number
  /** undefined: no answer. */
  readonly answeredAtMs: number | undefined
  /** `unclear`: no answer, or one that promises nothing. What was refused is not written down. */
  readonly verdict: 'kept' | 'unclear'
}

/** What a register was seen to be, by whatever shows it, at some moment between asked and answered. */
export interface RegisterRead {
  readonly register: string
  readonly value: string
  readonly askedAtMs: number
  readonly answeredAtMs: number
  /** How it was seen, for a finding. */
  readonly by: string
}

export const absent = '-'

/** One call of many lines, to /v1/commands or /v1/devices. */
export interface LineCallSeen {
  readonly call: number
  readonly path: string
  /** Undefined while, or when, nothing was answered. */
  http: number | undefined
  /** Lines written to it, blank ones too. */
  sent: number
  /** Line numbers written that were no JSON, on purpose, and those that were blank. */
  readonly bad: Set<number>
  readonly blank: Set<number>
  /** Line numbers as they were answered, with the status of each. */
  readonly answers: { readonly line: number; readonly status: number }[]
  /** `whole`: all was written, and the answer came to its end. */
  end: 'open' | 'whole' | 'broken' | 'unreached'
}

/** One broadcast that was asked for, however many requests it took. */
export interface BroadcastAsk {
  /** In its payload, the same for all members. */
  readonly n: number
  /** `b<n>`. */
  readonly name: string
  readonly tag: string
  readonly channel: string
  readonly expect: 'ack' | 'reply'
  readonly ttlMs: number
  readonly rate: number | undefined
  readonly stopAfterFailures: number | undefined
  /** The path of the receiver to which outcomes are posted. */
  readonly callback: string | undefined
  readonly attempts: BroadcastAttempt[]
  readonly stops: BroadcastStop[]
}

export interface BroadcastAttempt {
  readonly askedAtMs: number
  answeredAtMs: number | undefined
  verdict: 'pending' | 'accepted' | 'unreached' | 'refused' | 'unavailable' | 'unclear'
  id: string | undefined
  devices: number | undefined
  /** The answer was: nobody has the tag. */
  nobody: boolean
}

export interface BroadcastStop {
  /** undefined: no answer. */
  readonly http: number | undefined
  readonly state: string | undefined
  readonly waiting: number | undefined
}

/** A broadcast as the gateway reported it when all was over. */
export interface BroadcastSeen {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly devices: number
  readonly waiting: number
  readonly open: number
  readonly ended: Readonly<Record<string, number>>
  readonly members: readonly {
    readonly device: string
    readonly command: string | undefined
    readonly status: string
  }[]
}

/** Events of these are pushed to the receiver from before the first of them. */
export interface Hook {
  readonly name: string
  readonly types: readonly string[] | undefined
  readonly device: string | undefined
}

/** One request that came whole to the receiver, whatever it answered. */
export interface Push {
  readonly atMs: number
  /** `webhook-id`. */
  readonly id: string
  readonly path: string
  readonly webhook: string
  readonly items: readonly {
    readonly id: string
    readonly device: string
    readonly command: string | undefined
    /** As in {@link LogEntry}. */
    readonly body: string
  }[]
  /** Why the signature does not fit; undefined: it fits. */
  readonly notGenuine: string | undefined
  /** `cut`: taken, and the connection torn before the answer. */
  readonly answer: 'taken' | 'refused' | 'silent' | 'cut'
}

/** A webhook's own word, when all was over. */
export interface HookStatus {
  readonly name: string
  readonly waiting: number
  readonly deadLetters: number
}

/** `GET /v1/apps/default`. */
export interface AppCounts {
  readonly accepted: number
  readonly open: number
  readonly ended: Readonly<Record<string, number>>
}
