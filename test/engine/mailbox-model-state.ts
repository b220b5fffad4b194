import type { AppId, ChannelId, Expect, Position } from '../../src/contract/index.ts'
import { channelParts, limits } from '../../src/contract/index.ts'

/** A command as the model sees it; its name is given once in a run. */
export interface ModelCommand {
  readonly name: string
  readonly channel: ChannelId
  readonly bytes: number
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
  /** Intents by number, and those that came with a command. */
  intended: number
  readonly intendedNames: string[]
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
  readonly intend: boolean
  readonly ended: string | undefined
  readonly idempotency: { readonly key: string; readonly hash: string } | undefined
}

/**
 * What a mailbox is, said as simply as it can be: lists of commands, and what was said of them.
 * It knows no epochs, no bytes and no disk, and is not asked for offsets.
 */
export class Model {
  readonly #places: Places
  readonly #state: State

  constructor(places: Places, state?: State) {
    this.#places = places
    this.#state = state ?? { channels: new Map(), logs: new Map(), answers: new Map() }
  }

  clone(): Model {
    return new Model(this.#places, structuredClone(this.#state))
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
      intended: 0,
      intendedNames: [],
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
    const { intended, intendedNames } = this.channel(id)
    return Math.max(intended, ...intendedNames.map((name) => this.#places.get(name)?.offset ?? 0))
  }

  dueAtMs(command: ModelCommand): number {
    if (command.deliveredAtMs !== undefined) return command.deliveredAtMs + command.replyTimeoutMs
    return command.expiresAtMs + (this.maybeSent(command) ? limits.inDoubtGraceMs : 0)
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
    const { commands, intendedNames } = this.channel(command.channel)
    const leaving = ended === undefined ? this.#leaving(command, overflow) : new Map()
    if (leaving === undefined) return { kind: 'full', name: command.name }
    for (const [other, how] of leaving) this.end(other, how)
    commands.push(command)
    if (ended !== undefined) this.end(command, ended)
    else if (given.intend) intendedNames.push(command.name)
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
  }

  #leaving(command: ModelCommand, overflow: string): Map<ModelCommand, string> | undefined {
    const open = this.open(command.channel)
    const unsent = open.filter((other) => !this.maybeSent(other))
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
