/** Bodies of the HTTP API, as far as the command line reads them. Times are RFC 3339. */

export interface Payload {
  readonly payload?: unknown
  readonly payloadBase64?: string
  readonly contentType?: string
}

export interface Reply extends Payload {
  readonly status: string
  readonly reason?: string
}

export interface CommandBody {
  readonly id: string
  readonly device: string
  readonly channel: string
  readonly name?: string
  readonly status: string
  /** Absent in a 202. */
  readonly ended?: boolean
  readonly reason?: string
  readonly expiresAt?: string
  readonly reply?: Reply
  readonly timeline?: readonly { status: string; at: string; reason?: string; late?: true }[]
}

export interface ExplanationBody {
  readonly code: string
  readonly sentence: string
  readonly command?: CommandBody
  readonly [more: string]: unknown
}

export interface DeviceBody {
  readonly device: string
  readonly secret?: string
  readonly disabled?: boolean
  readonly tags?: readonly string[]
  readonly attributes?: Readonly<Record<string, unknown>>
  readonly presence?: {
    readonly state: string
    readonly since?: string
    readonly heardAt?: string
    readonly protocol?: string
  }
  readonly mailbox?: { readonly commands: number; readonly oldestAt?: string }
}

export interface EventBody extends Payload {
  readonly id: string
  readonly type: string
  readonly device: string
  readonly channel?: string
  readonly at: string
  readonly name?: string
  /** Id of the command it is about. */
  readonly command?: string
  readonly status?: string
  readonly state?: string
  readonly reason?: string
}

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly next?: string | null
  /** Of events, which always have a next page. */
  readonly caughtUp?: boolean
}

/** RFC 9457. */
export interface Problem {
  readonly type?: string
  readonly title?: string
  readonly detail?: string
  /** Of `not-cancelable`. */
  readonly commandStatus?: string
  /** Of `cursor-gone`. */
  readonly oldest?: string
}
