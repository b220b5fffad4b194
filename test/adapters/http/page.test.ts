import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type GatewayProcess, startGateway } from '../../support/gateway-process.ts'

const page = readFileSync(path.join(import.meta.dirname, '../../../docs/http.md'), 'utf8')
// Those named `gateway` and `settings` are for a person: they say what is set here.
const blocks = [...page.matchAll(/```sh( locker)?\n([\s\S]*?)```/g)]
const commands = blocks.filter(([, locker]) => locker === undefined).map(([, , text]) => text!)
const locker = blocks.find(([, kind]) => kind !== undefined)![2]!
const [setup = ''] = commands[0]!.split('curl', 1)

describe('docs/http.md, copied and pasted', () => {
  let gateway: GatewayProcess
  let env: Record<string, string>
  const folder = mkdtempSync(path.join(tmpdir(), 'pike-http-page-'))
  const shells = new Set<ChildProcess>()

  before(async () => {
    gateway = await startGateway()
    const device = await gateway.api('PUT', '/v1/devices/SZ-0048', {})
    env = {
      PATH: process.env.PATH!,
      SECRET: device.body.secret,
      GATEWAY: `127.0.0.1:${gateway.port('http')}`,
    }
  })

  after(async () => {
    for (const shell of shells) shell.kill('SIGKILL')
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  /** What a shell says to a text typed into it. */
  function sh(text: string, more: Record<string, string> = {}): Promise<string> {
    const shell = spawn('sh', ['-e', '-c', text], {
      cwd: folder,
      env: { ...env, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    shells.add(shell)
    let out = ''
    let err = ''
    shell.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk
    })
    shell.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      err += chunk
    })
    return new Promise((resolve, reject) =>
      shell.on('close', (code) => {
        shells.delete(shell)
        if (code === 0) resolve(out)
        else reject(new Error(`exit code ${code}: ${err}`))
      }),
    )
  }

  const send = (body: object) =>
    gateway.api('POST', '/v1/devices/SZ-0048/commands', body, { prefer: 'wait=20' })

  test('the first steps: report, receive, reply, acknowledge', async () => {
    const [first, reply, again] = commands
    const queued = await gateway.api('POST', '/v1/devices/SZ-0048/commands', {
      name: 'open',
      payload: { door: 7 },
      expect: 'reply',
    })
    const answer = JSON.parse(await sh(first!))
    const [item] = answer.items
    assert.equal(item.id, queued.body.id)
    assert.deepEqual(item.payload, { door: 7 })
    await sh(`${setup}\n${reply}`, { ID: item.id })
    const { body } = await gateway.api('GET', `/v1/commands/${item.id}`)
    assert.equal(body.status, 'done')
    const next = send({ name: 'light' })
    const more = { EPOCH: answer.epoch, AFTER: answer.after }
    const second = JSON.parse(await sh(`${setup}\n${again}`, more))
    assert.deepEqual(
      second.items.map(({ name }: { name: string }) => name),
      ['light'],
    )
    await sh(`${setup}\n${again!.replace('wait=30', 'wait=0')}`, {
      EPOCH: second.epoch,
      AFTER: second.after,
    })
    assert.equal((await next).body.status, 'delivered')
    const events = await gateway.api('GET', '/v1/events?type=event')
    assert.equal(events.body.items[0].name, 'door-opened')
  })

  test('stamps, many events, and a stream', async () => {
    const [, , , stamped, stream] = commands
    for (let i = 0; i < 2; i++) await sh(`${setup}\n${stamped}`)
    const events = await gateway.api('GET', '/v1/events?type=event')
    const names = events.body.items.map(({ name }: { name: string }) => name)
    assert.deepEqual(names.slice(1), ['temperature', 'door-opened', 'door-closed'])
    assert.match(await sh(`${setup}\n${stream}`), /event: start\ndata: \{"time"/)
  })

  test('the locker in sh opens what it is told to, and forgets nothing over a restart', async () => {
    const running = sh(`${setup}\n${locker}`).catch(() => {})
    const opened = await send({ name: 'open', payload: { door: 7 }, expect: 'reply' })
    assert.equal(opened.body.status, 'done')
    const refused = await send({ name: 'dance', expect: 'reply' })
    assert.deepEqual([refused.body.status, refused.body.reason], ['rejected', 'unknown'])
    for (const shell of shells) shell.kill('SIGKILL')
    await running
    const again = sh(`${setup}\n${locker}`).catch(() => {})
    const third = await send({ name: 'open', expect: 'reply' })
    assert.equal(third.body.status, 'done')
    for (const shell of shells) shell.kill('SIGKILL')
    await again
  })
})
