import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { PikeBackend } from '../../src/backend/index.ts'
import { backend } from '../api-client.ts'
import { Failure } from '../failure.ts'

/** A start that takes longer has failed, ms. */
const startMaxMs = 30_000
const stderrMaxChars = 4_000

/** A gateway in a process of its own, so that it can be killed like one. */
export interface DemoGateway {
  readonly pid: number
  readonly pike: PikeBackend
  readonly ports: { readonly api: number; readonly pike: number }
  readonly apiKey: string
  /** Of any listener, by its name in the ready line; 0: there is none. */
  port(name: string): number
  /** Resolves when the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>
}

/** The same program, by the same Node.js, whether from its sources or built. */
const main = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../main.ts' : '../main.js', import.meta.url),
)

/**
 * @param children where the process is found by whoever must clean up, whatever happens.
 * @param ports those of an earlier start, so that devices find it again; 0 for any free one.
 */
export async function startGateway(
  dataDir: string,
  children: Set<ChildProcess>,
  ports: { readonly api: number; readonly pike: number },
): Promise<DemoGateway> {
  const env: NodeJS.ProcessEnv = {}
  // Settings of whoever runs the demo are for their own gateway.
  for (const [name, value] of Object.entries(process.env))
    if (!name.startsWith('PIKE_') && !name.startsWith('npm_lifecycle')) env[name] = value
  const child = spawn(process.execPath, [...process.execArgv, main, 'serve'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...env,
      PIKE_DATA_DIR: dataDir,
      PIKE_API_PORT: String(ports.api),
      PIKE_TCP_PORT: String(ports.pike),
      PIKE_MQTT_PORT: '0',
      PIKE_MQTT_WS_PORT: 'off',
      PIKE_COAP_PORT: '0',
      PIKE_HTTP_PORT: '0',
      PIKE_DEVICE_HOST: '127.0.0.1',
      PIKE_LOG_LEVEL: 'warn',
    },
  })
  children.add(child)
  const gone = new Promise<void>((resolve) =>
    child.once('close', () => {
      children.delete(child)
      resolve()
    }),
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-stderrMaxChars)
  })

  const listeners = await new Promise<Listeners>((resolve, reject) => {
    const fail = (why: string): void => reject(new Failure(`the gateway ${why}\n${stderr}`.trim()))
    const timer = setTimeout(() => fail('did not become ready in time'), startMaxMs)
    void gone.then(() => {
      clearTimeout(timer)
      fail('ended before it was ready')
    })
    child.once('error', (error) => fail(`could not be started: ${error.message}`))
    createInterface(child.stdout).on('line', (line) => {
      if (!line.includes('"gateway.ready"')) return
      clearTimeout(timer)
      resolve((JSON.parse(line) as { listeners: Listeners }).listeners)
    })
  })
  const port = (name: string): number =>
    listeners.find((listener) => listener.name === name)?.port ?? 0
  const apiKey = (await readFile(join(dataDir, 'api-key'), 'utf8')).trim()
  return {
    pid: child.pid!,
    pike: backend({ url: `http://127.0.0.1:${port('api')}`, key: apiKey }),
    ports: { api: port('api'), pike: port('pike') },
    apiKey,
    port,
    kill(signal) {
      child.kill(signal)
      return gone
    },
  }
}

type Listeners = readonly { readonly name: string; readonly port: number }[]
