import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { Failure } from './failure.ts'

/** A file, or standard input for `-`. */
export async function openInput(file: string): Promise<Readable> {
  if (file === '-') return process.stdin
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new Failure(`${file} cannot be read (${error.code})`)
  })
  if (found.isDirectory()) throw new Failure(`${file} is a folder`)
  return createReadStream(file)
}

/** Lines one by one, read no faster than they are taken. */
export async function* linesOf(input: Readable): AsyncGenerator<string> {
  yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
}
