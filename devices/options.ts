import { connect as connectTcp, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { Clock, Epoch, Position, Sequence } from '../src/contract/index.ts'
import type { Command, Respond } from './command.ts'
import type { State, StopReason } from './lifecycle.ts'
import type { DeviceLimits } from './limits.ts'
import type { SendFailure } from './outbox.ts'
import type { ReconnectPolicy } from './reconnect.ts'
import type { OpenSession } from './session.ts'
import type { DeviceStorage } from './storage.ts'

export interface PikeClientOptions {
  readonly host: string
  readonly port: number
  /** True, or what `tls.connect` takes, e.g. `{ ca }`. Without it the wire is open to read. */
  readonly tls?: boolean | ConnectionOptions
  /** `default` when absent. */
  readonly app?: string
  readonly device: string
  readonly secret: string
  /** At most 64; the first is where `send` sends. `main` and `urgent` when absent. */
  readonly channels?: readonly string[]
  /** Seconds between beats this device can bear; absent: the server chooses. */
  readonly keepalive?: { readonly minS: number; readonly maxS: number }
  /** Absent: in memory, so that a restart of the process starts over. */
  readonly storage?: DeviceStorage
  /** What WELCOME does not dictate. */
  readonly reconnect?: ReconnectPolicy
  /**
   * For a device that nobody visits: refused for good (disabled, removed, another secret) it asks again
   * after so long, an hour at least, in case somebody changed their mind. Absent: it is `stopped`.
   */
  readonly refusedRetryMs?: number
  readonly limits?: Partial<DeviceLimits>
  readonly clock?: Clock
  /** 0 up to, not including, 1. */
  readonly random?: () => number
  /** Instead of a TCP or TLS socket, e.g. for tests. May be written to before it is connected. */
  readonly connect?: () => Duplex
  /** Another protocol than Pike, e.g. `httpSession`. */
  readonly session?: OpenSession
}

export interface SendReport {
  readonly channel: string
  readonly kind: 'event' | 'reply'
  /** 0: it never got one. */
  readonly sequence: Sequence
  readonly uplinkEpoch: Epoch
  /** Of an event; empty for a reply. */
  readonly name: string
}

export interface RunningReport {
  /** Names this connection at the server, for tracing. */
  readonly connection: string
  readonly keepaliveMs: number
  readonly channels: readonly {
    readonly channel: string
    readonly resumed: 'fresh' | 'resumed' | 'tail-lost'
  }[]
}

/** What a client tells: the names of Pike's life cycle, and what went not as it should. */
export interface PikeClientEvents {
  /** Every change of state; the four below are the same by name. */
  state: [State]
  starting: []
  waiting: [{ readonly why: string; readonly untilMs: number }]
  running: [RunningReport]
  stopped: [StopReason]
  /** Act on it, and answer if `replyExpected`. What it returns is awaited before the next one. */
  receive: [Command, Respond]
  /** It came after its deadline; it was refused without asking. */
  late: [Command]
  /** The server has it, durable. */
  sendSuccess: [SendReport]
  /** It was not taken, or can never be sent; nothing of it is left. */
  sendFailure: [SendReport & { readonly reason: SendFailure }]
  /** The server does not know where we stood: it may have lost commands, and may repeat some. */
  tailLost: [
    { readonly channel: string; readonly claimed: Position | undefined; readonly now: Position },
  ]
  /** By the gateway's configuration this channel goes by a connection of its own now, or with the others again. */
  moved: [{ readonly channel: string; readonly connection: 'independent' | 'shared' }]
  /** A receiver threw. Without a listener it becomes a process warning. */
  fault: [unknown, Command]
}

/** A socket for these options; it connects by itself. */
export function openSocket(options: PikeClientOptions): Duplex {
  const { host, port, tls } = options
  if (options.connect !== undefined) return options.connect()
  if (tls === undefined || tls === false)
    return connectTcp({ host, port, noDelay: true, keepAlive: false })
  // RFC 6066 §3: a server name is never an address; the certificate is checked against it all the same.
  const name = isIP(host) === 0 ? { servername: host } : {}
  const socket = connectTls({ ...name, ...(tls === true ? {} : tls), host, port })
  socket.setNoDelay(true)
  return socket
}
