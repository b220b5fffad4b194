import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { partsFor } from '../../cli/wire.ts'
import { memoryStorage, PikeClient } from '../../devices/index.ts'
import { loadConfig } from '../../src/node/config.ts'
import { createLog } from '../../src/node/log.ts'
import { Node } from '../../src/node/node.ts'

const key = 'a-key-of-27-characters-xxxx'
const secret = 'a-secret-of-27-characters-x'

/** What a gateway with one device, one event and one command says at /metrics. */
export async function metricsOfGateway(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'pike-observe-'))
  const flags = { 'data-dir': folder, 'api-port': '0', 'tcp-port': '0', 'tls-port': 'off' }
  const others = {
    'mqtt-port': 'off',
    'mqtt-ws-port': 'off',
    'coap-port': 'off',
    'http-port': 'off',
  }
  const loaded = loadConfig({
    flags: { ...flags, ...others, 'api-key': key, 'log-level': 'silent' },
    env: {},
  })
  if (!loaded.ok) throw new Error(loaded.problem)
  const { log } = createLog({ level: 'silent', human: false })
  const node = new Node(partsFor(loaded.config, log))
  const { listeners } = await node.start()
  const port = (name: string) => listeners.find((one) => one.name === name)!.port
  const url = `http://127.0.0.1:${port('api')}`
  const call = (method: string, path: string, body: object) =>
    fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const client = new PikeClient({
    host: '127.0.0.1',
    port: port('pike'),
    device: 'SZ-0042',
    secret,
    storage: memoryStorage(),
  })
  try {
    await call('PUT', '/v1/devices/SZ-0042', { secret, attributes: { class: 'locker' } })
    const running = new Promise((resolve) => client.once('running', resolve))
    client.start()
    await running
    await client.send('started', {})
    await call('POST', '/v1/devices/SZ-0042/commands', { name: 'open' })
    return await (await fetch(`${url}/metrics`)).text()
  } finally {
    await client.stop()
    await node.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Every name, with the labels it has and their values. */
export function readMetrics(text: string): Map<string, Map<string, Set<string>>> {
  const metrics = new Map<string, Map<string, Set<string>>>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line)
    if (match === null) throw new Error(`no line of Prometheus text: ${line}`)
    const labels = metrics.get(match[1]!) ?? new Map<string, Set<string>>()
    metrics.set(match[1]!, labels)
    for (const [, label, value] of (match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g))
      labels.set(label!, (labels.get(label!) ?? new Set()).add(value!))
  }
  return metrics
}
