import type {
  ChannelName,
  CommandId,
  DeviceId,
  KeptCommand,
  Stamp,
} from '../../src/contract/index.ts'
import { isIdentifier, mainChannel, urgentChannel } from '../../src/contract/index.ts'
import { type ForAnother, others, prefixOf } from './others.ts'
import { stampOf } from './stamp.ts'
import {
  compileTemplate,
  type Identity,
  inner,
  levelText,
  matchTemplate,
  type Template,
  type Values,
} from './template.ts'

/** Which topics mean what; each may have several names. Checked by {@link topicsProblem}. */
export interface TopicTemplates {
  readonly events: readonly string[]
  readonly commands: readonly string[]
  readonly replies: readonly string[]
}

export const defaultTopics: TopicTemplates = {
  events: [
    'events/{type}',
    'channels/{channel}/events/{type}',
    'stamped/{stamp}/events/{type}',
    'stamped/{stamp}/channels/{channel}/events/{type}',
  ],
  commands: [
    'commands/{id}/{name}',
    'channels/{channel}/commands/{id}/{name}',
    'detailed/commands/{id}/{delivery}/{expect}/{expires}/{name}',
    'detailed/channels/{channel}/commands/{id}/{position}/{delivery}/{expect}/{expires}/{left}/{name}',
  ],
  replies: [
    'replies/{id}',
    'replies/{id}/{status}',
    'replies/{id}/{status}/{reason}',
    'stamped/{stamp}/replies/{id}/{status}',
    'stamped/{stamp}/replies/{id}/{status}/{reason}',
  ],
}

const placeholders = {
  events: ['app', 'device', 'channel', 'stamp', 'type'],
  commands: [
    ...['app', 'device', 'channel', 'id', 'position', 'name'],
    ...['delivery', 'expect', 'expires', 'left'],
  ],
  replies: ['app', 'device', 'channel', 'stamp', 'id', 'status', 'reason'],
} as const

/** What a device says by publishing to a topic. */
export type Meaning =
  | {
      readonly kind: 'event'
      readonly channel: ChannelName
      readonly name: string
      readonly stamp: Stamp | undefined
    }
  | {
      readonly kind: 'reply'
      /** undefined: the oldest unanswered (rule 26). */
      readonly id: CommandId | undefined
      readonly status: 'done' | 'failed' | 'rejected'
      readonly reason: string | undefined
      readonly stamp: Stamp | undefined
    }

/** What a device asks for by subscribing to a filter. */
export interface Wanted {
  readonly channels: readonly ChannelName[]
  /** Where its commands are published. */
  readonly template: Template
  /** What stands before it: `devices/box-1/` where it speaks for a device; else empty. */
  readonly prefix: string
}

/** Subscribing to all commands is subscribing to these. */
const everyChannel: readonly ChannelName[] = [mainChannel, urgentChannel]

const stampIn = ({ stamp }: Values): Stamp | undefined | 'wrong' =>
  stamp === undefined ? undefined : (stampOf(stamp) ?? 'wrong')

/** Where a client numbers what it says it also writes `%XX` for what no level may have. */
const said = <Text extends string | undefined>(text: Text, stamp: Stamp | undefined): Text =>
  (stamp === undefined || text === undefined ? text : unescapeLevel(text)) as Text

/** @returns what is wrong with templates from a configuration, in a sentence; undefined: nothing. */
export function topicsProblem(templates: TopicTemplates): string | undefined {
  for (const kind of ['events', 'commands', 'replies'] as const) {
    if (templates[kind].length === 0) return `no topic is given for ${kind}`
    for (const text of templates[kind]) {
      const compiled = compileTemplate(text, placeholders[kind])
      if (typeof compiled === 'string') return `the topic ${JSON.stringify(text)} ${compiled}`
    }
  }
  return undefined
}

/**
 * Topic to meaning and back, for all devices.
 *
 *     events/door-opened          event `door-opened` on `main`
 *     replies/{id}/failed/jammed  the reply `failed`, reason `jammed`
 *     commands/#                  the commands of `main` and `urgent`
 */
export class Topics {
  readonly #events: readonly Template[]
  readonly #commands: readonly Template[]
  readonly #replies: readonly Template[]
  /** The one that needs nothing but the command. */
  readonly #response: Template | undefined

  /** @param templates that have no {@link topicsProblem}. */
  constructor(templates: TopicTemplates = defaultTopics) {
    const all = (kind: keyof TopicTemplates): Template[] =>
      templates[kind].map((text) => {
        const compiled = compileTemplate(text, placeholders[kind])
        if (typeof compiled === 'string') throw new Error(`${text} ${compiled}`)
        return compiled
      })
    this.#events = all('events')
    this.#commands = all('commands')
    this.#replies = all('replies')
    this.#response = this.#replies.find(({ levels }) =>
      levels.every(
        ({ placeholder: one }) => one !== 'status' && one !== 'reason' && one !== 'channel',
      ),
    )
  }

  /** Where a device, or who speaks for it, answers this command: MQTT 5's Response Topic. */
  replyTopic(who: Identity & { readonly via?: unknown }, id: CommandId): string | undefined {
    const topic = this.#response?.levels
      .map((level) => levelText(level, who) ?? level.prefix + id + level.suffix)
      .join('/')
    return who.via === undefined || topic === undefined ? topic : prefixOf(who.device) + topic
  }

  /** @returns undefined: no topic of this device. */
  meaning(who: Identity, topic: string): Meaning | undefined {
    const levels = topic.split('/')
    for (const template of this.#replies) {
      const values = matchTemplate(template, who, levels)
      if (values === undefined) continue
      const status = values.status ?? template.status ?? 'done'
      if (status !== 'done' && status !== 'failed' && status !== 'rejected') continue
      const stamp = stampIn(values)
      if (stamp === 'wrong') continue
      return { kind: 'reply', id: values.id, status, reason: said(values.reason, stamp), stamp }
    }
    for (const template of this.#events) {
      const values = matchTemplate(template, who, levels)
      if (values === undefined) continue
      const { channel = mainChannel, type = template.lastWord } = values
      const stamp = stampIn(values)
      if (stamp === 'wrong') continue
      return { kind: 'event', channel, name: said(type, stamp), stamp }
    }
    return undefined
  }

  /** @returns undefined: not all commands of a channel of this device. */
  wanted(who: Identity, filter: string, prefix = ''): Wanted | undefined {
    const levels = filter.split('/')
    for (const template of this.#commands) {
      const channels = covered(template, who, levels)
      if (channels !== undefined) return { channels, template, prefix }
    }
    return undefined
  }

  /** A topic that is not its client's own: of which device, and what that one says by it. */
  meaningForAnother(who: Identity, topic: string): ForAnother<Meaning> | undefined {
    for (const { device, rest } of others(who, topic, [this.#replies, this.#events])) {
      const meaning = this.meaning({ app: who.app, device }, rest)
      if (meaning !== undefined) return { device, what: meaning }
    }
    return undefined
  }

  /** The same of a filter. */
  wantedForAnother(who: Identity, filter: string): ForAnother<Wanted> | undefined {
    for (const { device, rest, prefix } of others(who, filter, [this.#commands])) {
      const wanted = this.wanted({ app: who.app, device }, rest, prefix)
      if (wanted !== undefined) return { device, what: wanted }
    }
    return undefined
  }
}

/**
 * The channels all of whose commands a filter matches. One that matches some of the commands only
 * matches none: the others would wait for ever.
 */
function covered(
  template: Template,
  who: Identity,
  filter: readonly string[],
): readonly ChannelName[] | undefined {
  let channels = everyChannel
  for (const [index, level] of template.levels.entries()) {
    const asked = filter[index]
    if (asked === '#') return channels
    if (asked === undefined) return undefined
    if (asked === '+') continue
    if (level.placeholder === 'channel') {
      const channel = inner(asked, level.prefix, level.suffix)
      if (channel === undefined || !isIdentifier(channel)) return undefined
      channels = [channel]
    } else if (asked !== levelText(level, who)) return undefined
  }
  // MQTT 3.1.1 §4.7.1.2: `a/#` matches `a` too.
  const { length } = template.levels
  if (filter.length === length) return channels
  return filter.length === length + 1 && filter[length] === '#' ? channels : undefined
}

/** Where a command that is written now is published. */
export function commandTopic(
  template: Template,
  who: Identity,
  command: KeptCommand,
  channel: ChannelName,
  nowMs: number,
  prefix = '',
): string {
  let topic = prefix
  for (const level of template.levels) {
    if (level.index > 0) topic += '/'
    topic += level.prefix + textOf(level.placeholder, who, command, channel, nowMs) + level.suffix
  }
  return topic
}

function textOf(
  placeholder: string | undefined,
  who: { readonly app: string; readonly device: DeviceId },
  command: KeptCommand,
  channel: ChannelName,
  nowMs: number,
): string {
  switch (placeholder) {
    case undefined:
      return ''
    case 'app':
      return who.app
    case 'device':
      return who.device
    case 'channel':
      return channel
    case 'id':
      return command.id
    case 'position':
      return `${command.epoch}.${command.offset}`
    case 'name':
      return escapeLevel(command.name)
    case 'delivery':
      return command.delivery
    case 'expect':
      return command.expect
    case 'left':
      return String(Math.max(0, Math.floor(command.expiresAtMs - nowMs)))
    default:
      return String(Math.floor(command.expiresAtMs))
  }
}

/** What may not stand in one level of a topic name is written `%XX`, and the percent sign with it. */
export const escapeLevel = (name: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
  /[%+#/\u0000-\u001f\u007f-\u009f]/.test(name)
    ? name.replace(
        // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
        /[%+#/\u0000-\u001f\u007f-\u009f]/g,
        (one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
      )
    : name

const unescapeLevel = (text: string): string =>
  text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
