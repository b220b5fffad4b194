import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePorts, pikeCommand, spawnPike } from '../support/pike-process.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export const sabotages = [
  'answers-before-write',
  'forgets-stamp',
  'reorders',
  'forgets-member',
  'skips-event',
  'hands-over-canceled',
  'mqtt-answers-early',
  'coap-counts-unacknowledged',
  'http-acknowledges-unasked',
  'forgets-mark',
] as const
export type Sabotage = (typeof sabotages)[number]

const startMaxMs = 60_000
const tailBytes = 16_384

/** The gateway as the outside knows it: a process that is started, killed, stopped and paused. */
export class Server {
  readonly #child: ChildProcess
  readonly exited: Promise<Exit>
  api: Address = { host: '127.0.0.1', port: 0 }
  /** Of devices, by the name in its ready line. */
  readonly listeners = new Map<string, Address>()
  alive = true
  #said = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-tailBytes)
    })
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.alive = false
        resolve({ code, signal })
      })
    })
  }

  /** The end of what it wrote to its log. */
  get said(): string {
    return this.#said
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Not ready yet: see {@link ready}. */
  static spawn(
    dataDir: string,
    apiKey: string,
    sabotage: readonly Sabotage[],
    limits: Readonly<Record<string, number>>,
    more: Readonly<Record<string, string>> = {},
  ): Server {
    const env = {
      ...freePorts,
      ...more,
      PIKE_DATA_DIR: dataDir,
      PIKE_API_KEY: apiKey,
      PIKE_DEVICE_HOST: '127.0.0.1',
      PIKE_LOG_LEVEL: 'warn',
      PIKE_WEBHOOK_ALLOW: 'loopback',
      PIKE_LIMITS: Object.entries(limits)
        .map(([name, value]) => `${name}=${value}`)
        .join(','),
    }
    if (sabotage.length === 0) return new Server(spawnPike(['serve'], env))
    const entry = fileURLToPath(new URL('./broken-server.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', entry, sabotage.join(',')], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    const end = (): void => void child.kill('SIGKILL')
    process.once('exit', end)
    child.once('exit', () => process.off('exit', end))
    return new Server(child)
  }

  /** Resolves when every listener answers; rejects with what it said when it ends before. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer)
        reject(new Error(`the gateway ${why}\n${this.#said}`))
      }
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL')
        fail(`was not ready after ${startMaxMs} ms`)
      }, startMaxMs)
      createInterface(this.#child.stdout!).on('line', (line) => {
        const listeners = readyLine(line)
        if (listeners === undefined) return
        for (const { name, port } of listeners) {
          if (name === 'api') this.api = { host: '127.0.0.1', port }
          else this.listeners.set(name, { host: '127.0.0.1', port })
        }
        clearTimeout(timer)
        resolve()
      })
      void this.exited.then(({ code, signal }) => {
        fail(`ended before it was ready (code ${code}, signal ${signal})`)
      })
    })
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }
}

/** The command that is tried, for the head of a report. */
export const serverCommand = (): string => pikeCommand().join(' ')

function readyLine(line: string): { name: string; port: number }[] | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const said = JSON.parse(line) as {
      event?: string
      listeners?: { name: string; port: number }[]
    }
    return said.event === 'gateway.ready' ? (said.listeners ?? []) : undefined
  } catch {
    return undefined
  }
}
