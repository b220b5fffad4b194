import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { traceLine } from '../../cli/trace-line.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { runPike } from '../support/pike-process.ts'

describe('pike trace', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'pike-trace-'))
  let gateway: GatewayProcess
  let env: Record<string, string>
  before(async () => {
    gateway = await startGateway({ dataDir })
    env = { PIKE_API_URL: `http://127.0.0.1:${gateway.ports.api}`, PIKE_API_KEY: gateway.apiKey }
    await gateway.api('PUT', '/v1/devices/SZ-1', {})
    await gateway.api('POST', '/v1/devices/SZ-1/commands', { name: 'open', payload: { door: 7 } })
  })
  after(async () => {
    await gateway.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  test('tells what was asked of a device, payloads only where that is asked for', async () => {
    const { code, stdout } = await runPike(['trace', 'SZ-1'], env)
    assert.equal(code, 0)
    assert.match(stdout, /gateway +· +accepted: open \(queue\), asked by key \S+ +SZ-1:main:/)
    assert.doesNotMatch(stdout, /door/)
    const shown = await runPike(['trace', 'SZ-1', '--payloads'], env)
    assert.match(shown.stdout, /\{"door":7\}/)
    const json = await runPike(['trace', 'SZ-1', '--json'], env)
    assert.equal(JSON.parse(json.stdout.split('\n')[0]!).type, 'accepted')
  })

  test('nobody is told so, with what to do', async () => {
    const { code, stderr } = await runPike(['trace', 'nobody'], env)
    assert.equal(code, 1)
    assert.match(stderr, /no device nobody/)
  })
})

test('what a device says cannot move the cursor of whoever reads it', () => {
  const line = traceLine({
    ...{ id: '1', at: '2026-01-01T00:00:00.000Z', way: 'in', type: 'PUBLISH' },
    ...{ connection: 't-1', protocol: 'mqtt', name: 'a\u001b[2Jb\n' },
  })
  assert.match(line, /a\\u001b\[2Jb\\u000a/)
})
