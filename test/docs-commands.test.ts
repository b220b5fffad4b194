import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { type GatewayProcess, startGateway } from './support/gateway-process.ts'
import { pikeCommand } from './support/pike-process.ts'

/*
 * The commands in the guides, run as they stand there: in a shell, against a real gateway. Those of
 * docs/webhooks.md and docs/client.md have tests of their own, beside what they talk to.
 */

const root = path.join(import.meta.dirname, '..')

/** Lines that start, stop or install something, and are tried elsewhere: by CI, or by hand. */
const notHere =
  /^(npm |docker |systemctl |pike (serve|demo|restore|check|backup|locker)\b|npx pike locker\b|PIKE_)/

/** Every ```sh block of a page, without the lines that are not run here. */
function blocksOf(page: string): string[] {
  const text = readFileSync(path.join(root, page), 'utf8')
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .map(([, block]) =>
      block!
        .split('\n')
        .filter((line) => !notHere.test(line))
        .join('\n'),
    )
    .filter((block) => block.trim() !== '')
}

/** The same commands, to our gateway: failing on a refusal, and not following a stream for ever. */
const made = (block: string, gateway: GatewayProcess, command: string): string =>
  block
    .replaceAll('http://127.0.0.1:8080', gateway.url)
    .replaceAll('curl -sS', 'curl -fsS')
    .replaceAll('<command>', command)
    .replace(/^(api -N .*)$/gm, '$1 --max-time 1 || test $? -eq 28')
    .replace(/ --follow\b/g, '')

function shell(script: string, cwd: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      'bash',
      ['--norc', '-euo', 'pipefail', '-c', script],
      { cwd },
      (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: out + err }),
    )
    child.stdin?.end()
  })
}

async function tryPages(pages: readonly string[]): Promise<void> {
  const gateway = await startGateway()
  const folder = mkdtempSync(path.join(tmpdir(), 'pike-docs-'))
  try {
    symlinkSync(gateway.dataDir, path.join(folder, 'data'))
    writeFileSync(path.join(folder, 'lockers.csv'), 'device,tags\nSZ-0100,berlin;new\nSZ-0101,\n')
    await gateway.api('PUT', '/v1/devices/SZ-0042', {})
    const sent = await gateway.api('POST', '/v1/devices/SZ-0042/commands', { name: 'open' })
    const [node, ...args] = pikeCommand()
    const pike = [process.execPath, node, ...args].map((part) => `'${part}'`).join(' ')
    const listeners = { TCP: 'pike', MQTT: 'mqtt', COAP: 'coap', HTTP: 'http' }
    const ports = Object.entries(listeners).map(
      ([setting, name]) => `PIKE_${setting}_PORT=${gateway.port(name)}`,
    )
    const before = [
      `export ${ports.join(' ')}`,
      `export PIKE_API_URL=${gateway.url} PIKE_DATA_DIR=${gateway.dataDir} PIKE_API_KEY=${gateway.apiKey} KEY=${gateway.apiKey}`,
      `pike() { ${pike} "$@"; }`,
      'npx() { shift; pike "$@"; }',
    ]
    for (const page of pages) {
      const blocks = blocksOf(page)
      assert.ok(blocks.length > 0, `${page} has no commands: this test would prove nothing`)
      const script = blocks.map((block) => made(block, gateway, sent.body.id)).join('\n')
      const { code, output } = await shell([...before, 'set -x', script].join('\n'), folder)
      assert.equal(code, 0, `${page}: a command fails\n${output.slice(-2_000)}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    await gateway.stop()
  }
}

test('the commands of docs/back-end.md work as they stand there', () =>
  tryPages(['docs/back-end.md']))

test('the commands of docs/channels.md work as they stand there', () =>
  tryPages(['docs/channels.md']))

test('the commands of docs/operations.md work as they stand there', () =>
  tryPages(['docs/operations.md']))
