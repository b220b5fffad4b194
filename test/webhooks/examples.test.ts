import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { makeWebhookSecret, signatureHeaders } from '../../src/secrets/webhook-signature.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'

/* The examples of docs/webhooks.md, as they stand there, against a real gateway. */

const root = path.join(import.meta.dirname, '..', '..')
const text = readFileSync(path.join(root, 'docs', 'webhooks.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...text.matchAll(/```(\w+)\n([\s\S]*?)```/g)]
    .filter(([, name]) => name === language)
    .map(([, , code]) => code!)

const there = (program: string): boolean => spawnSync(program, ['--version']).status === 0

let gateway: GatewayProcess
const folder = mkdtempSync(path.join(tmpdir(), 'pike-examples-'))
before(async () => {
  gateway = await startGateway({ env: { PIKE_WEBHOOK_ALLOW: 'loopback' } })
})
after(async () => {
  await gateway.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** The receiver gets what happens, keeps repeats out, and does not believe a stranger. */
async function judge(name: string, start: (env: Record<string, string>) => ChildProcess) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/pike`
  const made = await gateway.api('PUT', `/v1/webhooks/${name}`, { url, types: ['command.ended'] })
  assert.equal(made.status, 201)
  const other = makeWebhookSecret().secret
  const child = start({ PORT: String(port), WEBHOOK_SECRETS: `${other},${made.body.secret}` })
  try {
    const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
    await gateway.api('PUT', `/v1/devices/${name}`, {})
    const body = { name: 'open', delivery: 'now' }
    const sent = await gateway.api('POST', `/v1/devices/${name}/commands`, body)
    assert.equal(sent.body.status, 'undeliverable')
    const { value } = await lines.next()
    assert.match(value, new RegExp(`^[0-9a-z]+-[0-9a-z]{10} command\\.ended ${name}$`))

    const forge = async (secret: string, seconds: number): Promise<number> => {
      const items = [{ id: '1-0000000001', type: 'event', device: name }]
      const forged = JSON.stringify({ app: 'default', webhook: name, items })
      const headers = { ...signatureHeaders([secret], 'msg_1', seconds, forged) }
      return (await fetch(url, { method: 'POST', body: forged, headers })).status
    }
    const now = Math.floor(Date.now() / 1000)
    assert.equal(await forge(makeWebhookSecret().secret, now), 401, 'a stranger')
    assert.equal(await forge(other, now - 3_600), 401, 'an old request')
    assert.equal((await fetch(url, { method: 'POST', body: '{}' })).status, 401, 'no signature')
    assert.equal(await forge(other, now), 204, 'the other secret of two')
    assert.equal(await forge(other, now), 204, 'a repeat')
    assert.match((await lines.next()).value, /^1-0000000001 event /)
    // The repeat said nothing: the next line is that of another event.
    await gateway.api('POST', `/v1/devices/${name}/commands`, body)
    assert.match((await lines.next()).value, / command\.ended /)
  } finally {
    child.kill('SIGKILL')
    await gateway.api('DELETE', `/v1/webhooks/${name}`)
  }
}

test('the receiver in Node.js does what the page says', async () => {
  const [program] = blocks('js')
  const client = pathToFileURL(path.join(root, 'src', 'backend', 'index.ts')).href
  const file = path.join(folder, 'receiver.mjs')
  writeFileSync(file, program!.replace("'pike-iot/backend'", `'${client}'`))
  const tsx = import.meta.resolve('tsx')
  await judge('in-node', (env) =>
    spawn(process.execPath, ['--import', tsx, file], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  )
})

if (there('python3'))
  test('the receiver in Python does what the page says', async () => {
    const [program] = blocks('python')
    const file = path.join(folder, 'receiver.py')
    writeFileSync(file, program!)
    await judge('in-python', (env) =>
      spawn('python3', [file], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    )
  })

if (there('curl'))
  test('the calls of the page work, in its order', async () => {
    for (const block of blocks('sh')) {
      const run = spawnSync('sh', ['-e', '-c', block], {
        encoding: 'utf8',
        env: {
          ...process.env,
          PIKE: gateway.url,
          KEY: gateway.apiKey,
          RECEIVER: 'http://127.0.0.1:9/pike',
        },
      })
      assert.equal(run.status, 0, `${block}\n${run.stdout}${run.stderr}`)
    }
    const { body } = await gateway.api('GET', '/v1/webhooks')
    const names = body.items.map((item: { name: string }) => item.name)
    assert.deepEqual(names, ['callbacks', 'orders'])
  })

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
