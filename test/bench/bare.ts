import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Level } from 'level'
import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import { capability, type Frame } from '../../adapters/pike/frames.ts'
import { answerQuestions } from './worker.ts'

/**
 * What the work costs when nothing is promised: node:http and node:net, no framework, no queue, no
 * outcome. It reads the same request, compares the key with a constant, writes the same bytes to the
 * device's socket and answers. With a folder it puts the command into LevelDB first, all that came
 * while a write was under way in one synced batch.
 */
export interface BareAsked {
  readonly key: string
  readonly folder: string | undefined
}

interface Device {
  readonly socket: Socket
  readonly encoder: FrameEncoder
  offset: number
}

interface Kept {
  readonly device: Device
  readonly offset: number
  readonly name: string
  readonly payload: Buffer
  readonly answer: ServerResponse
  readonly to: string
}

const devices = new Map<string, Device>()
const path = '/v1/devices/'
const route = '/commands'
const ttlMs = 7 * 24 * 3_600_000
const startedAtMs = Date.now()
let authorization = ''
let store: Level<string, Buffer> | undefined
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
let gathered: Kept[] = []
let writing = false

function onDevice(socket: Socket): void {
  socket.setNoDelay(true)
  const encoder = new FrameEncoder()
  const decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 64 })
  const onFrame = (frame: Frame): void => {
    if (frame.type !== 'hello') return
    devices.set(frame.device, { socket, encoder, offset: 0 })
    socket.write(welcome(encoder))
    encoder.bindingsMax = frame.bindingsMax
  }
  socket.on('data', (chunk: Buffer) => decoder.push(chunk, onFrame))
  socket.on('error', () => socket.destroy())
}

const welcome = (encoder: FrameEncoder): Buffer =>
  encoder.encode({
    type: 'welcome',
    channelNumber: 0,
    capabilities: capability.batch | capability.bindings,
    proof: new Uint8Array(0),
    resumed: 'fresh',
    epoch: 1,
    offset: 0,
    uplinkKept: 0,
    keepaliveS: 240,
    frameMaxBytes: 65_536,
    windowMax: 16,
    uplinkWindowMax: 64,
    bindingsMax: 64,
    timeMs: startedAtMs,
    connection: 'bare',
    reconnectBaseMs: 0,
    reconnectMaxMs: 0,
    extensions: [],
  })

function onRequest(request: IncomingMessage, answer: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => take(request, chunks, answer))
}

function take(request: IncomingMessage, chunks: Buffer[], answer: ServerResponse): void {
  const url = request.url!
  if (request.headers.authorization !== authorization) {
    refuse(answer, 401)
    return
  }
  if (request.method !== 'POST' || !url.startsWith(path) || !url.endsWith(route)) {
    refuse(answer, 404)
    return
  }
  const to = url.slice(path.length, -route.length)
  const device = devices.get(to)
  if (device === undefined) {
    refuse(answer, 404)
    return
  }
  const text = chunks.length === 1 ? chunks[0]!.toString() : Buffer.concat(chunks).toString()
  const { name, payload } = JSON.parse(text) as { name: string; payload: unknown }
  const kept: Kept = {
    device,
    offset: ++device.offset,
    name,
    payload: Buffer.from(JSON.stringify(payload)),
    answer,
    to,
  }
  if (store === undefined) {
    deliver(kept)
    return
  }
  gathered.push(kept)
  if (!writing) void write(store)
}

/** One batch in flight; what comes meanwhile is the next. */
async function write(to: Level<string, Buffer>): Promise<void> {
  writing = true
  await turn()
  while (gathered.length > 0) {
    const batch = to.batch()
    const keeping = gathered
    gathered = []
    for (const { to: device, offset, payload } of keeping) batch.put(`${device}:${offset}`, payload)
    await batch.write({ sync: true })
    for (const kept of keeping) deliver(kept)
    await turn()
  }
  writing = false
}

function deliver({ device, offset, name, payload, answer, to }: Kept): void {
  const expiresAtMs = Date.now() + ttlMs
  device.socket.write(
    device.encoder.encode({
      type: 'command',
      channelNumber: 0,
      offset,
      deadlineMs: expiresAtMs - startedAtMs,
      name,
      payload,
      binary: false,
      replyExpected: false,
      now: false,
      repeated: false,
    }),
  )
  const id = `${to}:main:1:${offset}`
  const body = JSON.stringify({
    id,
    device: to,
    channel: 'main',
    offset,
    epoch: 1,
    status: 'queued',
    expiresAt: new Date(expiresAtMs).toISOString(),
  })
  answer.writeHead(202, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    location: `/v1/commands/${id}`,
  })
  answer.end(body)
}

function refuse(answer: ServerResponse, status: number): void {
  answer.writeHead(status, { 'content-length': 0 })
  answer.end()
}

const listen = (server: ReturnType<typeof createServer>): Promise<number> =>
  new Promise((resolve) =>
    server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () =>
      resolve((server.address() as AddressInfo).port),
    ),
  )

const answers = {
  async start({ key, folder }: BareAsked): Promise<{ api: number; pike: number }> {
    authorization = `Bearer ${key}`
    if (folder !== undefined) {
      store = new Level(folder, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
      await store.open()
    }
    return {
      api: await listen(createHttpServer(onRequest)),
      pike: await listen(createServer(onDevice)),
    }
  },
}

export type BareAnswers = typeof answers

answerQuestions(answers)
