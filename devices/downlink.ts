import type { Position } from '../src/contract/index.ts'
import type { DeviceChannel } from './channel.ts'
import { type Command, type CommandReply, ReceivedCommand, type Respond } from './command.ts'
import type { Received } from './inbox.ts'
import type { Sent } from './outbox.ts'

/** What handing on commands needs of the client. */
export interface DownlinkHost {
  readonly device: string
  nowMs(): number
  /** False while commands must wait, e.g. until every channel is welcomed. */
  running(channel: DeviceChannel): boolean
  receivers(): readonly ((command: Command, respond: Respond) => unknown)[]
  /** Store that a command has been acted on, with its reply if there is one, in one commit. */
  acted(
    channel: DeviceChannel,
    position: Position,
    answer: Answer | undefined,
    stored: () => void,
  ): void
  /** Store a reply that came after its command was done with. */
  answered(channel: DeviceChannel, answer: Answer): void
  late(command: Command): void
  failed(error: unknown, command: Command): void
  /** Something is to be written, sooner or later. */
  owing(channel: DeviceChannel): void
}

/** A reply on its way into the outbox. */
export interface Answer {
  readonly command: Command
  readonly reply: CommandReply
  settle(sent: Sent): void
}

/** A command while it is at the application. */
interface Turn {
  answer: Answer | undefined
  /** What it promised has not come about. */
  acting: boolean
  /** It is being stored, or is. */
  over: boolean
  stored: boolean
}

/**
 * Commands to the application: one at a time a channel, in order, once.
 *
 *     take next ──▶ acted on before? ──▶ owe the acknowledgement
 *         │ no
 *         ├──▶ too late? ──▶ rejected, without asking the application, asked for or not (rule 2)
 *         │ no
 *         ▼
 *     application acts ──▶ position and reply stored, in one ──▶ owe the acknowledgement
 *
 * What it answers while it acts is stored at once: it may wait for its answer to be kept. The next
 * command waits until it has returned all the same.
 *
 * A crash between acting and storing repeats that one command, with the same id: whoever cannot
 * bear that keeps the ids it has acted on.
 */
export class Downlink {
  readonly #host: DownlinkHost
  readonly #answers = new WeakMap<Command, Respond>()

  constructor(host: DownlinkHost) {
    this.#host = host
  }

  /** Hand on what waits. Call when a command came, room came, or the client began to run. */
  pump(channel: DeviceChannel): void {
    const host = this.#host
    // Without room for its reply a command stays where the server still answers for it.
    while (!channel.busy && host.running(channel) && channel.outbox.room('reply', 0)) {
      const received = channel.inbox.next()
      if (received === undefined) return
      if (channel.inbox.isRepeat(received)) {
        const { epoch, frame } = received
        if (channel.outbox.isRefusing(epoch, frame.offset)) channel.inbox.refuse(received)
        else channel.inbox.owe(received, host.nowMs())
        host.owing(channel)
        continue
      }
      channel.busy = true
      const expiresAtMs = channel.deadlineBaseMs + received.frame.deadlineMs
      const command = new ReceivedCommand(host.device, channel.name, received, expiresAtMs)
      if (host.nowMs() >= expiresAtMs) {
        const reply = { status: 'rejected', reason: 'late' } as const
        const turn = newTurn()
        turn.answer = { command, reply, settle() {} }
        this.#store(channel, received, turn)
        host.late(command)
      } else this.#hand(channel, received, command)
    }
  }

  /** Answer a command that was handed on; once. */
  async respond(command: Command, reply: CommandReply): Promise<Sent> {
    const respond = this.#answers.get(command)
    return respond === undefined ? { kind: 'failed', reason: 'invalid' } : respond(reply)
  }

  #hand(channel: DeviceChannel, received: Received, command: Command) {
    const host = this.#host
    const turn = newTurn()
    const respond: Respond = (reply) =>
      new Promise((settle) => {
        if (turn.answer !== undefined) return settle({ kind: 'failed', reason: 'invalid' })
        turn.answer = { command, reply, settle }
        if (turn.over) host.answered(channel, turn.answer)
        else if (turn.acting) this.#store(channel, received, turn)
      })
    this.#answers.set(command, respond)
    const fault = (error: unknown) => {
      if (command.replyExpected) void respond({ status: 'failed', reason: 'error' })
      host.failed(error, command)
    }
    const receivers = host.receivers()
    if (receivers.length === 0 && command.replyExpected)
      void respond({ status: 'rejected', reason: 'unhandled' })
    let acting: PromiseLike<unknown>[] | undefined
    for (const receive of receivers) {
      try {
        const result = receive(command, respond)
        if (isThenable(result)) {
          acting ??= []
          acting.push(result)
        }
      } catch (error) {
        fault(error)
      }
    }
    if (acting === undefined) return this.#store(channel, received, turn)
    turn.acting = true
    if (turn.answer !== undefined) this.#store(channel, received, turn)
    void Promise.allSettled(acting).then((results) => {
      for (const result of results) if (result.status === 'rejected') fault(result.reason)
      turn.acting = false
      if (!turn.over) this.#store(channel, received, turn)
      else if (turn.stored) channel.busy = false
      this.pump(channel)
    })
  }

  #store(channel: DeviceChannel, received: Received, turn: Turn): void {
    const host = this.#host
    const { epoch, frame } = received
    turn.over = true
    const position = { epoch, offset: frame.offset }
    channel.inbox.moved(position)
    let returned = false
    host.acted(channel, position, turn.answer, () => {
      if (channel.outbox.isRefusing(epoch, frame.offset)) channel.inbox.refuse(received)
      else channel.inbox.owe(received, host.nowMs())
      turn.stored = true
      if (!turn.acting) channel.busy = false
      host.owing(channel)
      if (returned) this.pump(channel)
    })
    returned = true
  }
}

const newTurn = (): Turn => ({ answer: undefined, acting: false, over: false, stored: false })

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
