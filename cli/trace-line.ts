import type { TraceEntry } from '../src/backend/index.ts'
import { clockTime } from './print.ts'

const arrows = { out: '──▶', in: '◀──', state: ' · ' } as const

/** What a change of state says, where its own name would be dark. */
const sentences: Readonly<Record<string, (entry: TraceEntry) => string>> = Object.assign(
  Object.create(null),
  {
    accepted: ({ name, reason, about }) => `accepted: ${name} (${reason}), asked by key ${about}`,
    scheduled: ({ name, about }) => `kept for later: ${name}, asked by key ${about}`,
    placed: ({ name, reason, about }) => `its turn: ${name} (${reason}), asked by key ${about}`,
    traced: ({ about }) => `traceparent ${about}`,
    'not-accepted': ({ name, reason, about }) =>
      `not accepted: ${name === undefined ? '' : `${name}: `}${reason}, asked by key ${about}`,
    refused: ({ name, reason, about }) =>
      `refused: ${[reason, name && visible(name)].filter(Boolean).join(' ')}${about === undefined ? '' : `, from ${about}`}`,
    attached: ({ channel, reason, about, offset = 0 }) =>
      `receives ${channel} from ${about}: ${reason}, after ${offset}`,
    detached: ({ channel, reason }) => `receives ${channel} no more: ${reason}`,
    'taken-over': ({ channel, reason, about }) => `${channel} is taken over by ${reason} ${about}`,
    delivered: () => 'delivered; its reply is waited for',
    ended: ({ name, reason, about }) => `${name} ended: ${reason}${about ? ` (${about})` : ''}`,
    late: ({ reason }) => `came after its end: ${reason}`,
    closed: ({ reason }) => `connection over: ${reason}`,
    online: ({ about }) => `online${about ? ` over ${about}` : ''}`,
    suspect: () => 'suspect: silent, and asked for a sign of life',
    asleep: () => 'asleep, as it said',
    offline: ({ reason, about }) =>
      `offline: ${reason ?? 'gone'}${about ? `, last over ${about}` : ''}`,
    'given-up': ({ reason }) => `sent, and given up: ${reason}`,
    'position-unknown': ({ offset }) => `stands at ${offset}, where this store has never been`,
    conflict: () => 'two clients fight for this channel; both wait',
    probe: () => 'asked for a sign of life',
  } satisfies Record<string, (entry: TraceEntry) => string>,
)

/**
 * One entry for people, in columns: when, over what, which way, what.
 *
 *     12:00:00.004  pike 1f2e-3   ──▶  COMMAND  main 17  open  24 B  payload 10 bytes
 */
export function traceLine(entry: TraceEntry): string {
  const over = entry.connection === undefined ? 'gateway' : `${entry.protocol} ${entry.connection}`
  return `${clockTime(entry.at)}  ${over.padEnd(20)}  ${arrows[entry.way]}  ${said(entry)}`
}

function said(entry: TraceEntry): string {
  const { command, text, base64, truncated } = entry
  const sentence = entry.way === 'state' ? sentences[entry.type] : undefined
  const words =
    sentence === undefined
      ? frame(entry)
      : [sentence(entry), ...(command === undefined ? [] : [command])]
  if (entry.payload !== undefined) words.push(`payload ${entry.payload}`)
  if (text !== undefined) words.push(visible(text) + (truncated ? '…' : ''))
  if (base64 !== undefined) words.push(`base64 ${base64}${truncated ? '…' : ''}`)
  return words.join('  ')
}

function frame(entry: TraceEntry): string[] {
  const { type, channel, command, offset, sequence, name, reason, about, bytes } = entry
  const words = [type]
  if (offset !== undefined) words.push(`${channel ?? ''} ${offset}`.trim())
  else if (command !== undefined) words.push(command)
  if (sequence !== undefined) words.push(`sequence ${sequence}`)
  for (const word of [name, reason, about]) if (word !== undefined) words.push(visible(word))
  if (bytes !== undefined) words.push(`${bytes} B`)
  return words
}

/** What a device says must not move the cursor of whoever reads it. */
const visible = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16).padStart(4, '0')
    return `\\u${code}`
  })
