import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import {
  PikeBackend,
  type PikeBackendOptions,
  PikeProblem,
  PikeUnreachable,
} from '../src/backend/index.ts'
import { loadConfig } from '../src/node/config.ts'
import { Failure } from './failure.ts'

/** Where the gateway is and who we are. */
export interface ApiOptions {
  readonly api?: string
  readonly apiKey?: string
  readonly dataDir?: string
}

/** Names in the environment for commands that talk to a gateway, beside its own settings. */
export const clientVariables = ['PIKE_API_URL', 'PIKE_DEVICE_SECRET']

export const withApi = (command: Command): Command =>
  command
    .option('--api <url>', 'where the gateway is (PIKE_API_URL; default http://127.0.0.1:8080)')
    .option(
      '--api-key <key>',
      'who asks (PIKE_API_KEY; default: the file api-key in the data folder)',
    )
    .option('--data-dir <folder>', 'where to look for the file api-key (PIKE_DATA_DIR)')

/**
 * Flags over environment over what a gateway started here, with the same settings, would use. A
 * gateway that is not there is said at once; one that goes away meanwhile is waited for a while.
 */
export function connect(options: ApiOptions): PikeBackend {
  const url = apiUrl(options)
  const key = apiKey(options)
  try {
    return backend({ url, key })
  } catch (error) {
    // What the client does not take of these two is the caller's slip.
    throw error instanceof TypeError ? new Failure(error.message) : error
  }
}

export function backend(options: Pick<PikeBackendOptions, 'url' | 'key'>): PikeBackend {
  let said = ''
  return new PikeBackend({
    ...options,
    retry: {
      forMs: retryForMs,
      failFast: true,
      onRetry: ({ error, delayMs }) => {
        const what = shortOf(error)
        // Short ones nobody needs to know of, nor the same again.
        if (delayMs < 1_000 || what === said) return
        said = what
        process.stderr.write(`${what}, trying again in ${Math.round(delayMs / 1000)} s\n`)
      },
    },
  })
}

/** How long a call is tried again, ms. */
const retryForMs = 30_000

const shortOf = (error: Error): string =>
  error instanceof PikeProblem ? error.code.replaceAll('-', ' ') : error.message

/** What a person needs to know of what the client threw; undefined: it is no failure of a call. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof Failure) return error
  if (error instanceof PikeUnreachable)
    return new Failure(
      error.maybeDone
        ? error.message + keyOf(error)
        : `cannot reach the gateway at ${error.url} (${error.code})\nstart one with "pike serve", or say where it is with --api or PIKE_API_URL`,
    )
  if (!(error instanceof PikeProblem)) return undefined
  if (error.status === 401)
    return new Failure(
      `${error.message}\ngive the right key with --api-key or PIKE_API_KEY, or name its data folder with --data-dir`,
    )
  // What passes by itself was tried for a while already.
  if (error.retryAfterSeconds !== undefined && error.idempotencyKey !== undefined)
    return new Failure(error.title + fullness(error) + keyOf(error))
  return new Failure(error.message)
}

/** Of a full mailbox: with what, and since when. */
function fullness({ code, body }: PikeProblem): string {
  const { mailbox } = body as { mailbox?: { commands?: unknown; oldestAt?: unknown } }
  if (code !== 'mailbox-full' || mailbox === undefined) return ''
  const oldest = mailbox.oldestAt === undefined ? '' : `, the oldest since ${mailbox.oldestAt}`
  return `: ${mailbox.commands} commands are open${oldest}; nothing was kept`
}

const keyOf = ({ idempotencyKey }: PikeProblem | PikeUnreachable): string =>
  idempotencyKey === undefined ? '' : `\nto try the same command again: --key ${idempotencyKey}`

export function settingsFor(options: ApiOptions) {
  const loaded = loadConfig({
    flags: { 'data-dir': options.dataDir, 'api-key': options.apiKey },
    env: process.env,
  })
  if (!loaded.ok) throw new Failure(loaded.problem)
  return loaded.config
}

function apiUrl(options: ApiOptions): string {
  const given = options.api ?? process.env.PIKE_API_URL
  if (given !== undefined && given !== '') {
    if (!URL.canParse(given) || !/^https?:/.test(given))
      throw new Failure(
        `"${given}" is no address of a gateway; write it like http://127.0.0.1:8080`,
      )
    return given
  }
  const { apiHost, apiPort } = settingsFor(options)
  if (apiPort === 'off' || apiPort === 0)
    throw new Failure(
      `PIKE_API_PORT is ${apiPort}, so the gateway's address cannot be told; name it with --api or PIKE_API_URL`,
    )
  // An address to listen on everywhere is no address to connect to.
  const host = apiHost === '0.0.0.0' || apiHost === '::' ? '127.0.0.1' : apiHost
  return `http://${host.includes(':') ? `[${host}]` : host}:${apiPort}`
}

/** The key at hand, or undefined. */
export function findApiKey(options: ApiOptions): string | undefined {
  const config = settingsFor(options)
  if (config.apiKey !== undefined) return config.apiKey
  try {
    const key = readFileSync(join(config.dataDir, 'api-key'), 'utf8').trim()
    return key === '' ? undefined : key
  } catch {
    return undefined
  }
}

function apiKey(options: ApiOptions): string {
  const key = findApiKey(options)
  if (key !== undefined) return key
  const file = join(settingsFor(options).dataDir, 'api-key')
  throw new Failure(
    `no API key: none given with --api-key or PIKE_API_KEY, and ${file} cannot be read\nthe gateway makes that file on its first start; name its folder with --data-dir`,
  )
}
