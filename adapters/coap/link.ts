import type {
  ChannelName,
  CommandId,
  DeviceId,
  Downlink,
  KeptCommand,
  Link,
  LinkId,
  Reason,
  Session,
  Trail,
} from '../../src/contract/index.ts'
import { commandId } from '../../src/contract/index.ts'
import { commandBody } from './command-body.ts'
import type { Refused } from './speaking.ts'

/** How the commands of a link get to the device: observed, polled for, or pushed to its own server. */
export interface Way {
  /** What the link says when it is given a command: does it take more before it asks? */
  readonly takes: 'open' | 'full'
  /** Can it carry it at all? */
  carries(command: KeptCommand): boolean
  /** The link holds a command. */
  offered(link: CoapLink): void
  /** The core has ended the link; it has left its device already. */
  closed(link: CoapLink, reason: Reason, retryAfterMs: number | undefined): void
}

/** What a link asks of its device. */
export interface LinkHost {
  readonly address: string
  readonly via: DeviceId | undefined
  trailOf(channel: ChannelName): Trail
  /** Ask for a sign of life. */
  ping(): void
  linkClosed(link: CoapLink): void
}

/** A command that was taken and is not acknowledged yet. */
export class Held {
  readonly command: KeptCommand
  #repeated: boolean
  #body: Buffer | undefined
  /** It was on the wire. */
  written = false
  /** The device's stack has it, or its first block: the device itself says when it has all of it. */
  isTheirs = false
  /** Its device asked for it though it is observed. */
  isPolled = false

  constructor({ command, repeated }: Downlink) {
    this.command = command
    this.#repeated = repeated
  }

  /** Is that its id, or the place it lies at? Of one that was scheduled these are two. */
  isNamed(id: CommandId): boolean {
    const { command } = this
    const { channel, epoch, offset } = command
    return command.id === id || commandId(channel, epoch, offset) === id
  }

  get repeated(): boolean {
    return this.#repeated
  }

  /** It is about to go out. Another message with what was on the wire says so (promise 5). */
  goes(): void {
    if (!this.written || this.#repeated) return
    this.#repeated = true
    this.#body = undefined
  }

  get body(): Buffer {
    this.#body ??= commandBody(this)
    return this.#body
  }

  /** Handing it over is still allowed, and it was not done before where that must not be twice. */
  mayBeWritten(nowMs: number): boolean {
    if (nowMs >= this.command.expiresAtMs) return false
    return !(this.written && this.command.delivery === 'now') // rule 5
  }
}

/** One channel of one device: a link for the core. It holds at most one command. */
export class CoapLink implements Link {
  readonly id: LinkId
  readonly channel: ChannelName
  readonly trail: Trail
  readonly #host: LinkHost
  way: Way
  /** undefined before its attach and after its end. */
  session: Session | undefined
  held: Held | undefined
  /** The core ended it, perhaps before it was attached. */
  closedBy: Refused | undefined
  #started = false

  constructor(host: LinkHost, id: LinkId, channel: ChannelName, way: Way) {
    this.#host = host
    this.id = id
    this.channel = channel
    this.trail = host.trailOf(channel)
    this.way = way
  }

  get protocol(): string {
    return 'coap'
  }

  get peer(): string {
    return this.#host.address
  }

  get via(): DeviceId | undefined {
    return this.#host.via
  }

  /** The device has been told; commands may follow. */
  start(): void {
    if (this.#started) return
    this.#started = true
    this.session?.start()
  }

  /** The device has what is held: what comes next may be offered within this call. */
  acknowledged(held: Held): void {
    if (this.held !== held) return
    this.held = undefined
    this.session?.acknowledge(held.command.offset)
  }

  /** It was answered by another way: the core knows. */
  forget(id: string): void {
    if (this.held?.isNamed(id) === true) this.held = undefined
  }

  /** The adapter ends it. */
  detach(graceful: boolean, backAtMs?: number): void {
    const { session } = this
    this.session = undefined
    this.held = undefined
    session?.detach(graceful, backAtMs)
  }

  // What the core does.

  carries(command: KeptCommand): boolean {
    return this.way.carries(command)
  }

  deliver(downlink: Downlink): 'open' | 'full' {
    // One that was held before has ended: the window is of one.
    this.held = new Held(downlink)
    const { takes } = this.way
    this.way.offered(this)
    return takes
  }

  probe(): boolean {
    this.#host.ping()
    return true
  }

  close(reason: Reason, retryAfterMs?: number): void {
    const wasAttached = this.session !== undefined
    this.closedBy ??= { kind: 'refused', reason, retryAfterMs }
    this.session = undefined
    this.held = undefined
    if (!wasAttached) return
    this.#host.linkClosed(this)
    this.way.closed(this, reason, retryAfterMs)
  }
}
