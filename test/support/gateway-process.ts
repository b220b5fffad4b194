import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePorts, spawnPike } from './pike-process.ts'

export interface GatewayOptions {
  /** Kept by whoever gave it. Without it: a fresh one, removed by `stop`, or when we exit. */
  readonly dataDir?: string
  /** Settings and anything else, over free ports and a quiet log. */
  readonly env?: Readonly<Record<string, string>>
  /** To be found again after a restart: the ports of the process before. */
  readonly ports?: { readonly api?: number; readonly pike?: number }
  /** That it may have open; left out: as many as we. */
  readonly descriptors?: number
  /** A start that takes longer has failed. */
  readonly startMaxMs?: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ApiAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever JSON came.
  readonly body: any
}

/** A real gateway in a process of its own. */
export interface GatewayProcess {
  readonly pid: number
  readonly dataDir: string
  readonly apiKey: string
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly ports: { readonly api: number; readonly pike: number }
  /** Of any listener, by its name in the ready line; 0: there is none. */
  port(name: string): number
  /** Everything it wrote to standard error so far. */
  readonly stderr: string
  readonly exited: Promise<Exit>
  /** One call with the API key. Rejects only when there was no answer. */
  api(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<ApiAnswer>
  /** SIGKILL by default. Resolves when the process is gone; SIGSTOP and SIGCONT: at once. */
  kill(signal?: NodeJS.Signals): Promise<Exit | undefined>
  /** SIGTERM, and the end of it; removes the data folder if we made it. */
  stop(): Promise<Exit>
}

const ownFolders = new Set<string>()
process.on('exit', () => {
  for (const folder of ownFolders) rmSync(folder, { recursive: true, force: true })
})

/** Resolves when every listener answers; rejects with what the process said when it did not start. */
export async function startGateway(options: GatewayOptions = {}): Promise<GatewayProcess> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'pike-test-'))
  const own = options.dataDir === undefined
  if (own) ownFolders.add(dataDir)
  const env = {
    ...freePorts,
    PIKE_DATA_DIR: dataDir,
    PIKE_API_PORT: String(options.ports?.api ?? 0),
    PIKE_TCP_PORT: String(options.ports?.pike ?? 0),
    PIKE_DEVICE_HOST: '127.0.0.1',
    PIKE_LOG_LEVEL: 'warn',
    ...options.env,
  }
  const { descriptors } = options
  const child = spawnPike(['serve'], env, descriptors === undefined ? {} : { descriptors })
  let stderr = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const exited = new Promise<Exit>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal })),
  )

  const ready = await new Promise<Ready>((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`the gateway ${why}\n${stderr}`))
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      fail('did not become ready in time')
    }, options.startMaxMs ?? 30_000)
    createInterface(child.stdout!).on('line', (line) => {
      const said = parseReady(line)
      if (said === undefined) return
      clearTimeout(timer)
      resolve(said)
    })
    void exited.then(({ code, signal }) => {
      clearTimeout(timer)
      fail(`ended before it was ready (code ${code}, signal ${signal})`)
    })
  })

  const port = (name: string): number =>
    ready.listeners.find((listener) => listener.name === name)?.port ?? 0
  const ports = { api: port('api'), pike: port('pike') }
  const url = `http://127.0.0.1:${ports.api}`
  const apiKey = options.env?.PIKE_API_KEY ?? readFileSync(join(dataDir, 'api-key'), 'utf8').trim()

  return {
    pid: child.pid!,
    dataDir,
    apiKey,
    url,
    ports,
    port,
    exited,
    get stderr() {
      return stderr
    },
    async api(method, path, body, headers = {}) {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${apiKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      const json = /json/.test(response.headers.get('content-type') ?? '')
      return {
        status: response.status,
        headers: response.headers,
        body: json && text !== '' ? JSON.parse(text) : text,
      }
    },
    async kill(signal = 'SIGKILL') {
      child.kill(signal)
      return signal === 'SIGSTOP' || signal === 'SIGCONT' ? undefined : await exited
    },
    async stop() {
      // A process that was paused would never hear of it.
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      const exit = await exited
      if (own) {
        rmSync(dataDir, { recursive: true, force: true })
        ownFolders.delete(dataDir)
      }
      return exit
    },
  }
}

interface Ready {
  readonly listeners: readonly { readonly name: string; readonly port: number }[]
}

function parseReady(line: string): Ready | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const said = JSON.parse(line) as Ready & { event?: string }
    return said.event === 'gateway.ready' ? said : undefined
  } catch {
    return undefined
  }
}
