import { Command } from 'commander'
import type { Device } from '../src/backend/index.ts'
import { reasons } from '../src/contract/index.ts'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { unknownDevice } from './known.ts'
import { print, printJson } from './print.ts'

export const deviceShowCommand = (): Command =>
  withApi(new Command('show'))
    .summary('one device: is it there, since when, why, and what waits for it')
    .description('Tells how one device is: its presence and why, its mailbox, what is kept of it.')
    .argument('<device>', 'device id')
    .option('--json', 'for a script: the answer of the gateway')
    .addHelpText('after', '\nExample:\n  pike device show SZ-0042')
    .action(async (device: string, options: ApiOptions & { json?: true }) => {
      const body = await connect(options).devices.get(device)
      if (body === undefined) throw unknownDevice(device)
      if (options.json) printJson(body)
      else for (const sentence of deviceSentences(body, Date.now())) print(sentence)
    })

/** How a device is, in sentences: the first is what whoever asks wants to know. */
export function deviceSentences(device: Device, nowMs: number): readonly string[] {
  const since = (at: string): string => `since ${at} (${lengthText(nowMs - Date.parse(at))})`
  return [
    ...presenceSentences(device, since),
    ...keepaliveSentences(device),
    mailboxSentence(device, since),
    ...keptSentences(device),
  ]
}

type Since = (at: string) => string

function presenceSentences(one: Device, since: Since): string[] {
  const { device, disabled } = one
  const { state, heardAt, protocol, via, reason, backAt } = one.presence
  const at = one.presence.since === undefined ? '' : ` ${since(one.presence.since)}`
  const over = protocol === undefined || protocol === '' ? '' : ` over ${protocol}`
  const by = via === undefined ? '' : `; ${via} speaks for it`
  const when = backAt === undefined ? '' : ` at ${backAt}`
  const heard = heardAt === undefined ? [] : [`It was last heard ${heardAt}.`]
  if (disabled)
    return [
      `${device} is disabled: the gateway lets it in no more, until "pike device enable ${device}".`,
      ...(at === '' ? [] : [`It has been ${state}${at}.`]),
      ...heard,
    ]
  if (state === 'online') return [`${device} has been online${over}${at}${by}.`, ...heard]
  if (state === 'suspect')
    return [
      `${device} has been suspect${at}: it is overdue and was asked for a sign of life.`,
      'In seconds it has answered, or is offline.',
      ...heard,
    ]
  if (state === 'asleep')
    return [`${device} has been asleep${at}: it said that it comes back${when}.`, ...heard]
  if (at === '')
    return [`${device} is offline: it has not connected since the gateway was started.`]
  return [`${device} has been offline${at}${why(reason)}.`, ...heard]
}

/** How a link ends, as a person would say it. */
function why(reason: string | undefined): string {
  if (reason === undefined) return ''
  return `: ${Object.hasOwn(ends, reason) ? ends[reason] : reason} (${reason})`
}

const ends: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(reasons).map(([name, { text }]) => [name, text])),
  lost: 'its connection broke',
}

function keepaliveSentences({ keepalive }: Device): string[] {
  const { grantedS, provenS } = keepalive ?? {}
  const told = grantedS === undefined ? [] : [`it is told to be silent for ${grantedS} s at most`]
  const proven = provenS === undefined ? [] : [`${provenS} s of silence were survived`]
  const text = [...told, ...proven].join('; ')
  return text === '' ? [] : [`Keep-alive: ${text}.`]
}

function mailboxSentence({ device, mailbox }: Device, since: Since): string {
  const { commands, bytes, oldestAt } = mailbox
  if (commands === 0) return 'No command is open for it.'
  const many = commands === 1 ? 'One command is' : `${commands} commands are`
  const oldest =
    oldestAt === undefined ? '' : `, ${commands === 1 ? '' : 'the oldest '}${since(oldestAt)}`
  const unsent = bytes === 0 ? '' : `; ${bytes} bytes of payload are not yet delivered`
  return `${many} open for it${oldest}${unsent}. See: pike history ${device} --status open`
}

function keptSentences(one: Device): string[] {
  const { tags, attributes, channels, credentials, gateways = [] } = one
  const extra = Object.entries(channels).map(([name, { maxCommands, overflow, connection }]) => {
    const bounds = [
      ...(maxCommands === undefined ? [] : [`at most ${maxCommands}`]),
      ...(overflow === undefined ? [] : [overflow]),
      ...(connection === 'independent' ? ['independent'] : []),
    ]
    return bounds.length === 0 ? name : `${name} (${bounds.join(', ')})`
  })
  return [
    tags.length === 0 ? 'It has no tags.' : `It is tagged ${tags.join(', ')}.`,
    ...(Object.keys(attributes).length === 0 ? [] : [`Attributes: ${JSON.stringify(attributes)}`]),
    ...(gateways.length === 0 ? [] : [`${gateways.join(', ')} may speak for it.`]),
    ...(extra.length === 0 ? [] : [`Channels beside main and urgent: ${extra.join('; ')}.`]),
    ...(credentials > 1
      ? [
          `Two secrets are valid; once it uses the new one: pike device rotate-secret ${one.device} --drop-older.`,
        ]
      : []),
    `It was registered ${one.createdAt}${one.changedAt === one.createdAt ? '' : `, changed ${one.changedAt}`}.`,
  ]
}

/** `42 s`, `5 min`, `3 h`, `2 days`: what a person says of a time. */
function lengthText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 2 * 3_600) return `${Math.round(seconds / 60)} min`
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} days`
}
