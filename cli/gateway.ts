import { join } from 'node:path'
import type { Listener } from '../src/contract/index.ts'
import type { Loaded } from '../src/node/config.ts'
import { createLog, type Log } from '../src/node/log.ts'
import { Node, type Started, stopMaxMs } from '../src/node/node.ts'
import { StartFailure } from '../src/node/start-failure.ts'
import { pikeAsCalled } from './called.ts'
import { Failure } from './failure.ts'
import { print, printJson } from './print.ts'
import { version } from './version.ts'
import { partsFor } from './wire.ts'

/** Runs a gateway; resolves when it is ready. Signals end the process. */
export async function serve({ config, unknown }: Extract<Loaded, { ok: true }>): Promise<void> {
  const { log, flush } = createLog({
    level: config.logLevel,
    human: process.stderr.isTTY ?? false,
  })
  process.on('exit', flush)
  for (const name of unknown)
    log.warn({ event: 'config.unknown', name }, 'no setting has this name: a slip of the pen?')

  const node = new Node(partsFor(config, log))
  stopOnSignals(node, log, stopMaxMs(config.limits))
  const started = await node.start().catch((error: unknown) => {
    throw error instanceof StartFailure ? new Failure(error.message) : error
  })
  sayReady(started)
}

/** One Ctrl-C may arrive twice: from the terminal, and handed on by npm or a wrapper. */
const sameSignalMs = 500

/** The first signal stops in order, the second at once. */
function stopOnSignals(node: Node, log: Log, maxMs: number): void {
  let stoppingSinceMs: number | undefined
  const heard = (signal: NodeJS.Signals): void => {
    if (stoppingSinceMs !== undefined) {
      if (performance.now() < stoppingSinceMs + sameSignalMs) return
      log.warn({ event: 'gateway.stopped', signal, politely: false }, 'stopped at once')
      process.exit(130)
    }
    stoppingSinceMs = performance.now()
    log.info({ event: 'gateway.stopping', signal }, 'no new calls; finishing what is under way')
    setTimeout(() => {
      // What was accepted is synced already; the next start treats it like a crash.
      log.error({ event: 'gateway.stopped', signal, politely: false }, 'did not finish in time')
      process.exit(1)
    }, maxMs).unref()
    void node.stop().then(() => {
      log.info({ event: 'gateway.stopped', signal, politely: true }, 'goodbye')
      process.exit(0)
    })
  }
  process.on('SIGTERM', heard)
  process.on('SIGINT', heard)
  process.on('SIGHUP', heard)
  process.on('uncaughtException', (err) => {
    log.fatal({ event: 'gateway.crashed', err }, 'our mistake, please report it')
    process.exit(1)
  })
}

function sayReady(started: Started): void {
  const { listeners, dataDir, firstKey } = started
  printJson({
    event: 'gateway.ready',
    listeners,
    dataDir,
    version,
    pid: process.pid,
    ...(firstKey.file === undefined ? {} : { apiKeyFile: firstKey.file }),
  })
  // For people: at a terminal, or started as the README says. Elsewhere the output may be kept, and
  // a key has no business there.
  if (process.stdout.isTTY || process.env.npm_lifecycle_event === 'start') welcome(started)
}

const titles: Readonly<Record<string, string>> = {
  api: 'HTTP API, for back ends',
  pike: 'Pike, for devices',
  'pike-tls': 'Pike over TLS, for devices',
  mqtt: 'MQTT, for devices',
  mqtts: 'MQTT over TLS, for devices',
  'mqtt-ws': 'MQTT over WebSocket',
  coap: 'CoAP, for devices',
  http: 'HTTP, for devices',
  https: 'HTTPS, for devices',
}

function welcome({ listeners, dataDir, firstKey }: Started): void {
  print()
  print(`Pike IoT ${version} is ready.`)
  print()
  for (const listener of listeners)
    print(`  ${(titles[listener.name] ?? listener.name).padEnd(28)}${place(listener)}`)
  print(`  ${'Data'.padEnd(28)}${dataDir}`)
  if (firstKey.made !== undefined) {
    print(`  ${'API key, made just now'.padEnd(28)}${firstKey.made}`)
    print(`  ${''.padEnd(28)}(kept in ${firstKey.file})`)
  }
  const api = listeners.find((listener) => listener.name === 'api')
  if (api !== undefined) {
    const key =
      firstKey.made ??
      (firstKey.file === undefined ? '$PIKE_API_KEY' : `$(cat '${join(dataDir, 'api-key')}')`)
    print()
    print('Try it, from another terminal:')
    print(`  curl -H "Authorization: Bearer ${key}" ${place(api)}/v1/devices`)
    print()
    print(`What else there is: ${place(api)}/docs, "${pikeAsCalled()} --help". Ctrl-C stops.`)
  }
  print()
}

/** An address to connect to: one listened on everywhere is reached by loopback. */
function place({ name, host, port }: Listener): string {
  const reachable = name === 'api' && (host === '0.0.0.0' || host === '::') ? '127.0.0.1' : host
  const text = `${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
  return name === 'api' ? `http://${text}` : text
}
