import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
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

/** What it begins with, and all of it still to be read. */
export async function beginning(input: Readable): Promise<{ first: string; input: Readable }> {
  const chunks: AsyncIterator<Buffer> = input[Symbol.asyncIterator]()
  const head = await chunks.next()
  async function* all(): AsyncGenerator<Buffer> {
    try {
      for (let next = head; !next.done; next = await chunks.next()) yield next.value
    } finally {
      await chunks.return?.()
    }
  }
  const first = head.done ? '' : head.value.subarray(0, 1_024).toString()
  return { first, input: Readable.from(all()) }
}

/** Lines one by one, read no faster than they are taken. */
export async function* linesOf(input: Readable): AsyncGenerator<string> {
  yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
}
