import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { pikeCommand } from '../support/pike-process.ts'
import { cores, pinnedNode } from './machine.ts'

export type ListenerName = 'api' | 'pike' | 'mqtt' | 'coap' | 'http'

/** A real gateway on the core of the servers, as `pike serve` starts it. */
export interface BenchGateway {
  readonly pid: number
  readonly key: string
  /** From starting the process to its ready line. */
  readonly readyMs: number
  /** Those that were not asked for are 0. */
  readonly ports: { readonly [name in ListenerName]: number }
  /** /metrics: `name` or `name{label="value"}` -> value. */
  metrics(): Promise<ReadonlyMap<string, number>>
  get(path: string): Promise<unknown>
  put(path: string, body: object, key?: string): Promise<unknown>
  stop(): Promise<void>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

const key = 'bench-key-0123456789abcdefghijklmnop'
const startMaxMs = 30_000
const stopMaxMs = 20_000

/** @param nodeArgs for Node itself, e.g. its profiler. */
export async function startGateway(
  dataDir: string,
  nodeArgs: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<BenchGateway> {
  const [command, ...pinning] = pinnedNode(cores.server)
  const spawnedMs = performance.now()
  const child = spawn(command, [...pinning, ...nodeArgs, ...pikeCommand(), 'serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      PIKE_DATA_DIR: dataDir,
      PIKE_API_KEY: key,
      PIKE_API_PORT: '0',
      PIKE_TCP_PORT: '0',
      PIKE_TLS_PORT: 'off',
      PIKE_MQTT_PORT: 'off',
      PIKE_MQTT_WS_PORT: 'off',
      PIKE_COAP_PORT: 'off',
      PIKE_HTTP_PORT: 'off',
      PIKE_DEVICE_HOST: '127.0.0.1',
      PIKE_LOG_LEVEL: 'warn',
      ...env,
    },
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.on('exit', kill)
  const exited = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) => resolve(`code ${code}, signal ${signal}`)),
  )
  const ports = await new Promise<BenchGateway['ports']>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the gateway did not start')), startMaxMs)
    void exited.then((how) => reject(new Error(`the gateway ended at its start: ${how}`)))
    createInterface(child.stdout!).on('line', (line) => {
      if (!line.includes('"gateway.ready"')) return
      clearTimeout(timer)
      const { listeners } = JSON.parse(line) as { listeners: { name: string; port: number }[] }
      const port = (name: string): number => listeners.find((one) => one.name === name)?.port ?? 0
      resolve({
        ...{ api: port('api'), pike: port('pike'), mqtt: port('mqtt') },
        ...{ coap: port('coap'), http: port('http') },
      })
    })
  })
  const readyMs = performance.now() - spawnedMs
  const fetched = async (path: string, body?: object, as = key): Promise<Response> => {
    const answer = await fetch(`http://127.0.0.1:${ports.api}${path}`, {
      headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
      ...(body !== undefined && { method: 'PUT', body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }
  return {
    pid: child.pid!,
    key,
    readyMs,
    ports,
    async metrics() {
      return parseMetrics(await (await fetched('/metrics')).text())
    },
    async get(path) {
      return (await fetched(path)).json()
    },
    async put(path, body, as) {
      return (await fetched(path, body, as)).json()
    },
    async stop() {
      child.kill('SIGTERM')
      const late = setTimeout(kill, stopMaxMs)
      await exited
      clearTimeout(late)
      process.off('exit', kill)
    },
    async kill() {
      kill()
      await exited
      process.off('exit', kill)
    },
  }
}

function parseMetrics(text: string): ReadonlyMap<string, number> {
  const metrics = new Map<string, number>()
  for (const line of text.split('\n')) {
    const end = line.lastIndexOf(' ')
    if (!line.startsWith('#') && end > 0)
      metrics.set(line.slice(0, end), Number(line.slice(end + 1)))
  }
  return metrics
}
