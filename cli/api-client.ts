import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../src/node/config.ts'
import type { Problem } from './bodies.ts'
import { Failure } from './failure.ts'

/** Where the gateway is and who we are. */
export interface ApiOptions {
  readonly api?: string
  readonly apiKey?: string
  readonly dataDir?: string
}

/** Names in the environment for commands that talk to a gateway, beside its own settings. */
export const clientVariables = ['PIKE_API_URL']

export const withApi = (command: Command): Command =>
  command
    .option('--api <url>', 'where the gateway is (PIKE_API_URL; default http://127.0.0.1:8080)')
    .option(
      '--api-key <key>',
      'who asks (PIKE_API_KEY; default: the file api-key in the data folder)',
    )
    .option('--data-dir <folder>', 'where to look for the file api-key (PIKE_DATA_DIR)')

export interface Answer<Body> {
  readonly status: number
  readonly body: Body
}

export interface Call {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Answers outside 2xx that the caller has words for. */
  readonly expected?: readonly number[]
  readonly signal?: AbortSignal
}

/** The HTTP API as the command line uses it: JSON in, JSON out, failures in words. */
export class ApiClient {
  readonly url: string
  readonly #key: string

  constructor(url: string, key: string) {
    this.url = url.replace(/\/+$/, '')
    this.#key = key
  }

  async call<Body>(method: string, path: string, call: Call = {}): Promise<Answer<Body>> {
    const response = await this.#fetch(method, path, call)
    let body: unknown
    try {
      const text = await response.text()
      body = text === '' ? undefined : JSON.parse(text)
    } catch {
      throw new Failure(
        `${this.url} broke off its answer, or did not answer in JSON: is it a Pike gateway?`,
      )
    }
    return { status: response.status, body: body as Body }
  }

  /** An answer that goes on: server-sent events. */
  async stream(path: string, call: Call = {}): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#fetch('GET', path, call)
    if (response.body === null) throw new Failure(`${this.url} sent no events`)
    return response.body
  }

  async #fetch(method: string, path: string, call: Call): Promise<Response> {
    const headers: Record<string, string> = {
      ...call.headers,
      authorization: `Bearer ${this.#key}`,
    }
    if (call.body !== undefined) headers['content-type'] = 'application/json'
    let response: Response
    try {
      response = await fetch(this.url + path, {
        method,
        headers,
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      })
    } catch (error) {
      if (call.signal?.aborted) throw error
      throw new Unreachable(this.url, error)
    }
    if (response.ok || call.expected?.includes(response.status)) return response
    throw await this.#refused(response)
  }

  async #refused(response: Response): Promise<Refused> {
    const problem = (await response.json().catch(() => ({}))) as Problem
    const { title = `HTTP status ${response.status}`, detail } = problem
    const said = detail === undefined ? title : `${title}: ${detail}`
    const advice =
      response.status === 401
        ? '\ngive the right key with --api-key or PIKE_API_KEY, or name its data folder with --data-dir'
        : ''
    return new Refused(`${this.url} refused. ${said}${advice}`, response.status, problem)
  }
}

/** The gateway answered, and said no. */
export class Refused extends Failure {
  readonly status: number
  readonly problem: Problem

  constructor(message: string, status: number, problem: Problem) {
    super(message)
    this.status = status
    this.problem = problem
  }
}

/** Nobody answered. */
export class Unreachable extends Failure {
  constructor(url: string, error: unknown) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause
    const why = cause?.code ?? cause?.message ?? (error as Error).message
    super(
      `cannot reach the gateway at ${url} (${why})\nstart one with "pike serve", or say where it is with --api or PIKE_API_URL`,
    )
  }
}

/** Flags over environment over what a gateway started here, with the same settings, would use. */
export function connect(options: ApiOptions): ApiClient {
  return new ApiClient(apiUrl(options), apiKey(options))
}

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
