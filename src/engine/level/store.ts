import type { IteratorOptions } from 'level'
import { Level } from 'level'

/** A LevelDB with readable keys. */
export type Store = Level<string, Buffer>
export type Batch = ReturnType<Store['batch']>
export type StoreIterator = ReturnType<typeof iterate>

/**
 * Bytes that LevelDB gathers in memory before it writes a table, and its cache of blocks. The former
 * is also what reopening a full store may have to write first, so it is well below the reserve.
 */
const writeBufferBytes = 8 * 1_048_576
const blockCacheBytes = 32 * 1_048_576

export const makeStore = (folder: string): Store =>
  new Level<string, Buffer>(folder, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
    writeBufferSize: writeBufferBytes,
    cacheSize: blockCacheBytes,
  })

/** Whether a failed write or open says that there is no space left. LevelDB knows only texts. */
export const saysFull = (error: unknown): boolean =>
  /no space left|ENOSPC|quota exceeded|EDQUOT/i.test(textOf(error))

/** The message of an error and of what caused it. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${textOf(error.cause)}`
}

/** The code of an error or of the first that has one among its causes. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  return codeOf(error.cause) ?? (error as { code?: string }).code
}

/** The file that an error of the file system is about. */
export const pathOf = (error: unknown): string | undefined =>
  error instanceof Error ? (error as { path?: string }).path : undefined

/** Keys and values of a range, in order or backwards. */
export const iterate = (store: Store, options: IteratorOptions<string, Buffer>) =>
  store.iterator(options)
