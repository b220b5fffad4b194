import { randomUUID } from 'node:crypto'
import type { Static } from 'typebox'
import type { CommandLine } from '../api/command-schemas.ts'
import { isRecord } from './errors.ts'
import type { Line } from './line-queue.ts'
import { exchange } from './many.ts'
import type { Transport } from './transport.ts'
import type { CommandStatus, Problem } from './types.ts'

/** One line of `sendMany`: a command, where it goes, and its own idempotency key. */
export type ManyLine = Omit<Static<typeof CommandLine>, 'to' | 'idempotencyKey'> & {
  readonly to: { readonly device: string } | { readonly alias: string } | { readonly tag: string }
  readonly idempotencyKey?: string
}

interface OfLine {
  /** Which one, from 1, as they were given. */
  readonly line: number
  /** With which to send this one again. */
  readonly idempotencyKey: string | undefined
}
export type ManyAnswer = OfLine &
  (
    | { readonly status: 200 | 202; readonly id: string; readonly commandStatus: CommandStatus }
    | { readonly status: 202; readonly broadcast: string; readonly devices: number }
    | { readonly status: number; readonly problem: Problem }
  )

export interface ManyOptions {
  readonly signal?: AbortSignal
  /** Lines without a key get this and their number, `campaign-7-1`: all of it sent again is the same commands. */
  readonly idempotencyKeyPrefix?: string
}

interface Entry extends Line {
  readonly line: number
  readonly key: string | undefined
}

/** Answers in order, one for each line that is not blank. */
export async function* sendMany(
  transport: Transport,
  lines: Iterable<ManyLine | string> | AsyncIterable<ManyLine | string>,
  { signal, idempotencyKeyPrefix: prefix }: ManyOptions,
): AsyncGenerator<ManyAnswer> {
  const answers = exchange<Entry>(transport, {
    path: '/v1/commands',
    contentType: 'application/x-ndjson',
    lines: entries(lines, (line) => (prefix === undefined ? randomUUID() : `${prefix}-${line}`)),
    ...(signal !== undefined && { signal }),
  })
  for await (const { entry, answer } of answers)
    yield { ...answer, line: entry.line, idempotencyKey: entry.key } as ManyAnswer
}

async function* entries(
  lines: Iterable<ManyLine | string> | AsyncIterable<ManyLine | string>,
  keyFor: (line: number) => string,
): AsyncGenerator<Entry> {
  let line = 0
  for await (const one of lines) {
    line++
    if (typeof one !== 'string') {
      const key = one.idempotencyKey ?? keyFor(line)
      yield { line, key, text: JSON.stringify({ ...one, idempotencyKey: key }) }
    } else if (one.trim() !== '') yield { line, ...withKey(one, () => keyFor(line)) }
  }
}

/**
 * Text is sent as it stands, so that a payload's numbers reach the device as they were written; a
 * key is put in front where there is none. What is no object goes as it is: the gateway says so.
 */
function withKey(given: string, makeKey: () => string): { text: string; key: string | undefined } {
  // A line break outside of a JSON string is only space; inside it is not JSON.
  const text = given.replaceAll(/[\r\n]+/g, ' ').trim()
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { text, key: undefined }
  }
  if (!isRecord(parsed)) return { text, key: undefined }
  if (Object.hasOwn(parsed, 'idempotencyKey'))
    return {
      text,
      key: typeof parsed.idempotencyKey === 'string' ? parsed.idempotencyKey : undefined,
    }
  const key = makeKey()
  const rest = text.slice(1).trimStart()
  return { text: `{"idempotencyKey":"${key}"${rest === '}' ? '' : ','}${rest}`, key }
}
