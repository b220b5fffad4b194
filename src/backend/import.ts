import { randomBytes } from 'node:crypto'
import { readCsvRows } from './csv-rows.ts'
import type { Line } from './line-queue.ts'
import { type Exchange, exchange } from './many.ts'
import type { Transport } from './transport.ts'
import type { DevicePut, Problem } from './types.ts'

/** One device to register or change. */
export type ImportLine = DevicePut & { readonly device: string }

export type ImportAnswer = { readonly line: number } & (
  | {
      readonly status: 200 | 201
      readonly device: string
      /** Only where it was made: shown this once. */
      readonly secret?: string
      /**
       * A connection broke while this line was under way, and the device was there when it was sent
       * again: that first sending may have registered it and its secret be lost. If it is new to
       * you, give it one with `rotateSecret`.
       */
      readonly maybeRegistered?: true
    }
  | { readonly status: number; readonly problem: Problem }
)

export interface ImportOptions {
  readonly signal?: AbortSignal
  /**
   * Secrets are made here, for lines without one, and not by the gateway: then none is lost when a
   * connection breaks. A device that exists already gets it as its newest.
   */
  readonly makeSecrets?: boolean
}

interface Entry extends Line {
  readonly line: number
  /** One that the gateway does not tell, since it came from us. */
  readonly made?: string
}

const path = '/v1/devices'

/** Answers in order, one for each line. */
export async function* importDevices(
  transport: Transport,
  lines: Iterable<ImportLine | string> | AsyncIterable<ImportLine | string>,
  { signal, makeSecrets = false }: ImportOptions,
): AsyncGenerator<ImportAnswer> {
  yield* answers(transport, {
    path,
    contentType: 'application/x-ndjson',
    lines: entries(lines, makeSecrets),
    ...(signal !== undefined && { signal }),
  })
}

/** The same from CSV, however its bytes are cut; `line` counts data rows from 1. */
export async function* importCsv(
  transport: Transport,
  chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
  { signal }: Omit<ImportOptions, 'makeSecrets'>,
): AsyncGenerator<ImportAnswer> {
  const rows = readCsvRows(chunks)
  const header = await rows.next()
  if (header.done) return
  yield* answers(transport, {
    path,
    contentType: 'text/csv',
    head: header.value,
    lines: numbered(rows),
    ...(signal !== undefined && { signal }),
  })
}

async function* answers(
  transport: Transport,
  options: Exchange<Entry>,
): AsyncGenerator<ImportAnswer> {
  for await (const { entry, answer, repeated } of exchange(transport, options)) {
    const lost = repeated && answer.status === 200 && answer.secret === undefined
    yield {
      ...answer,
      line: entry.line,
      ...(entry.made !== undefined && answer.problem === undefined && { secret: entry.made }),
      ...(lost && entry.made === undefined && { maybeRegistered: true }),
    } as ImportAnswer
  }
}

async function* entries(
  lines: Iterable<ImportLine | string> | AsyncIterable<ImportLine | string>,
  makeSecrets: boolean,
): AsyncGenerator<Entry> {
  let line = 0
  for await (const one of lines) {
    line++
    const entry = typeof one === 'string' && makeSecrets ? parsed(one) : one
    if (typeof entry === 'string') {
      const text = entry.replaceAll(/[\r\n]+/g, ' ').trim()
      if (text !== '') yield { line, text }
    } else if (makeSecrets && entry.secret === undefined) {
      const made = randomBytes(24).toString('base64url')
      yield { line, text: JSON.stringify({ ...entry, secret: made }), made }
    } else yield { line, text: JSON.stringify(entry) }
  }
}

/** What is no JSON object goes as it is: the gateway says so. */
function parsed(text: string): ImportLine | string {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as ImportLine)
      : text
  } catch {
    return text
  }
}

async function* numbered(rows: AsyncIterable<string>): AsyncGenerator<Entry> {
  let line = 0
  for await (const text of rows) yield { line: ++line, text }
}
