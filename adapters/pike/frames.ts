/**
 * The frames of Pike/1: numbers, fields, flags. The layout in bytes is in `docs/pike-protocol.md`.
 *
 *     TTTTFFFF | length (varint) | body
 *
 * Numbers on the wire are unsigned LEB128 in minimal form, at most 8 bytes and 2^53-1; `bytes` are
 * a length and that many octets; `text` is UTF-8 in `bytes`.
 */

export const version = 1

/** High nibble of the first byte. 13 and 14 are reserved; 0 is never used. */
export const frameType = {
  epoch: 1,
  auth: 2,
  welcome: 3,
  ping: 4,
  pong: 5,
  command: 6,
  event: 7,
  reply: 8,
  ack: 9,
  batch: 10,
  goaway: 11,
  close: 12,
  hello: 15,
} as const

/** Low nibble. On every frame of a channel; absent: channel 0, the connection's first. */
export const flagChannel = 0x8
/** Channels of one connection are numbered 0 to this. */
export const channelNumberMax = 63

export const epochMax = 0xffff_ffff
export const nonceBytes = 12
export const proofBytes = 32
/** Longest `text` anywhere, names included. */
export const textMaxBytes = 1024
export const batchMax = 256
export const extensionsMax = 32
export const endpointsMax = 16

/**
 * What either end can do. WELCOME carries the intersection; nothing else may be used. `stretched` is
 * the client's alone and never in WELCOME: its secret is weak, so the challenge is to say scrypt.
 */
export const capability = { batch: 1, bindings: 2, stretched: 4, independent: 8 } as const
/** Even: who does not know one passes over it. */
export const welcomeTag = {
  /** No value: this channel is independent, and its connection carries no other. */
  independent: 2,
} as const
export const capabilityMax = 0xffff_ffff

/** Words whose place in the list is their number on the wire. */
export const kdfCodes = ['hkdf', 'scrypt'] as const
export const resumedCodes = ['fresh', 'resumed', 'tail-lost'] as const
export const replyStatuses = ['done', 'failed', 'rejected'] as const

/**
 * A name, or the number it was given. The first time a name goes over a connection in one direction
 * as text, it takes the next number of that direction, from 0, until the receiver's `bindingsMax`
 * are taken; later frames may carry the number, on any channel. Names over 64 bytes take none. A name
 * that has a number may still be sent as text; it keeps its number.
 *
 *     nameRef = value * 4 + (payload is bytes ? 2 : 0) + (number ? 1 : 0)
 *     value   = the number, or the length of the text that follows
 */
export const bindingNameMaxBytes = 64

/** C→S. The first opens the connection; a further one opens one more channel on it. Flags: version. */
export interface HelloFrame {
  readonly type: 'hello'
  readonly version: number
  readonly capabilities: number
  /** 0 in the first HELLO; the client's choice, 1 to 63, in further ones. */
  readonly channelNumber: number
  /** Empty text means the default app. */
  readonly app: string
  readonly device: string
  readonly channel: string
  /** 12 bytes. Empty: a further HELLO for a device already proved here, or AUTH `secret` follows. */
  readonly nonce: Uint8Array
  readonly resume: { readonly epoch: number; readonly offset: number } | undefined
  /** 0: uplinks of this channel are not numbered, so none may be reliable. */
  readonly uplinkEpoch: number
  /** Seconds; 0 in both: the server chooses. */
  readonly keepaliveMinS: number
  readonly keepaliveMaxS: number
  /** What the client can take: a whole frame in bytes, commands unacknowledged, names remembered. */
  readonly frameMaxBytes: number
  readonly windowMax: number
  readonly bindingsMax: number
  readonly extensions: readonly Extension[]
}

/** An odd tag is critical: who does not know it closes with `unsupported`. Even ones are skipped. */
export interface Extension {
  readonly tag: number
  readonly value: Uint8Array
}

/** Flags: the method in the lower three bits, and the channel flag. */
export type AuthFrame =
  /** 0, S→C. `kdf`: 0 hkdf, 1 scrypt, as HELLO asked by `stretched`. Nonce of 12 bytes. */
  | {
      readonly type: 'auth'
      readonly channelNumber: number
      readonly method: 'challenge'
      readonly kdf: 'hkdf' | 'scrypt'
      readonly nonce: Uint8Array
    }
  /** 1, C→S. 32 bytes: ClientKey XOR HMAC(StoredKey, HELLO frame ‖ challenge frame). */
  | {
      readonly type: 'auth'
      readonly channelNumber: number
      readonly method: 'proof'
      readonly proof: Uint8Array
    }
  /** 2, C→S, inside TLS only, straight after HELLO without waiting for the challenge. */
  | {
      readonly type: 'auth'
      readonly channelNumber: number
      readonly method: 'secret'
      readonly secret: string
    }

/** S→C: the channel is open. */
export interface WelcomeFrame {
  readonly type: 'welcome'
  readonly channelNumber: number
  readonly capabilities: number
  /** 32 bytes: HMAC(ServerKey, HELLO frame ‖ challenge frame); empty when no proof was asked. */
  readonly proof: Uint8Array
  /** 0, 1, 2. */
  readonly resumed: 'fresh' | 'resumed' | 'tail-lost'
  /** Delivery starts after this; coming commands are numbered in this epoch until EPOCH says otherwise. */
  readonly epoch: number
  readonly offset: number
  /** Last sequence kept of the client's uplink epoch. */
  readonly uplinkKept: number
  readonly keepaliveS: number
  readonly frameMaxBytes: number
  /** Commands the server sends before it waits for an acknowledgement. */
  readonly windowMax: number
  /** Uplinks the client may send before it waits for an acknowledgement. */
  readonly uplinkWindowMax: number
  readonly bindingsMax: number
  /**
   * ms since 1970. Deadlines of COMMAND count from the moment this frame was made. A client counts
   * from when it sent the last frame before it (AUTH, or a further HELLO): earlier, so never late.
   */
  readonly timeMs: number
  /** For tracing: the same token names this connection on the server. */
  readonly connection: string
  /** Reconnect policy, ms; 0: the client's own. */
  readonly reconnectBaseMs: number
  readonly reconnectMaxMs: number
  readonly extensions: readonly Extension[]
}

/** S→C: the commands that follow on this channel were numbered in this epoch. */
export interface EpochFrame {
  readonly type: 'epoch'
  readonly channelNumber: number
  readonly epoch: number
}

/** Empty. */
export interface PingFrame {
  readonly type: 'ping'
}

/** Empty, or from the server with a new interval. */
export interface PongFrame {
  readonly type: 'pong'
  readonly keepaliveS: number | undefined
}

/** S→C. Flags: 1 reply expected, 2 now, 4 repeated. Body: offset, deadline, nameRef, payload. */
export interface CommandFrame {
  readonly type: 'command'
  readonly channelNumber: number
  readonly offset: number
  /** ms after WELCOME; the device refuses the command when it is over. */
  readonly deadlineMs: number
  readonly name: string
  readonly payload: Uint8Array
  /** False: JSON. */
  readonly binary: boolean
  readonly replyExpected: boolean
  readonly now: boolean
  readonly repeated: boolean
}

/** C→S. Flags: 1 unreliable, without a sequence. Body: [sequence], nameRef, payload. */
export interface EventFrame {
  readonly type: 'event'
  readonly channelNumber: number
  /** undefined: unreliable; kept if it arrives, never acknowledged. */
  readonly sequence: number | undefined
  readonly name: string
  readonly payload: Uint8Array
  readonly binary: boolean
}

/** C→S. Several reliable events of one name, numbered consecutively from `sequence`. */
export interface BatchFrame {
  readonly type: 'batch'
  readonly channelNumber: number
  readonly sequence: number
  readonly name: string
  readonly binary: boolean
  /** 1 to 256. */
  readonly payloads: readonly Uint8Array[]
}

/**
 * C→S. A reliable uplink that answers a command and acknowledges it. Flags: 1 a reason, 2 an epoch
 * (when the command was numbered in another than WELCOME named), 4 payload is bytes.
 * Body: sequence, [epoch], offset, status (0 done, 1 failed, 2 rejected), [reason], payload.
 */
export interface ReplyFrame {
  readonly type: 'reply'
  readonly channelNumber: number
  readonly sequence: number
  readonly epoch: number | undefined
  readonly offset: number
  readonly status: 'done' | 'failed' | 'rejected'
  readonly reason: string | undefined
  readonly payload: Uint8Array
  readonly binary: boolean
}

/** C→S: offset; S→C: sequence. Everything up to and with it. */
export interface AckFrame {
  readonly type: 'ack'
  readonly channelNumber: number
  readonly upTo: number
}

/** S→C: finish what is in hand, close, come back within `spreadMs` at one of the endpoints. */
export interface GoawayFrame {
  readonly type: 'goaway'
  readonly code: number
  readonly spreadMs: number
  readonly endpoints: readonly { readonly endpoint: string; readonly weight: number }[]
}

/** With the channel flag: that channel ends. Without: the connection. */
export interface CloseFrame {
  readonly type: 'close'
  readonly channelNumber: number | undefined
  readonly code: number
  readonly retryAfterS: number
  readonly text: string
}

/** A reserved type this end does not know. Flag 1: critical, close with `unsupported`. */
export interface UnknownFrame {
  readonly type: 'unknown'
  readonly number: number
  readonly critical: boolean
}

export type Frame =
  | HelloFrame
  | AuthFrame
  | WelcomeFrame
  | EpochFrame
  | PingFrame
  | PongFrame
  | CommandFrame
  | EventFrame
  | BatchFrame
  | ReplyFrame
  | AckFrame
  | GoawayFrame
  | CloseFrame
  | UnknownFrame

/**
 * Why a connection or channel ends. The range says what the client does next, so that codes it has
 * never heard of are no riddle: 0–63 normal, 64–127 come back after a backoff, 128–191 come back
 * elsewhere, 192–255 do not come back until reconfigured.
 */
export const closeCode = {
  normal: 0,
  independent: 1,
  shared: 2,
  'taken-over': 64,
  conflict: 65,
  'keepalive-expired': 66,
  unresponsive: 67,
  'too-slow': 68,
  'handshake-timeout': 69,
  overloaded: 70,
  'rate-limited': 71,
  unavailable: 72,
  'going-away': 128,
  malformed: 192,
  'protocol-error': 193,
  'too-large': 194,
  'unknown-channel': 195,
  unsupported: 196,
  unauthorized: 197,
  'device-removed': 198,
  'device-disabled': 199,
} as const

/** What a code asks of who receives it. */
export const nextStep = (code: number): 'now' | 'later' | 'elsewhere' | 'never' =>
  code < 64 ? 'now' : code < 128 ? 'later' : code < 192 ? 'elsewhere' : 'never'
