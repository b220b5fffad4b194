import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { Agent, type IncomingMessage, type ObserveReadStream, request } from 'coap'
import { CoapClient } from 'node-coap-client'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { linesUnder } from './page.ts'

const secret = 'c2VjcmV0LW9mLWEtbG9ja2Vy'
const client = 'coap-client-notls'

let gateway: GatewayProcess
let at: string

before(async () => {
  gateway = await startGateway({ env: { PIKE_COAP_PORT: '0' } })
  at = `127.0.0.1:${gateway.port('coap')}`
  for (const device of ['SZ-0042', 'SZ-0043', 'SZ-0044', 'SZ-0045', 'SZ-0046', 'SZ-0047']) {
    const { status } = await gateway.api('PUT', `/v1/devices/${device}`, { secret })
    assert.equal(status, 201)
  }
})
after(async () => {
  await gateway.stop()
})

interface Ran {
  readonly code: number
  readonly output: string
}

/** One line, as a person would type it. */
const run = (line: string, env: Record<string, string> = {}): Promise<Ran> =>
  new Promise((resolve) => {
    const options = {
      env: { ...process.env, ...env },
      timeout: 30_000,
      maxBuffer: 8 * 1024 * 1024,
    }
    execFile('bash', ['--norc', '-euc', line], options, (error, out, err) =>
      resolve({ code: error === null ? 0 : 1, output: out + err }),
    )
  })

async function login(device: string): Promise<string> {
  const line = `${client} -m post -e ${secret} 'coap://${at}/session?device=${device}'`
  const { output } = await run(line)
  assert.match(output, /^s\/[\w-]{22}/, `is libcoap3-bin installed? ${output}`)
  return `coap://${at}/${output.trim()}`
}

async function send(device: string, command: object): Promise<string> {
  const { status, body } = await gateway.api('POST', `/v1/devices/${device}/commands`, command)
  assert.equal(status, 202, JSON.stringify(body))
  return body.id
}

const ended = async (id: string): Promise<{ status: string; reason?: string }> => {
  for (;;) {
    const { body } = await gateway.api('GET', `/v1/commands/${id}`)
    if (!['queued', 'sent', 'delivered'].includes(body.status) || body.endedAt) return body
    if (body.status === 'delivered' && body.expect === 'ack') return body
  }
}

/** libcoap's client observing: what it has printed so far. */
function observing(uri: string, ...options: string[]) {
  const child = spawn(client, ['-s', '20', ...options, '-m', 'get', uri])
  const seen = { text: '' }
  child.stdout.on('data', (text) => {
    seen.text += text
  })
  child.stderr.on('data', (text) => {
    seen.text += text
  })
  const printed = async (what: RegExp): Promise<void> => {
    while (!what.test(seen.text)) await once(child.stdout, 'data')
  }
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  return { seen, printed, stop }
}

async function online(device: string): Promise<void> {
  for (;;) {
    const { body } = await gateway.api('GET', `/v1/devices/${device}`)
    if (body.presence.state === 'online') return
  }
}

test('the coap-client commands of docs/coap.md work as they stand there', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/coap.md'), 'utf8')
  const lines = linesUnder(page, '## Ten minutes')
  assert.equal(lines.length, 7)
  const [who, observe, , reply, report, beat, leave] = lines
  const env = { GATEWAY: at, SECRET: secret }
  const { output } = await run(`${who}; echo $SESSION`, env)
  const session = output.trim()
  assert.match(session, /^s\/[\w-]{22}$/, `is libcoap3-bin installed? ${output}`)
  const here = { ...env, SESSION: session }
  const watching = run(observe!.replace('-s 30', '-s 3'), here)
  await online('SZ-0047')
  const command = { name: 'open', payload: { door: 7 }, expect: 'reply' }
  const id = await send('SZ-0047', command)
  assert.match(
    (await watching).output,
    new RegExp(`^id=${id}&name=open&expires=\\d+&reply\n{"door":7}`),
  )
  for (const line of [reply, report, beat, leave]) {
    const ran = await run(line!, { ...here, ID: id })
    assert.equal(`${ran.code}${ran.output.trim()}`, '0', line)
  }
  assert.equal((await ended(id)).status, 'done')
  const events = await gateway.api('GET', '/v1/events?type=event&device=SZ-0047')
  assert.deepEqual(
    events.body.items.map((one: { name: string; payload: unknown; stamp: unknown }) => [
      one.name,
      one.payload,
      one.stamp,
    ]),
    [['door-opened', { door: 7 }, { epoch: 7, sequence: 1 }]],
  )
})

test('libcoap: bodies in blocks both ways and in notifications, large and small, and unconfirmed', async () => {
  const session = await login('SZ-0043')
  const file = path.join(gateway.dataDir, 'body')
  for (const [size, options] of [
    [5_000, ''],
    [40_000, ''],
    [600, '-b 64'],
    [100, '-N'],
  ] as const) {
    const line = `head -c ${size} /dev/zero > ${file}; ${client} -v 6 ${options} -m post -t 42 -f ${file} ${session}/events/e${size}`
    assert.match((await run(line)).output, /2\.04/, `${size} ${options}`)
  }
  const events = await gateway.api('GET', '/v1/events?type=event&device=SZ-0043')
  const sizes = events.body.items.map((one: { name: string; payloadBase64: string }) => [
    one.name,
    Buffer.from(one.payloadBase64, 'base64').length,
  ])
  assert.deepEqual(sizes, [
    ['e5000', 5_000],
    ['e40000', 40_000],
    ['e600', 600],
    ['e100', 100],
  ])

  const payload = { text: 'x'.repeat(5_000), end: 'end' }
  for (const options of [[], ['-b', '256']]) {
    const watch = observing(`${session}/commands`, ...options)
    await online('SZ-0043')
    const id = await send('SZ-0043', { name: 'large', payload })
    await watch.printed(/"end":"end"}/)
    assert.ok(watch.seen.text.includes(JSON.stringify(payload)), 'unharmed')
    await run(`${client} -m get '${session}/commands?after=${id}'`)
    assert.equal((await ended(id)).status, 'delivered')
    await watch.stop()
  }
  // By a session of its own, since the one before is still taken for an observer's.
  const polling = await login('SZ-0043')
  const id = await send('SZ-0043', { name: 'polled', payload })
  const polled = await run(`${client} -m get ${polling}/commands`)
  assert.ok(polled.output.includes(JSON.stringify(payload)), polled.output.slice(0, 200))
  await run(`${client} -m get '${polling}/commands?after=${id}'`)
  assert.equal((await ended(id)).status, 'delivered')
})

test('node-coap: a session, an observation, a reply and an event', async () => {
  const agent = new Agent({ type: 'udp4' })
  const [host, port] = at.split(':') as [string, string]
  const ask = (method: 'GET' | 'POST', pathname: string, payload = '', observe = false) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const [path, query = ''] = pathname.split('?') as [string, string?]
      const to = { host, port: Number(port), method, pathname: path, query, observe, agent }
      const asked = request(to)
      asked.on('response', resolve)
      asked.on('error', reject)
      asked.end(payload)
    })
  const made = await ask('POST', '/session?device=SZ-0044', secret)
  assert.equal(made.code, '2.01')
  const session = `/${made.payload}`
  const stream = (await ask('GET', `${session}/commands`, '', true)) as ObserveReadStream
  const heard: string[] = []
  stream.on('data', (payload: Buffer) => heard.push(payload.toString()))
  const ids = [await send('SZ-0044', { name: 'one' }), await send('SZ-0044', { name: 'two' })]
  for (const id of ids) assert.equal((await ended(id)).status, 'delivered')
  const names = heard.filter((text) => text !== '').map((text) => /name=(\w+)/.exec(text)![1])
  assert.deepEqual(names, ['one', 'two'])
  const asked = await send('SZ-0044', { name: 'three', expect: 'reply' })
  const said = await ask('POST', `${session}/replies/${asked}?status=failed&reason=jammed`, '{}')
  assert.equal(said.code, '2.04')
  assert.deepEqual(((one) => `${one.status} ${one.reason}`)(await ended(asked)), 'failed jammed')
  const large = await ask('POST', `${session}/events/large`, 'x'.repeat(900))
  assert.equal(large.code, '2.04')
  stream.close()
})

test('node-coap-client: a session, an observation and events', async () => {
  const ask = (pathname: string, payload: string) =>
    CoapClient.request(`coap://${at}/${pathname}`, 'post', Buffer.from(payload))
  const login = await ask('session?device=SZ-0045', secret)
  assert.equal(login.code.toString(), '2.01')
  const session = login.payload!.toString()
  const heard: string[] = []
  await CoapClient.observe(`coap://${at}/${session}/commands`, 'get', ({ payload }) => {
    if (payload !== undefined && payload.length > 0) heard.push(payload.toString())
  })
  const id = await send('SZ-0045', { name: 'open', payload: { door: 7 } })
  assert.equal((await ended(id)).status, 'delivered')
  assert.match(heard[0]!, /^id=\S+&name=open&expires=\d+\n{"door":7}$/)
  const event = await ask(`${session}/events/door-opened`, '{"door":7}')
  assert.equal(event.code.toString(), '2.04')
  CoapClient.reset()
})

test('who only reports is told that commands wait, by every client that reports, and none trips over it', async () => {
  const { code, payload } = await CoapClient.request(
    `coap://${at}/session?device=SZ-0046`,
    'post',
    Buffer.from(secret),
  )
  assert.equal(code.toString(), '2.01')
  const session = payload!.toString()
  const report = async (): Promise<string> => {
    const uri = `coap://${at}/${session}/events/door-opened`
    const answer = await CoapClient.request(uri, 'post', Buffer.from('{"door":7}'))
    return `${answer.code} ${answer.payload ?? ''}`
  }
  assert.equal(await report(), '2.04 ')
  for (const name of ['one', 'two']) await send('SZ-0046', { name })
  // What waits is looked up once a second.
  let told = ''
  while (told !== '2.04 waiting=2') told = await report()
  const beat = await CoapClient.request(`coap://${at}/${session}`, 'put')
  assert.equal(`${beat.code} ${beat.payload}`, '2.04 waiting=2')
  const typed = `${client} -m post -e '{}' coap://${at}/${session}/events/door-opened`
  assert.equal((await run(typed)).output.trim(), 'waiting=2')
  CoapClient.reset()
})
