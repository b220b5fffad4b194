import type {
  ChannelName,
  CommandId,
  Core,
  DeviceId,
  Downlink,
  Epoch,
  Link,
  LinkId,
  Offset,
  Position,
  Reason,
  Session,
  Trail,
} from '../../src/contract/index.ts'
import { byPlace } from '../../src/contract/index.ts'
import { numberingName } from './position.ts'
import { type Refusal, refusalOf } from './problems.ts'
import type { Visitor } from './visitors.ts'

/** How a link came to its end. */
export interface Closed {
  readonly reason: Reason
  readonly retryAfterMs: number | undefined
}

export type Acknowledged = 'ok' | 'not-sent' | 'other-epoch' | 'over'

/** What a link is made of. */
export interface LinkParts {
  readonly core: Core
  readonly id: LinkId
  readonly visitor: Visitor
  readonly channel: ChannelName
  readonly peer: string
}

/** Names the receiver that these links are: as it is told, and said back with a goodbye. */
export const receiverOf = (links: readonly HttpLink[]): string =>
  links.map(({ id }) => id).join('.')

/** One channel attached over HTTP, by polls or by a stream: what the two have in common. */
export abstract class HttpLink implements Link {
  readonly id: LinkId
  readonly peer: string
  readonly channel: ChannelName
  readonly via: DeviceId | undefined
  readonly trail: Trail
  protected readonly core: Core
  protected readonly visitor: Visitor
  /** Why it is over, by the core. */
  closed: Closed | undefined
  #session: Session | undefined
  /** Last said to the device. */
  #epoch: Epoch = 0
  /** All that were said to it on this link; a position in any other is for the core to judge. */
  readonly #epochs = new Set<Epoch>()
  /** It has all up to here. */
  #acknowledged: Offset = 0
  /** Nothing beyond was written to it. */
  #written: Offset = 0

  constructor({ core, id, visitor, channel, peer }: LinkParts) {
    this.core = core
    this.id = id
    this.visitor = visitor
    this.channel = channel
    this.peer = peer
    this.via = visitor.via
    this.trail = visitor.trail.as(visitor.app, visitor.device, channel)
  }

  get protocol(): string {
    return 'http'
  }

  /** undefined before its start and after its end. */
  get session(): Session | undefined {
    return this.#session
  }

  /** Where the device stands, as it says it back. */
  get standing(): { readonly epoch: string; readonly after: string } {
    return {
      epoch: numberingName(this.channel, this.#epoch),
      after: `${this.#acknowledged}`,
    }
  }

  /**
   * Attach it; of those the device has, the newest wins.
   * @param resumeFrom where it says it stands.
   * @param goesOn in place of a link that it gave up.
   */
  async attach(
    resumeFrom: Position | undefined,
    windowMaxCommands: number | undefined,
    goesOn: boolean,
  ): Promise<Refusal | undefined> {
    const { app, device, links } = this.visitor
    const attached = await this.core.attach(this, {
      app,
      device,
      channel: this.channel,
      ...(resumeFrom !== undefined && { resumeFrom }),
      ...(windowMaxCommands !== undefined && { windowMaxCommands }),
      ...(goesOn && { goesOn }),
    })
    if (attached.kind === 'refused') return refusalOf(attached.reason, attached.retryAfterMs)
    const { session } = attached
    if (this.closed !== undefined) return refusalOf(this.closed.reason, this.closed.retryAfterMs)
    this.#session = session
    links.set(this.channel, this)
    this.#epoch = session.position.epoch
    this.#epochs.add(session.position.epoch)
    if (resumeFrom !== undefined && session.resumed === 'resumed')
      this.#epochs.add(resumeFrom.epoch)
    this.#acknowledged = session.position.offset
    this.#written = session.position.offset
    return undefined
  }

  carries(): boolean {
    return true
  }

  abstract deliver(downlink: Downlink): 'open' | 'full'

  abstract probe(): boolean

  leave(spreadMs: number): void {
    this.finish('going-away', Math.round(Math.random() * spreadMs))
  }

  close(reason: Reason, retryAfterMs?: number): void {
    if (this.closed !== undefined) return
    this.closed = { reason, retryAfterMs }
    this.#over()
    this.ending(this.closed)
  }

  /** End it from this side of the core. */
  finish(reason: Reason, retryAfterMs?: number): void {
    const session = this.#session
    this.close(reason, retryAfterMs)
    session?.detach(true)
  }

  /** The device is gone, or has to be taken for gone. */
  detach(graceful: boolean, backAtMs?: number): void {
    const session = this.#session
    if (session === undefined) return
    this.#over()
    session.detach(graceful, backAtMs)
  }

  /** It says that it has this one, and with `upTo` all before it too. */
  acknowledge({ epoch, offset }: Position, upTo: boolean): Acknowledged {
    const session = this.#session
    if (session === undefined) return 'over'
    if (offset <= this.#acknowledged) return 'ok'
    if (!this.#epochs.has(epoch)) return 'other-epoch'
    if (offset > this.#written) return 'not-sent'
    const outcome = upTo ? session.acknowledgeUpTo(offset) : session.acknowledge(offset)
    if (outcome === 'unknown') return 'not-sent'
    if (upTo) this.#acknowledged = offset
    return 'ok'
  }

  /** A request of its device arrived. */
  came(): void {
    this.#session?.touch()
  }

  /** A request of its device answers this probe. */
  probeAnswered(_probe: string): void {}

  /** Its reply is kept, which acknowledges it too. */
  replied(_id: CommandId): void {}

  /** Say what becomes of the device's requests that wait. Its session is over. */
  protected abstract ending(closed: Closed): void

  protected wrote({ command, repeated }: Downlink): void {
    const { id, epoch, offset, name, payload } = command
    const reason = repeated ? 'repeated' : undefined
    const known = command.notBeforeMs === undefined ? byPlace : id
    const seen = { command: known, epoch, offset, name, payload, reason }
    this.trail.frame('out', 'COMMAND', 0, seen)
    this.#epoch = command.epoch
    this.#epochs.add(command.epoch)
    if (command.offset > this.#written) this.#written = command.offset
    const { handedUpTo } = this.visitor
    if (command.offset > (handedUpTo.get(this.channel) ?? 0))
      handedUpTo.set(this.channel, command.offset)
  }

  #over(): void {
    this.#session = undefined
    const { links } = this.visitor
    if (links.get(this.channel) === this) links.delete(this.channel)
  }
}
