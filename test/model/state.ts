import type {
  AppQuota,
  ChannelSettings,
  Delivery,
  EndStatus,
  Expect,
  Reply,
  Scope,
} from '../../src/contract/index.ts'

/*
 * What the model knows: the contract's words, as plain data. A fact has the step in which it
 * happened, since what a crash cuts off in its step may or may not have come to pass.
 */

export interface Key {
  readonly app: string
  readonly name: string
  readonly text: string
  scopes: readonly Scope[]
  readonly createdAtMs: number
}

export interface Device {
  readonly app: string
  readonly name: string
  disabled: boolean
  tags: readonly string[]
  attributes: unknown
  channels: Readonly<Record<string, ChannelSettings>>
  /** Newest first, two at most; those we made are unknown here. */
  secrets: readonly string[]
  readonly createdAtMs: number
  changedAtMs: number
}

export interface Alias {
  readonly name: string
  device: string
  expiresAtMs: number | undefined
  createdAtMs: number
  changedAtMs: number
  history: readonly { readonly device: string; readonly from: number; readonly until: number }[]
}

export interface Webhook {
  readonly name: string
  body: Readonly<Record<string, unknown>>
  secretIds: readonly string[]
  readonly createdAtMs: number
  changedAtMs: number
}

/** What a command was asked to be; the same for single calls, lines and broadcasts. */
export interface Spec {
  readonly name: string
  readonly channel: string
  readonly payload: Buffer
  readonly contentType: string
  readonly delivery: Delivery
  readonly expect: Expect
  readonly ttlMs: number
  readonly replyTimeoutMs: number
  readonly collapse: string | undefined
  readonly notBeforeMs: number | undefined
  readonly callback: string | undefined
}

export interface Fact {
  readonly atMs: number
  readonly step: number
  /** A crash or a failing store came before it could be known to be kept. */
  maybe?: boolean
}

export interface End {
  readonly status: EndStatus
  readonly reason: string | undefined
  readonly atMs: number
  readonly event: string
}

export interface Command {
  readonly id: string
  readonly app: string
  readonly device: string
  readonly spec: Spec
  readonly askedBy: string
  readonly acceptedAtMs: number
  readonly expiresAtMs: number
  readonly broadcast: string | undefined
  /** Order of acceptance over all. */
  readonly serial: number
  /** undefined while it waits for its time. */
  place: { readonly epoch: number; readonly offset: number } | undefined
  /** When it got its place. */
  placedAtMs: number | undefined
  /** Times it was written to a link, in any process. */
  writes: number
  /** A link was attached to its channel while it was open and had a place. */
  exposed: boolean
  /** Since then a process was lost: it may count as sent though nobody wrote it. */
  doubt: boolean
  /** The product has said that it may have been sent. */
  saidSent: boolean
  /** Times its device said that it has it. */
  acks: Fact[]
  replies: (Fact & Reply)[]
  /** A back end asked to take it back. */
  cancels: Fact[]
  end: End | undefined
  /** Late proof that must be told, and has been. */
  lateDue: (Fact & { readonly proof: 'acknowledged' | 'reply' })[]
  lateTold: number
}

export interface Broadcast {
  readonly id: string
  readonly app: string
  readonly tag: string
  readonly spec: Spec
  readonly askedBy: string
  readonly createdAtMs: number
  readonly rate: number | undefined
  readonly stopAfterFailures: number | undefined
  /** Each with its command once it has one. */
  readonly members: Map<string, Command | undefined>
  /** A back end asked to stop it. */
  stopAskedAt: Fact | undefined
  state: 'running' | 'placed' | 'stopped'
  /** Processes in which it could be placed. */
  lives: number
}

/** What an Idempotency-Key stands for. */
export interface Remembered {
  readonly hash: string
  readonly id: string
  readonly atMs: number
}

export interface App {
  readonly name: string
  readonly createdAtMs: number
  quota: AppQuota | undefined
  /** Until then the quota of before may still hold. */
  quotaChangedAtMs: number
  readonly keys: Map<string, Key>
  readonly devices: Map<string, Device>
  readonly aliases: Map<string, Alias>
  readonly webhooks: Map<string, Webhook>
  readonly commands: Map<string, Command>
  readonly broadcasts: Map<string, Broadcast>
  readonly remembered: Map<string, Remembered>
  readonly log: AppLog
  accepted: number
  readonly ended: Map<EndStatus, number>
}

/** The events of an app as they were told, oldest first. */
export interface AppLog {
  // biome-ignore lint/suspicious/noExplicitAny: events are looked into field by field
  readonly told: any[]
  /** So many of the oldest may have been forgotten by age. */
  cursor: string | undefined
}

export const makeApp = (name: string, createdAtMs: number): App => ({
  name,
  createdAtMs,
  quota: undefined,
  quotaChangedAtMs: Number.NEGATIVE_INFINITY,
  keys: new Map(),
  devices: new Map(),
  aliases: new Map(),
  webhooks: new Map(),
  commands: new Map(),
  broadcasts: new Map(),
  remembered: new Map(),
  log: { told: [], cursor: undefined },
  accepted: 0,
  ended: new Map(),
})

export const isOpen = (command: Command): boolean => command.end === undefined

/** Has it, certainly or perhaps, been written to a link? */
export const maybeSent = (command: Command): boolean =>
  command.writes > 0 || command.doubt || command.saidSent

export const hasChannel = (device: Device, channel: string): boolean =>
  channel === 'main' || channel === 'urgent' || Object.hasOwn(device.channels, channel)

/** Open commands of one channel that have a place, in order. */
export const mailbox = (app: App, device: string, channel: string): Command[] =>
  [...app.commands.values()]
    .filter(
      (command) =>
        isOpen(command) &&
        command.place !== undefined &&
        command.device === device &&
        command.spec.channel === channel,
    )
    .sort((a, b) => a.place!.offset - b.place!.offset)
