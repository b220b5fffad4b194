import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startGateway } from '../support/gateway-process.ts'
import { pikeCommand } from '../support/pike-process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the commands of docs/pike-protocol.md, "Clients to copy", work as they stand there', async () => {
  const page = readFileSync(path.join(root, 'docs/pike-protocol.md'), 'utf8')
  const section = page.slice(page.indexOf('\n## 19 Clients to copy'))
  const commands = /```sh\n([\s\S]*?)```/.exec(section)![1]!
  const gateway = await startGateway()
  const folder = mkdtempSync(path.join(tmpdir(), 'pike-copy-'))
  try {
    symlinkSync(path.join(root, 'devices'), path.join(folder, 'devices'))
    const pike = [process.execPath, ...pikeCommand()].map((part) => `'${part}'`).join(' ')
    const script = [
      `export PIKE_API_URL=${gateway.url} PIKE_API_KEY=${gateway.apiKey}`,
      // A failing line must leave no locker behind.
      "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT",
      `npx() { shift; ${pike} "$@"; }`,
      commands.replaceAll(' 7450 ', ` ${gateway.ports.pike} `),
    ].join('\n')
    const { error, output } = await new Promise<{ error: Error | null; output: string }>(
      (resolve) =>
        execFile(
          'bash',
          ['--norc', '-euo', 'pipefail', '-c', script],
          { cwd: folder },
          (error, out, err) => resolve({ error, output: out + err }),
        ),
    )
    assert.equal(error, null, output)
    const { body } = await gateway.api('GET', '/v1/devices/SZ-0044/commands')
    const outcomes = body.items.map((one: { status: string }) => one.status)
    assert.deepEqual(outcomes, ['done', 'done'], output)
  } finally {
    rmSync(folder, { recursive: true, force: true })
    await gateway.stop()
  }
})
