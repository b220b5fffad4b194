import type {
  AppId,
  ChannelName,
  DeviceId,
  Downlink,
  KeptCommand,
  Link,
  LinkId,
  Reason,
  Session,
  Trail,
} from '../../src/contract/index.ts'
import type { Template } from './template.ts'
import type { Wanted } from './topics.ts'

/** What a channel asks of its client. */
export interface ChannelHost {
  readonly app: AppId
  readonly device: DeviceId
  /** Who speaks for it, if not itself. */
  readonly via: DeviceId | undefined
  readonly protocol: string
  readonly peer: string
  readonly client: string
  trailOf(name: ChannelName): Trail
  /** Why we ended the connection, if we did. */
  whyEnded(): Reason | undefined
  carries(channel: MqttChannel, command: KeptCommand): boolean
  deliver(channel: MqttChannel, downlink: Downlink): 'open' | 'full'
  /** It is on its way, and nothing in its topic tells it from others. */
  remember(command: KeptCommand): void
  /** The connection it is on is old. */
  leave(spreadMs: number): void
  /** The core ends the link: of a device's own that is the end of the connection. */
  close(reason: Reason, retryAfterMs?: number): void
}

/**
 * One channel a client subscribed to: a link for the core, a session for the client.
 */
export class MqttChannel implements Link {
  readonly id: LinkId
  readonly name: ChannelName
  readonly qos: 0 | 1
  readonly template: Template
  readonly prefix: string
  /** How many filters ask for it. */
  filters = 1
  full = false
  session: Session | undefined
  /** Set when the core closed the link before its session was here. */
  refused: { readonly reason: Reason; readonly retryAfterMs: number | undefined } | undefined
  readonly trail: Trail
  readonly #host: ChannelHost

  constructor(
    host: ChannelHost,
    id: LinkId,
    name: ChannelName,
    qos: 0 | 1,
    { template, prefix }: Wanted,
  ) {
    this.#host = host
    this.id = id
    this.trail = host.trailOf(name)
    this.name = name
    this.qos = qos
    this.template = template
    this.prefix = prefix
  }

  get app(): AppId {
    return this.#host.app
  }

  get device(): DeviceId {
    return this.#host.device
  }

  get via(): DeviceId | undefined {
    return this.#host.via
  }

  get protocol(): string {
    return this.#host.protocol
  }

  get peer(): string {
    return this.#host.peer
  }

  get client(): string {
    return this.#host.client
  }

  /** Rule 23. */
  get acknowledges(): boolean {
    return this.qos > 0
  }

  /** @returns the session it had. */
  end(): Session | undefined {
    const { session } = this
    this.session = undefined
    return session
  }

  remember(command: KeptCommand): void {
    this.#host.remember(command)
  }

  // What the core does.

  carries(command: KeptCommand): boolean {
    return this.#host.carries(this, command)
  }

  deliver(downlink: Downlink): 'open' | 'full' {
    return this.#host.deliver(this, downlink)
  }

  /** No server may ask; the client's keep-alive decides (rule 21), and `MqttClient` watches it. */
  probe(): boolean {
    return false
  }

  ended(): Reason | undefined {
    return this.#host.whyEnded()
  }

  leave(spreadMs: number): void {
    this.#host.leave(spreadMs)
  }

  close(reason: Reason, retryAfterMs?: number): void {
    if (this.session === undefined) this.refused ??= { reason, retryAfterMs }
    else this.#host.close(reason, retryAfterMs)
  }
}
