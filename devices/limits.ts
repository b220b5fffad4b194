/** Every bound of the device side: its name, its default, and what happens there. */
export const deviceLimits = {
  /** Uplinks in one channel's outbox. At the bound: `send` answers `outbox-full`; see `replyReserve`. */
  outboxMaxMessages: 1_000,
  /** Payload bytes in one channel's outbox. At the bound: as above. */
  outboxMaxBytes: 1_048_576,
  /** Of the messages above, kept free for replies. When gone too, commands wait unanswered. */
  replyReserve: 32,
  /** Payload of one uplink. Above: `send` answers `too-large`. */
  payloadMaxBytes: 48 * 1024,
  /** Name of an event or reason of a reply, bytes of UTF-8. Above: `too-large`. */
  nameMaxBytes: 128,
  /** Commands the server may have out on one channel. One more breaks the protocol. */
  windowMaxCommands: 16,
  /** One frame from the server. Above: the connection is closed. */
  frameMaxBytes: 64 * 1024,
  /** The same until the server has proved itself. */
  handshakeFrameMaxBytes: 1024,
  /** Names remembered on each direction of a connection. Further ones travel as text. */
  bindingsMax: 64,
  /** Payloads and bytes in one BATCH frame; what follows goes in the next. */
  batchMaxMessages: 64,
  batchMaxBytes: 4 * 1024,
  /** Bytes waiting in the socket. Above: unreliable events are refused as `busy`, others wait. */
  linkMaxBytes: 256 * 1024,
  /** Connecting and both handshakes. Above: given up, tried again after the delay. */
  startTimeoutMs: 10_000,
  /** How long a polite goodbye may take before the socket is destroyed. */
  goodbyeMs: 2_000,
  /** Epochs of which the last offset is remembered; older ones are forgotten. */
  epochsMax: 16,
} as const

export type DeviceLimits = { readonly [name in keyof typeof deviceLimits]: number }
