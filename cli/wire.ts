import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { coapAdapter } from '../adapters/coap/index.ts'
import { httpAdapter } from '../adapters/http/index.ts'
import { defaultTopics, mqttAdapter, topicsProblem } from '../adapters/mqtt/index.ts'
import { pikeAdapter } from '../adapters/pike/index.ts'
import { apiBounds } from '../src/api/bounds.ts'
import { createApi, eventJson } from '../src/api/index.ts'
import type { Engine, Limits, Listener } from '../src/contract/index.ts'
import { openLevelEngine } from '../src/engine/level/index.ts'
import { openMemoryEngine } from '../src/engine/memory/index.ts'
import { Capacity } from '../src/listen/capacity.ts'
import type { SystemClock } from '../src/node/clock.ts'
import type { Config } from '../src/node/config.ts'
import { descriptorsMax, type Places, placesWithin } from '../src/node/descriptors.ts'
import { eventLog, type Log } from '../src/node/log.ts'
import type { ApiPorts, ApiServer, NodeParts } from '../src/node/node.ts'
import { createWebhooks } from '../src/webhooks/index.ts'
import { Failure } from './failure.ts'
import { version } from './version.ts'

/** The one place where the names of products meet: what a gateway with this configuration is made of. */
export function partsFor(config: Config, log: Log): NodeParts {
  const host = config.deviceHost
  const tls = tlsFiles(config)
  const places = placesFor(config.limits, log)
  const capacity = new Capacity(places.devices)
  const moved: readonly [number | 'off', string][] = [
    [config.apiPort, 'PIKE_API_PORT (--api-port)'],
    [config.tcpPort, 'PIKE_TCP_PORT (--tcp-port)'],
    [config.tlsPort, 'PIKE_TLS_PORT (--tls-port)'],
    [config.mqttPort, 'PIKE_MQTT_PORT (--mqtt-port)'],
    [config.mqttsPort, 'PIKE_MQTTS_PORT (--mqtts-port)'],
    [config.mqttWsPort, 'PIKE_MQTT_WS_PORT (--mqtt-ws-port)'],
    [config.coapPort, 'PIKE_COAP_PORT (--coap-port)'],
    [config.httpPort, 'PIKE_HTTP_PORT (--http-port)'],
    [config.httpsPort, 'PIKE_HTTPS_PORT (--https-port)'],
  ]
  return {
    dataDir: config.dataDir,
    apiKey: config.apiKey,
    limits: { ...config.limits, connectionsMax: places.devices },
    independentChannels: config.independentChannels,
    log,
    version,
    openEngine: (dataDir, clock) => openEngine(config, dataDir, clock, log),
    adapters: [
      pikeAdapter({
        host,
        port: config.tcpPort,
        capacity,
        ...(tls === undefined ? {} : { tls: { ...tls, port: config.tlsPort } }),
      }),
      mqttAdapter({
        host,
        port: config.mqttPort,
        capacity,
        webSocketPort: config.mqttWsPort,
        topics: mqttTopics(config),
        ...(tls === undefined ? {} : { tls: { ...tls, port: config.mqttsPort } }),
      }),
      coapAdapter({
        host,
        port: config.coapPort,
        bareSecrets: config.coapBareSecrets === 'anywhere',
      }),
      httpAdapter({
        host,
        port: config.httpPort,
        capacity,
        ...(tls === undefined ? {} : { tls: { ...tls, port: config.httpsPort } }),
        log: (err) => log.error({ event: 'http.failed', err }, 'a request of a device failed'),
      }),
    ],
    makeWebhooks: ({ engine, clock }) =>
      createWebhooks({
        engine,
        clock,
        limits: config.limits,
        version,
        eventJson,
        allow: config.webhookAllow,
        log: eventLog(log),
      }),
    makeApi: (ports) => makeApi(config, ports, places, log),
    settingOf: (port) => moved.find(([taken]) => taken === port)?.[1],
  }
}

async function openEngine(
  config: Config,
  dataDir: string,
  clock: SystemClock,
  log: Log,
): Promise<Engine> {
  if (config.engine === 'memory') {
    log.warn({ event: 'engine.memory' }, 'nothing is kept over a restart: PIKE_ENGINE is memory')
    return openMemoryEngine({ clock, limits: config.limits })
  }
  return openLevelEngine({
    folder: dataDir,
    clock: (timeMarkMs) => {
      if (timeMarkMs !== undefined) clock.startAtLeast(timeMarkMs)
      return clock
    },
    limits: config.limits,
    log: eventLog(log),
    version,
  })
}

async function makeApi(
  config: Config,
  ports: ApiPorts,
  places: Places,
  log: Log,
): Promise<ApiServer> {
  const { engine, gateway, webhooks, clock, metrics, drain, devices } = ports
  const app = await createApi({
    gateway,
    names: engine.names,
    events: engine.events,
    mailbox: engine.mailbox,
    broadcasts: engine.broadcasts,
    webhooks,
    backup: engine.backup === undefined ? undefined : () => engine.backup!(),
    drain,
    clock,
    limits: config.limits,
    connectionsMax: places.backEnds,
    version,
    // Of HTTP: what speaks it may have come to the wrong door.
    deviceDoors: devices.filter(({ name }) => name.startsWith('http')),
    metrics: () => metrics.scrape(),
    log: {
      error: (about, text) => log.error({ event: 'api.failed', ...about }, text),
      warn: (about, text) => log.warn({ event: 'api.warning', ...about }, text),
    },
  })
  return {
    async start(): Promise<readonly Listener[]> {
      if (config.apiPort === 'off') return []
      await app.listen({ host: config.apiHost, port: config.apiPort })
      const address = app.server.address()
      if (address === null || typeof address === 'string') return []
      return [{ name: 'api', host: address.address, port: address.port }]
    },
    async stop(graceMs) {
      const timer = setTimeout(() => app.server.closeAllConnections(), graceMs)
      await app.close()
      clearTimeout(timer)
    },
    figures: () => app.figures(),
  }
}

/** Each connection is a descriptor, and a process has only so many. */
function placesFor({ connectionsMax }: Limits, log: Log): Places {
  const descriptors = descriptorsMax()
  const places = placesWithin(descriptors, {
    devices: connectionsMax,
    backEnds: apiBounds.connectionsMax,
  })
  if (places.devices < connectionsMax)
    log.info(
      { event: 'connections.fewer', descriptors, connectionsMax: places.devices },
      'not as many connections as connectionsMax: so few files may be open (ulimit -n)',
    )
  return places
}

/** Read at the start, so that a wrong path is said at the start. */
function tlsFiles(config: Config) {
  if (config.tls === undefined) return undefined
  const { certFile, keyFile } = config.tls
  const cert = readPem('PIKE_TLS_CERT', certFile)
  const key = readPem('PIKE_TLS_KEY', keyFile)
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    throw new Failure(
      `PIKE_TLS_CERT ${certFile} and PIKE_TLS_KEY ${keyFile} cannot be used together: ${(error as Error).message}; give a certificate and its own key, both as PEM, without a passphrase`,
    )
  }
  return { cert, key }
}

/** Looked at now, so that a slip is said at the start. */
function mqttTopics({ mqttTopics: { events, commands, replies } }: Config) {
  const topics = {
    events: events ?? defaultTopics.events,
    commands: commands ?? defaultTopics.commands,
    replies: replies ?? defaultTopics.replies,
  }
  const problem = topicsProblem(topics)
  if (problem !== undefined) throw new Failure(`PIKE_MQTT_EVENTS, _COMMANDS, _REPLIES: ${problem}`)
  return topics
}

function readPem(setting: string, file: string): Buffer {
  let pem: Buffer
  try {
    pem = readFileSync(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new Failure(
      `${setting}: ${file} cannot be read (${code}); name a PEM file this user may read`,
    )
  }
  if (!pem.includes('-----BEGIN ')) throw new Failure(`${setting}: ${file} is no PEM file`)
  return pem
}
