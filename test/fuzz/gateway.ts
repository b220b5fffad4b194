import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { cert, key } from '../adapters/pike/certificate.ts'
import { freePorts, runPike, spawnPike } from '../support/pike-process.ts'

export interface Memory {
  /** After a collection: heap and what it holds outside. */
  readonly heapBytes: number
  readonly rssBytes: number
}

/** Names of listeners as the ready line has them. */
export const listenerNames = [
  'api',
  'pike',
  'pike-tls',
  'mqtt',
  'mqtts',
  'mqtt-ws',
  'coap',
  'http',
  'https',
] as const
export type ListenerName = (typeof listenerNames)[number]

/** Log lines of `warn` that may be there: somebody did what is to be logged. */
const expected = new Set(['device.wrong-secret', 'session.conflict', 'fuzz.memory'])
const startMaxMs = 30_000
const stopMaxMs = 30_000
const complaintsMax = 20

/**
 * A real gateway with all its listeners, TLS too, on LevelDB in a folder of its own, watched from
 * outside: what it logs, what it holds, whether it lives.
 */
export class Gateway {
  readonly pid: number
  readonly dataDir: string
  readonly apiKey = 'fuzz-admin-0123456789abcdefghijklmno'
  /** What it logged that it should not have, and how it ended if it did. */
  readonly complaints: string[] = []
  readonly #ports: ReadonlyMap<string, number>
  readonly #child: ReturnType<typeof spawnPike>
  readonly #exited: Promise<string>
  #memory: ((memory: Memory) => void) | undefined
  #stopping = false
  ended: string | undefined

  private constructor(
    child: ReturnType<typeof spawnPike>,
    dataDir: string,
    ports: ReadonlyMap<string, number>,
    exited: Promise<string>,
  ) {
    this.#child = child
    this.pid = child.pid!
    this.dataDir = dataDir
    this.#ports = ports
    this.#exited = exited
    void exited.then((how) => {
      this.ended = how
      if (!this.#stopping) this.#complain(`the gateway ended: ${how}`)
    })
  }

  /** @param limits other than the defaults, `name=value`. */
  static async start(limits: readonly string[] = []): Promise<Gateway> {
    const dataDir = mkdtempSync(join(tmpdir(), 'pike-fuzz-'))
    process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }))
    mkdirSync(join(dataDir, 'tls'))
    const files = { cert: join(dataDir, 'tls/cert.pem'), key: join(dataDir, 'tls/key.pem') }
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key)
    const child = spawnPike(['serve'], {
      ...freePorts,
      PIKE_TLS_PORT: '0',
      PIKE_MQTTS_PORT: '0',
      PIKE_HTTPS_PORT: '0',
      PIKE_TLS_CERT: files.cert,
      PIKE_TLS_KEY: files.key,
      PIKE_DATA_DIR: join(dataDir, 'data'),
      PIKE_DEVICE_HOST: '127.0.0.1',
      PIKE_API_KEY: 'fuzz-admin-0123456789abcdefghijklmno',
      PIKE_LOG_LEVEL: 'warn',
      ...(limits.length > 0 && { PIKE_LIMITS: limits.join(',') }),
      NODE_OPTIONS: `--import ${new URL('hook.mjs', import.meta.url).href}`,
    })
    const exited = new Promise<string>((resolve) =>
      child.once('close', (code, signal) => resolve(`code ${code}, signal ${signal}`)),
    )
    let gateway: Gateway | undefined
    const before: string[] = []
    createInterface(child.stderr!).on('line', (line) => {
      if (gateway === undefined) before.push(line)
      else gateway.#logged(line)
    })
    const ports = await new Promise<ReadonlyMap<string, number>>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`the gateway ${why}\n${before.join('\n')}`))
      const timer = setTimeout(() => fail('did not start'), startMaxMs)
      void exited.then((how) => fail(`ended at its start: ${how}`))
      createInterface(child.stdout!).on('line', (line) => {
        if (!line.includes('"gateway.ready"')) return
        clearTimeout(timer)
        const { listeners } = JSON.parse(line) as { listeners: { name: string; port: number }[] }
        resolve(new Map(listeners.map((one) => [one.name, one.port])))
      })
    })
    gateway = new Gateway(child, dataDir, ports, exited)
    for (const line of before) gateway.#logged(line)
    return gateway
  }

  port(name: ListenerName): number {
    const port = this.#ports.get(name)
    if (port === undefined) throw new Error(`no listener ${name}`)
    return port
  }

  /** One call with the administrator's key, or another. Anything but 2xx is an error. */
  async api(method: string, path: string, body?: object, apiKey = this.apiKey): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.port('api')}${path}`, {
      method,
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  }

  /** Registers `<prefix>0`, `<prefix>1`, … with {@link secretOf}, in an app. */
  async register(prefix: string, count: number, apiKey = this.apiKey): Promise<void> {
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ device: `${prefix}${i}`, secret: secretOf(`${prefix}${i}`) }),
    )
    const answer = await fetch(`http://127.0.0.1:${this.port('api')}/v1/devices`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/x-ndjson' },
      body: lines.join('\n'),
    })
    const text = await answer.text()
    const bad = text.split('\n').find((line) => line !== '' && !/"status":20[01]/.test(line))
    if (!answer.ok || bad !== undefined) throw new Error(`registering: ${answer.status} ${bad}`)
  }

  /** An app of its own, and a key of it that may do everything but administer. */
  async makeApp(app: string): Promise<string> {
    await this.api('PUT', `/v1/apps/${app}`, {})
    const made = await this.api('PUT', `/v1/apps/${app}/keys/all`, {
      scopes: ['devices', 'commands', 'events'],
    })
    return (made as { key: string }).key
  }

  /** `/metrics`: name with labels -> value. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const answer = await fetch(`http://127.0.0.1:${this.port('api')}/metrics`, {
      headers: { authorization: `Bearer ${this.apiKey}` },
    })
    const metrics = new Map<string, number>()
    for (const line of (await answer.text()).split('\n')) {
      const end = line.lastIndexOf(' ')
      if (!line.startsWith('#') && end > 0)
        metrics.set(line.slice(0, end), Number(line.slice(end + 1)))
    }
    return metrics
  }

  /** What it holds once it has collected. */
  memory(): Promise<Memory> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the gateway does not answer')), startMaxMs)
      this.#memory = (memory) => {
        clearTimeout(timer)
        resolve(memory)
      }
      this.#child.kill('SIGUSR2')
    })
  }

  /** Open descriptors; NaN where the system does not say. */
  get descriptors(): number {
    try {
      return readdirSync(`/proc/${this.pid}/fd`).length
    } catch {
      return Number.NaN
    }
  }

  /** What it has computed so far, all its threads; NaN where the system does not say. */
  get cpuUs(): number {
    try {
      const text = readFileSync(`/proc/${this.pid}/stat`, 'latin1')
      // Behind the name in parentheses; hundredths of a second. Source: proc(5).
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      return (Number(fields[11]) + Number(fields[12])) * 10_000
    } catch {
      return Number.NaN
    }
  }

  /** SIGTERM, and then its store is looked through. What is wrong with either is a complaint. */
  async stop(check = true): Promise<void> {
    if (this.ended === undefined) {
      this.#stopping = true
      this.#child.kill('SIGTERM')
      const late = setTimeout(() => this.#child.kill('SIGKILL'), stopMaxMs)
      const how = await this.#exited
      clearTimeout(late)
      if (how !== 'code 0, signal null') this.#complain(`it did not stop well: ${how}`)
    }
    if (check) {
      const { code, stdout, stderr } = await runPike(['check'], {
        PIKE_DATA_DIR: join(this.dataDir, 'data'),
      })
      if (code !== 0) this.#complain(`pike check says ${code}: ${stdout}${stderr}`)
    }
    rmSync(this.dataDir, { recursive: true, force: true })
  }

  kill(): void {
    this.#stopping = true
    this.#child.kill('SIGKILL')
  }

  #complain(text: string): void {
    if (this.complaints.length < complaintsMax) this.complaints.push(text)
  }

  #logged(line: string): void {
    let said: { event?: string; heapBytes?: number; rssBytes?: number }
    try {
      said = JSON.parse(line) as typeof said
    } catch {
      this.#complain(`it wrote: ${line}`)
      return
    }
    if (said.event === 'fuzz.memory') {
      this.#memory?.({ heapBytes: said.heapBytes!, rssBytes: said.rssBytes! })
    } else if (said.event === undefined || !expected.has(said.event)) {
      this.#complain(`it logged: ${line}`)
    }
  }
}

/** Of 160 bits as text, as far as anybody can tell. */
export const secretOf = (device: string): string =>
  `${Buffer.from(device).toString('hex')}0123456789abcdef0123456789abcdef`.slice(0, 40)
