import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { type RunningLocker, runLocker } from '../../devices/index.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { pikeFor } from './pike.ts'

const run = promisify(execFile)
const root = path.join(import.meta.dirname, '../..')
const tsc = path.join(root, 'node_modules/.bin/tsc')

/**
 * A program of somebody else's: it has the package as it is published, what that depends on, and
 * nothing of ours beside it.
 */
function strangersProject(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'pike-stranger-'))
  const modules = path.join(folder, 'node_modules')
  mkdirSync(path.join(modules, 'pike-iot'), { recursive: true })
  mkdirSync(path.join(modules, '@types'))
  copyFileSync(path.join(root, 'package.json'), path.join(modules, 'pike-iot/package.json'))
  for (const name of ['typebox', '@types/node', 'undici-types'])
    symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name))
  writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}')
  return folder
}

const config = (files: readonly string[], more: object) =>
  JSON.stringify({
    compilerOptions: {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      outDir: 'out',
      ...more,
    },
    files,
  })

/** What compiles, and what must not. */
const types = `
import { type Event, PikeBackend, type Sent } from 'pike-iot/backend'
export async function use(pike: PikeBackend): Promise<Event['type'] | undefined> {
  const sent: Sent = await pike.send({ alias: 'order-7' }, { name: 'open', delivery: 'now' })
  if (sent.ended) {
    const at: string | undefined = sent.timeline[0]?.at
    if (sent.status === 'in-doubt') console.log(at, sent.reply?.payload)
  }
  // @ts-expect-error: an open command has no outcome yet
  else console.log(sent.reply)
  // @ts-expect-error: no such field
  await pike.send('SZ-1', { name: 'open', dellivery: 'now' })
  // @ts-expect-error: no such word
  await pike.send('SZ-1', { name: 'open', delivery: 'later' })
  // @ts-expect-error: no such outcome
  pike.history('SZ-1', { status: 'delifered' })
  // @ts-expect-error: no such scope
  await pike.keys.put('default', 'k', { scopes: ['everything'] })
  for await (const event of pike.events({ type: ['reply', 'presence'] })) {
    if (event.type === 'presence') {
      const state: 'online' | 'suspect' | 'asleep' | 'offline' = event.state
      console.log(state)
    }
    return event.type
  }
  return undefined
}
`

/** The blocks of docs/client.md as one program, each with names of its own. */
function clientPage(): string {
  const page = readFileSync(path.join(root, 'docs/client.md'), 'utf8')
  const blocks = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]!)
  assert.ok(blocks.length >= 8, 'found no examples: this test would prove nothing')
  const imports: string[] = []
  const bodies = blocks.map((block) =>
    block
      .replaceAll(/^import .*$/gm, (line) => {
        imports.push(line)
        return ''
      })
      .replaceAll(/^export /gm, ''),
  )
  const [first, ...others] = bodies
  return [...imports, first, ...others.map((body) => `{\n${body}}`), 'export {}'].join('\n')
}

describe('the examples, by a stranger who has the package and nothing else', () => {
  const folder = strangersProject()
  const secret = 'a-secret-of-at-least-22-characters'
  let gateway: GatewayProcess
  let locker: RunningLocker
  const start = async (file: string) => {
    const { stdout } = await run(process.execPath, [path.join(folder, 'out', file)], {
      env: { PATH: process.env.PATH, PIKE_API_URL: gateway.url, PIKE_API_KEY: gateway.apiKey },
      timeout: 60_000,
    })
    return stdout
  }
  before(async () => {
    const built = path.join(folder, 'node_modules/pike-iot/dist')
    // Emits what it can; whether all of ours is right is for the check of the whole project.
    await run(tsc, ['-p', path.join(root, 'tsconfig.build.json'), '--outDir', built]).catch(
      () => {},
    )
    gateway = await startGateway({ env: { PIKE_WEBHOOK_ALLOW: 'loopback' } })
    const pike = pikeFor(gateway)
    await pike.devices.put('SZ-0042', { secret })
    locker = runLocker({
      host: '127.0.0.1',
      port: gateway.ports.pike,
      device: 'SZ-0042',
      secret,
      doors: 12,
    })
    while ((await pike.devices.get('SZ-0042'))?.presence.state !== 'online');
  })
  after(async () => {
    await locker.stop()
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('all of it compiles, with every declaration checked, for Node.js and for the DOM', async () => {
    const files = ['five-minutes.ts', 'client-page.ts', 'types.ts']
    copyFileSync(path.join(root, 'docs/examples/five-minutes.ts'), path.join(folder, files[0]!))
    writeFileSync(path.join(folder, files[1]!), clientPage())
    writeFileSync(path.join(folder, files[2]!), types)
    const compile = async (name: string, only: readonly string[], more: object) => {
      writeFileSync(path.join(folder, name), config(only, more))
      await run(tsc, ['-p', path.join(folder, name)]).catch(({ stdout }) => assert.fail(stdout))
    }
    await compile('tsconfig.json', files, { lib: ['es2023'], types: ['node'] })
    await compile('tsconfig.dom.json', ['types.ts'], {
      lib: ['es2023', 'dom'],
      types: [],
      noEmit: true,
    })
  })

  test('five minutes: 1,000 devices, send, wait, cancel, broadcast, follow, verify', async () => {
    const said = await start('five-minutes.js')
    for (const line of [
      '1000 devices are registered',
      'door 7 is open',
      'SZ-0042 reports door-opened',
      'berlin-0001: undeliverable',
      'taken back',
      'broadcast to 1000 devices: 1000 wait for their device',
      'a genuine command.ended was pushed',
      '3 outcomes were followed',
    ])
      assert.ok(said.split('\n').includes(line), `${line}\nin:\n${said}`)
  })

  test('docs/client.md, from its first example to its last', async () => {
    const said = await start('client-page.js')
    for (const line of [
      'undeliverable no-link',
      'taken back',
      'line 2: This app has no such device',
      'locker-2 has a secret of 27',
      'undefined',
      'true',
      '401',
    ])
      assert.ok(said.split('\n').includes(line), `${line}\nin:\n${said}`)
    // Of a broadcast that was sent a moment ago.
    assert.match(said, /^locker-1 (waiting|queued)$/m)
    assert.match(said, /^404 unknown-device/m)
  })
})
