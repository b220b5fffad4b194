import type { AppId, ChannelId, Delivery, Expect, Position } from '../../src/contract/index.ts'
import { channelParts, limits } from '../../src/contract/index.ts'

/** A command as the model sees it; its name is given once in a run. */
export interface ModelCommand {
  readonly name: string
  readonly channel: ChannelId
  readonly bytes: number
  readonly delivery: Delivery
  readonly expect: Expect
  readonly collapse: string | undefined
  readonly acceptedAtMs: number
  readonly expiresAtMs: number
  readonly replyTimeoutMs: number
  deliveredAtMs: number | undefined
  /** `status(reason)`. */
  ended: string | undefined
}

export interface ModelChannel {
  /** In the order of acceptance. */
  readonly commands: ModelCommand[]
  sentUpTo: number
  /** What may have been sent before the last start. */
  sentBefore: number
  /** Intents by number, and those that came with a command whose offset is not above. */
  intended: number
  readonly intents: { readonly name: string; readonly upTo: number }[]
  uplinks: string | undefined
  attempts: { readonly offset: number; readonly sessions: number } | undefined
}

/** Where the engine put each command: told by it, so outside of the model and shared by all. */
export type Places = Map<string, Position>

export const bounds = { maxCommands: 5, maxBytes: 100 } as const

interface ModelAnswer {
  readonly hash: string
  readonly name: string
  readonly atMs: number
}

interface State {
  channels: Map<ChannelId, ModelChannel>
  logs: Map<AppId, string[]>
  answers: Map<string, ModelAnswer>
}

export interface ModelAppend {
  readonly command: ModelCommand
  readonly overflow: 'reject' | 'drop-oldest'
  readonly intendUpTo: number
  readonly ended: string | undefined
  readonly idempotency: { readonly key: string; readonly hash: string } | undefined
}

/**
 * What a mailbox is, said as simply as it can be: lists of commands, and what was said of them.
 * It knows no epochs, no bytes and no disk, and is not asked for offsets.
 */
export class Model {
  /** Channels held open at the moment, which no crash remembers; shared by all, like places. */
  readonly attached: Set<ChannelId>
  readonly #places: Places
  readonly #state: State

  constructor(places: Places, attached = new Set<ChannelId>(), state?: State) {
    this.#places = places
    this.attached = attached
    this.#state = state ?? { channels: new Map(), logs: new Map(), answers: new Map() }
  }

  clone(): Model {
    return new Model(this.#places, this.attached, structuredClone(this.#state))
  }

  channels(): readonly ChannelId[] {
    return [...this.#state.channels.keys()]
  }

  channel(id: ChannelId): ModelChannel {
    const known = this.#state.channels.get(id)
    if (known !== undefined) return known
    const fresh: ModelChannel = {
      commands: [],
      sentUpTo: 0,
      sentBefore: 0,
      intended: 0,
      intents: [],
      uplinks: undefined,
      attempts: undefined,
    }
    this.#state.channels.set(id, fresh)
    return fresh
  }

  log(app: AppId): string[] {
    const log = this.#state.logs.get(app) ?? []
    this.#state.logs.set(app, log)
    return log
  }

  open(id: ChannelId): ModelCommand[] {
    return this.channel(id).commands.filter(({ ended }) => ended === undefined)
  }

  undelivered(id: ChannelId): ModelCommand[] {
    return this.open(id).filter(({ deliveredAtMs }) => deliveredAtMs === undefined)
  }

  offset(command: ModelCommand): number | undefined {
    return this.#places.get(command.name)?.offset
  }

  maybeSent(command: ModelCommand): boolean {
    const offset = this.offset(command)
    if (command.deliveredAtMs !== undefined) return true
    return offset !== undefined && offset <= this.channel(command.channel).sentUpTo
  }

  top(id: ChannelId): number {
    return Math.max(0, ...this.channel(id).commands.map((command) => this.offset(command) ?? 0))
  }

  intended(id: ChannelId): number {
    const { intended, intents } = this.channel(id)
    const offsets = intents.flatMap(({ name, upTo }) => {
      const offset = this.#places.get(name)?.offset
      return offset !== undefined && offset <= upTo ? [offset] : []
    })
    return Math.max(intended, ...offsets)
  }

  dueAtMs(command: ModelCommand): number {
    if (command.deliveredAtMs !== undefined) return command.deliveredAtMs + command.replyTimeoutMs
    if (!this.maybeSent(command)) return command.expiresAtMs
    const before = this.offset(command)! <= this.channel(command.channel).sentBefore
    if (command.delivery === 'now' && before) return command.acceptedAtMs // rule 4
    return command.expiresAtMs + limits.inDoubtGraceMs
  }

  /** @returns what the mailbox must answer, and the command it then speaks of. */
  append(given: ModelAppend): { kind: 'kept' | 'full' | 'repeat' | 'conflict'; name: string } {
    const { command, overflow, ended, idempotency } = given
    const { app } = channelParts(command.channel)
    const key = idempotency && `${app}/${idempotency.key}`
    const earlier = key && this.#state.answers.get(key)
    if (earlier && command.acceptedAtMs < earlier.atMs + limits.idempotencyMs) {
      const same = earlier.hash === idempotency?.hash
      return { kind: same ? 'repeat' : 'conflict', name: earlier.name }
    }
    const { commands, intents } = this.channel(command.channel)
    const leaving = ended === undefined ? this.#leaving(command, overflow) : new Map()
    if (leaving === undefined) return { kind: 'full', name: command.name }
    for (const [other, how] of leaving) this.end(other, how)
    commands.push(command)
    if (ended !== undefined) this.end(command, ended)
    else intents.push({ name: command.name, upTo: given.intendUpTo })
    if (key && idempotency) {
      const { hash } = idempotency
      this.#state.answers.set(key, { hash, name: command.name, atMs: command.acceptedAtMs })
    }
    return { kind: 'kept', name: command.name }
  }

  end(command: ModelCommand, how: string): void {
    if (command.ended !== undefined) return
    command.ended = how
    this.log(channelParts(command.channel).app).push(`${command.name} ${how}`)
  }

  /** The same command in this model. */
  own(command: ModelCommand): ModelCommand {
    return this.channel(command.channel).commands.find(({ name }) => name === command.name)!
  }

  /** The process is gone: what was sent is known no better than by its intents. Rule 4. */
  forgetSent(): void {
    for (const id of this.channels()) {
      this.channel(id).sentUpTo = Math.min(this.intended(id), this.top(id))
    }
    this.started()
  }

  /** What was sent, was sent by a process before this one. */
  started(): void {
    for (const id of this.channels()) this.channel(id).sentBefore = this.channel(id).sentUpTo
  }

  #leaving(command: ModelCommand, overflow: string): Map<ModelCommand, string> | undefined {
    const open = this.open(command.channel)
    // Whoever appends to a channel that is attached knows the offsets by then.
    const taken = this.attached.has(command.channel) ? this.intended(command.channel) : 0
    const unsent = open.filter(
      (other) => !this.maybeSent(other) && (this.offset(other) ?? Infinity) > taken,
    )
    const leaving = new Map<ModelCommand, string>()
    for (const other of unsent) {
      const same = command.collapse !== undefined && other.collapse === command.collapse
      if (same) leaving.set(other, 'superseded(collapsed)')
    }
    const fits = () => {
      const staying = open.filter((other) => !leaving.has(other))
      return (
        staying.length < bounds.maxCommands && bytesOf([...staying, command]) <= bounds.maxBytes
      )
    }
    for (const other of unsent) {
      if (overflow === 'reject' || fits()) break
      if (!leaving.has(other)) leaving.set(other, 'dropped(mailbox-full)')
    }
    return fits() ? leaving : undefined
  }
}

export const bytesOf = (commands: readonly ModelCommand[]): number =>
  commands.reduce(
    (sum, { bytes, deliveredAtMs }) => sum + (deliveredAtMs === undefined ? bytes : 0),
    0,
  )
