import { createHash, randomBytes } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { defaultApp, type Names, scopes } from '../contract/index.ts'
import { syncFolder } from './folder.ts'

/** Name of the key in the store that was made on the first start. */
export const firstKeyName = 'first'
/** Name of the key in the store that PIKE_API_KEY gave. */
export const configuredKeyName = 'configured'

export interface FirstKey {
  /** Set when it was made by this start: the only moment it may be shown. */
  readonly made: string | undefined
  /** The operator's copy; undefined when the key is the configured one. */
  readonly file: string | undefined
}

/**
 * Sees to it that somebody can get in: the configured key is valid while it is configured, and
 * where no administrator's key exists at all, one is made. The store keeps hashes only; the file
 * (0600) is the operator's copy (rule 31).
 */
export async function provideFirstKey(
  names: Names,
  dataDir: string,
  configured: string | undefined,
  nowMs: number,
): Promise<FirstKey> {
  const file = join(dataDir, 'api-key')
  // One app exists from the start, so that nobody who needs only one ever meets the word.
  if ((await names.app(defaultApp)) === undefined)
    await names.putApp({ app: defaultApp, createdAtMs: nowMs })
  const keys = await names.keys(defaultApp)
  const put = (name: string, key: string): Promise<void> =>
    names.putKey({ app: defaultApp, name, hash: hashOf(key), scopes, createdAtMs: nowMs })

  const before = keys.find((key) => key.name === configuredKeyName)
  if (configured !== undefined) {
    if (before?.hash !== hashOf(configured)) await put(configuredKeyName, configured)
  } else if (before !== undefined) await names.removeKey(defaultApp, configuredKeyName)

  const first = keys.find((key) => key.name === firstKeyName)
  if (first !== undefined) return { made: undefined, file }
  const others = keys.some((key) => key !== before && key.scopes.includes('admin'))
  if (configured !== undefined || others) return { made: undefined, file: undefined }

  // The copy is durable before the store has the key: a crash in between leaves a key that the next
  // start takes up, never one in the store that nobody knows.
  const key = (await readKey(file)) ?? (await writeKey(file))
  await put(firstKeyName, key)
  return { made: key, file }
}

/** @returns undefined when there is no such file, or nothing in it. */
export async function readKey(file: string): Promise<string | undefined> {
  try {
    const key = (await readFile(file, 'utf8')).trim()
    return key === '' ? undefined : key
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function writeKey(file: string): Promise<string> {
  // The prefix tells a person, and a scanner for leaked keys, what it is.
  const key = `pike_${randomBytes(24).toString('base64url')}`
  const draft = await open(`${file}.new`, 'w', 0o600)
  try {
    await draft.writeFile(`${key}\n`)
    await draft.sync()
  } finally {
    await draft.close()
  }
  await rename(`${file}.new`, file)
  await syncFolder(dirname(file))
  return key
}

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex')
