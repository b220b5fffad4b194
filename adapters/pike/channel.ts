import type {
  DeviceId,
  Downlink,
  Epoch,
  KeptCommand,
  Limits,
  Link,
  LinkId,
  Reason,
  Sequence,
  Session,
  TakenHere,
  Trail,
  Uplink,
} from '../../src/contract/index.ts'
import { byPlace, urgentChannel } from '../../src/contract/index.ts'
import type {
  BatchFrame,
  CommandFrame,
  EpochFrame,
  EventFrame,
  Frame,
  HelloFrame,
  ReplyFrame,
} from './frames.ts'
import { Outflow, type Waiting } from './outflow.ts'

/** What a channel asks of its connection. */
export interface ChannelHost {
  readonly peer: string
  readonly limits: Limits
  /** Longest frame the client takes. */
  readonly peerFrameMaxBytes: number
  /** @returns how many bytes it took. */
  send(frame: Frame): number
  /** So much waits for the client that no more should be sent. */
  isFull(): boolean
  isHeld(): boolean
  /** Is there an `urgent` channel beside it, which it may not delay? */
  yields(channel: PikeChannel): boolean
  /** undefined: the client would not understand that a channel is to have another connection. */
  connectionOf(channel: PikeChannel): 'shared' | 'own' | undefined
  /** Uplinks taken from the client and not yet settled. */
  countUplinks(change: number): void
  /** Something is to be acknowledged before the next write. */
  acknowledgeSoon(): void
  /** The connection it is on is old. */
  goAway(spreadMs: number): void
  /** The core ends the channel. */
  endChannel(channel: PikeChannel, reason: Reason, retryAfterMs: number | undefined): void
  fail(reason: Reason, text?: string, retryAfterMs?: number): void
}

/** Type, length, channel, offset, deadline and name reference at their longest. */
const commandHeadMaxBytes = 1 + 3 + 1 + 8 + 8 + 2
const json = 'application/json'
const octets = 'application/octet-stream'
/** A kept payload may hold this much memory beyond its own; else it is copied out of its chunk. */
const strayMaxBytes = 4096
const unavailableRetryMs = 2_000

interface Said extends Waiting {
  readonly frame: EpochFrame | CommandFrame
  readonly command: KeptCommand | undefined
}

/** Uplinks handed to the session together. */
interface Taken {
  readonly count: number
  /** Acknowledged once settled; 0: nothing to acknowledge. */
  readonly upTo: Sequence
  settled: boolean
}

/**
 * One channel of one connection: a link for the core, a session for the client.
 *
 *     sequences   acknowledged | settled, ACK due | taken, not settled | in this chunk
 *                            acked ^          upTo ^           received ^
 *
 * Its small state is what a silent device costs; lists are made when first needed.
 */
export class PikeChannel implements Link {
  readonly id: LinkId
  readonly trail: Trail
  readonly number: number
  via: DeviceId | undefined
  /** It has this connection to itself. */
  independent = false
  /** Nothing on its connection may delay it. */
  readonly urgent: boolean
  readonly #host: ChannelHost
  #session: Session | undefined
  /** Set when the core closed the link before it was welcomed, or its whole connection was ended. */
  refused: { readonly reason: Reason; readonly retryAfterMs: number | undefined } | undefined
  #welcomeMs = 0
  #welcomeEpoch: Epoch = 0
  /** The epoch last said to the client. */
  #saidEpoch: Epoch = 0
  readonly #uplinkEpoch: Epoch
  #received: Sequence = 0
  #upTo: Sequence = 0
  #acked: Sequence = 0
  #full = false
  #gathered: Uplink[] | undefined
  #taken: Taken[] | undefined
  /** Made when it first has to wait for `urgent`. */
  #outflow: Outflow<Said> | undefined

  constructor(
    host: ChannelHost,
    id: LinkId,
    trail: Trail,
    hello: Pick<HelloFrame, 'channelNumber' | 'channel' | 'uplinkEpoch'>,
  ) {
    this.#host = host
    this.id = id
    this.trail = trail
    this.number = hello.channelNumber
    this.urgent = hello.channel === urgentChannel
    this.#uplinkEpoch = hello.uplinkEpoch
  }

  get protocol(): string {
    return 'pike'
  }

  get peer(): string {
    return this.#host.peer
  }

  /** Its memory: what it numbers its uplinks by. */
  get client(): string | undefined {
    return this.#uplinkEpoch === 0 ? undefined : `uplinks ${this.#uplinkEpoch}`
  }

  /** undefined before its start and after its end. */
  get session(): Session | undefined {
    return this.#session
  }

  /** WELCOME has been made; deadlines count from then. */
  start(session: Session, welcomeMs: number): void {
    this.#session = session
    this.#welcomeMs = welcomeMs
    this.#welcomeEpoch = session.position.epoch
    this.#saidEpoch = session.position.epoch
    session.start()
  }

  /** @returns the session it had. */
  end(): Session | undefined {
    const session = this.#session
    this.#session = undefined
    this.#gathered = undefined
    this.#outflow = undefined
    return session
  }

  // What the core does.

  carries({ name, payload }: KeptCommand): boolean {
    const size = commandHeadMaxBytes + Buffer.byteLength(name) + payload.length
    return size <= this.#host.peerFrameMaxBytes
  }

  deliver({ command, repeated }: Downlink): 'open' | 'full' {
    if (this.#session === undefined) return 'full'
    if (command.epoch !== this.#saidEpoch) {
      this.#saidEpoch = command.epoch
      this.#say({ type: 'epoch', channelNumber: this.number, epoch: command.epoch }, undefined)
    }
    const frame = {
      type: 'command' as const,
      channelNumber: this.number,
      offset: command.offset,
      // A point in time, not time left: what a buffer holds for long is refused as late (rule 2).
      deadlineMs: Math.max(0, Math.floor(command.expiresAtMs - this.#welcomeMs)),
      name: command.name,
      payload: command.payload,
      binary: !command.contentType.startsWith(json),
      replyExpected: command.expect === 'reply',
      now: command.delivery === 'now',
      repeated,
    }
    this.#say(frame, command)
    // Once said it holds until `drained`, whatever else of this turn still comes and is taken.
    this.#full ||= this.#host.isFull() || this.#outflow?.isEmpty === false
    return this.#full ? 'full' : 'open'
  }

  probe(): boolean {
    this.#host.send({ type: 'ping' })
    return true
  }

  reads(): boolean {
    return !this.#host.isHeld()
  }

  connection(): 'shared' | 'own' | undefined {
    return this.#host.connectionOf(this)
  }

  ended(): Reason | undefined {
    return this.refused?.reason
  }

  leave(spreadMs: number): void {
    this.#host.goAway(spreadMs)
  }

  close(reason: Reason, retryAfterMs?: number): void {
    this.#host.endChannel(this, reason, retryAfterMs)
  }

  // What the client does.

  event(frame: EventFrame): void {
    if (!this.#fits(frame.name, frame.payload)) return
    const { sequence } = frame
    if (sequence === undefined) {
      this.#gather({
        name: frame.name,
        payload: own(frame.payload),
        contentType: frame.binary ? octets : json,
        expendable: true,
      })
    } else if (this.#grows(sequence, 1)) {
      this.#gatherStamped(frame, sequence, frame.payload)
    }
  }

  batch(frame: BatchFrame): void {
    let { sequence } = frame
    if (!this.#grows(sequence, frame.payloads.length)) return
    for (const payload of frame.payloads) {
      if (!this.#fits(frame.name, payload)) return
      this.#gatherStamped(frame, sequence++, payload)
    }
  }

  reply(frame: ReplyFrame): void {
    if (!this.#fits('', frame.payload) || !this.#grows(frame.sequence, 1)) return
    this.flush()
    const taken = this.#take(1, frame.sequence)
    this.#outflow?.acknowledged(frame.offset)
    if (this.#outflow?.isEmpty === false) this.#host.acknowledgeSoon()
    this.#session?.reply(
      {
        epoch: frame.epoch ?? this.#welcomeEpoch,
        offset: frame.offset,
        status: frame.status,
        ...(frame.reason !== undefined && { reason: frame.reason }),
        payload: own(frame.payload),
        contentType: frame.binary ? octets : json,
        stamp: { epoch: this.#uplinkEpoch, sequence: frame.sequence },
      },
      // A reply to a command nobody knows must not be sent for ever, so it is answered like a kept one.
      (outcome) => this.#settle(taken, outcome === 'unavailable' ? outcome : 'kept'),
    )
  }

  acknowledge(upTo: number): void {
    this.#outflow?.acknowledgedUpTo(upTo)
    if (this.#outflow?.isEmpty === false) this.#host.acknowledgeSoon()
    if (this.#session?.acknowledgeUpTo(upTo) === 'unknown') {
      // Rule 12.
      this.#host.fail('protocol-error', 'an acknowledgement of what was not sent')
    }
  }

  /** Hand over what this chunk brought. */
  flush(): void {
    const gathered = this.#gathered
    if (gathered === undefined || this.#session === undefined) return
    this.#gathered = undefined
    let upTo = 0
    for (const { stamp } of gathered) if (stamp !== undefined) upTo = stamp.sequence
    const taken = this.#take(gathered.length, upTo)
    this.#session.receive(gathered, (outcome) => this.#settle(taken, outcome))
  }

  /** The sequence to acknowledge now; 0: none. Asking counts as doing. */
  dueAck(): Sequence {
    if (this.#upTo <= this.#acked) return 0
    this.#acked = this.#upTo
    return this.#upTo
  }

  /** Before a write, when all that is urgent has been said. */
  release(): void {
    if (this.#outflow === undefined || this.#outflow.isEmpty) return
    for (const { frame, command } of this.#outflow.take(this.#host.yields(this)))
      this.#write(frame, command)
  }

  drained(): void {
    if (!this.#full || this.#outflow?.isEmpty === false) return
    this.#full = false
    this.#session?.drained()
  }

  /** Beside `urgent` it waits until what else this turn brings is said. */
  #say(frame: EpochFrame | CommandFrame, command: KeptCommand | undefined): void {
    const yields = this.#host.yields(this)
    if (!yields && (this.#outflow === undefined || this.#outflow.isEmpty)) {
      this.#write(frame, command)
      return
    }
    this.#outflow ??= new Outflow(this.#host.limits.besideUrgentMaxBytes)
    const offset = command?.offset ?? 0
    this.#outflow.add({ frame, command, offset, bytes: command?.payload.length ?? 0 })
    this.#host.acknowledgeSoon()
  }

  #write(frame: EpochFrame | CommandFrame, command: KeptCommand | undefined): void {
    const bytes = this.#host.send(frame)
    if (frame.type === 'epoch' || command === undefined) return
    const { id, epoch, offset, name, payload } = command
    const reason = frame.repeated ? 'repeated' : undefined
    const known = command.notBeforeMs === undefined ? byPlace : id
    const seen = { command: known, epoch, offset, name, payload, reason }
    this.trail.frame('out', 'COMMAND', bytes, seen)
  }

  #gatherStamped(
    frame: { readonly name: string; readonly binary: boolean },
    sequence: Sequence,
    payload: Uint8Array,
  ): void {
    this.#gather({
      name: frame.name,
      payload: own(payload),
      contentType: frame.binary ? octets : json,
      stamp: { epoch: this.#uplinkEpoch, sequence },
    })
  }

  #gather(uplink: Uplink): void {
    if (this.#gathered === undefined) this.#gathered = [uplink]
    else this.#gathered.push(uplink)
  }

  #take(count: number, upTo: Sequence): Taken {
    const taken: Taken = { count, upTo, settled: false }
    this.#taken ??= []
    this.#taken.push(taken)
    this.#host.countUplinks(count)
    return taken
  }

  /** Never 'stale': what a client numbers is of the epoch in its HELLO. */
  #settle(taken: Taken, outcome: TakenHere): void {
    if (taken.settled) return
    taken.settled = true
    if (outcome === 'unavailable' && this.#session !== undefined) {
      this.#host.fail('unavailable', undefined, unavailableRetryMs)
    }
    // An ACK speaks for all before it too, so it waits for them.
    const line = this.#taken
    let done = 0
    while (this.#session !== undefined && line !== undefined && line[done]?.settled === true) {
      this.#upTo = Math.max(this.#upTo, line[done]!.upTo)
      done++
    }
    if (done > 0) {
      line?.splice(0, done)
      if (line?.length === 0) this.#taken = undefined
      this.#host.acknowledgeSoon()
    }
    this.#host.countUplinks(-taken.count)
  }

  /** Sequences grow; what is sent again comes on another connection. */
  #grows(sequence: Sequence, count: number): boolean {
    if (this.#uplinkEpoch === 0) {
      this.#host.fail('protocol-error', 'a reliable uplink without an uplink epoch')
      return false
    }
    if (sequence <= this.#received) {
      this.#host.fail('protocol-error', `sequence ${sequence} after ${this.#received}`)
      return false
    }
    this.#received = sequence + count - 1
    return true
  }

  #fits(name: string, payload: Uint8Array): boolean {
    const { nameMaxBytes, payloadMaxBytes } = this.#host.limits
    if (name.length * 3 > nameMaxBytes && Buffer.byteLength(name) > nameMaxBytes) {
      this.#host.fail('protocol-error', `a name over ${nameMaxBytes} bytes`)
      return false
    }
    if (payload.length > payloadMaxBytes) {
      this.#host.fail('too-large', `a payload over ${payloadMaxBytes} bytes`)
      return false
    }
    return true
  }
}

const nothing = new Uint8Array(0)

/** The payload, without holding a whole chunk for the sake of a few bytes. */
function own(payload: Uint8Array): Uint8Array {
  if (payload.length === 0) return nothing
  return payload.buffer.byteLength - payload.length > strayMaxBytes
    ? new Uint8Array(payload)
    : payload
}
