import { connect } from 'node:net'
import { FrameEncoder } from '../../adapters/pike/codec.ts'
import { helloFrame } from '../adapters/pike/client.ts'
import type { ListenerName } from '../fuzz/gateway.ts'
import { anySource, type Peer } from './peer.ts'
import { type Attack, type Stage, sleep } from './stage.ts'

const tcp: readonly ListenerName[] = [
  'api',
  'pike',
  'pike-tls',
  'mqtt',
  'mqtts',
  'mqtt-ws',
  'http',
  'https',
]
const http: readonly ListenerName[] = ['api', 'http', 'https']

/** Runs so many side by side, until all are done. */
async function lanes(
  count: number,
  total: number,
  one: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < total) await one(next++)
  }
  await Promise.all(Array.from({ length: count }, lane))
}

const connectOnly = (port: number, reset: boolean): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: anySource() })
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.on('connect', () => (reset ? socket.resetAndDestroy() : socket.end()))
    socket.resume()
    setTimeout(() => socket.destroy(), 10_000).unref()
  })

/** Somebody who does not know the secret: short ones cost the gateway the most. */
async function guess(stage: Stage, n: number): Promise<void> {
  const device = n % 3 === 0 ? 'nobody' : `mad${n % 64}`
  const password = n % 2 === 0 ? `guess-${n}` : `${n}`.padStart(40, 'a')
  if (stage.kind === 'mqtt' || stage.kind === 'mqtt-ws') {
    const client = await stage.mqtt(n % 64, n % 2 === 0 ? 4 : 5, {
      username: `mad/${device}`,
      password: Buffer.from(password),
    })
    await client?.peer.ended(3_000)
    client?.peer.destroy()
    return
  }
  const peer = stage.connect()
  if (stage.kind === 'pike') {
    const encoder = new FrameEncoder()
    peer.write(encoder.encode(helloFrame({ app: 'mad', device })))
    await peer.until(() => peer.bytesIn > 0 || peer.closed, 5_000)
    const proof = Buffer.alloc(32, n)
    peer.write(encoder.encode({ type: 'auth', channelNumber: 0, method: 'proof', proof }))
  } else {
    const who = stage.kind === 'api' ? password : `mad/${device}:${password}`
    peer.write(
      `GET /device/v1/commands HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${who}\r\nConnection: close\r\n\r\n`,
    )
  }
  await peer.ended(3_000)
  peer.destroy()
}

const call = (stage: Stage, n: number, more = ''): string =>
  `GET ${stage.kind === 'api' ? '/v1/devices/mad0' : '/device/v1/nothing'} HTTP/1.1\r\nHost: x\r\n${stage.authorization(n % 64)}${more}\r\n`

export const floods: readonly Attack[] = [
  {
    name: '2,000 connect and go',
    listeners: tcp,
    async run(stage) {
      await lanes(16, 2_000, (n) => connectOnly(stage.port, n % 2 === 0))
      return 'taken and let go'
    },
  },
  {
    name: '200 wrong secrets, 64 at once',
    listeners: tcp,
    async run(stage) {
      await lanes(64, 200, (n) => guess(stage, n))
      return 'all refused'
    },
  },
  {
    name: 'half-closed: 200 end before they are answered',
    listeners: tcp,
    async run(stage) {
      const peers = Array.from({ length: 200 }, (_, n) => {
        const peer = stage.connect()
        if (stage.kind === 'http' || stage.kind === 'api') peer.write(call(stage, n))
        peer.socket.end()
        return peer
      })
      await Promise.all(peers.map((peer) => peer.ended(20_000)))
      const left = peers.filter(({ closed }) => !closed).length
      if (left > 0) stage.found(`${left} half-closed connections stay`)
      return left > 0 ? `${left} stay` : 'all closed'
    },
  },
  {
    name: '20 pipeline 200 calls each and read nothing',
    listeners: http,
    async run(stage) {
      const peers = Array.from({ length: 20 }, (_, n) => {
        const peer = stage.connect()
        peer.socket.pause()
        peer.write(call(stage, n).repeat(199) + call(stage, n, 'Connection: close\r\n'))
        return peer
      })
      await sleep(5_000)
      for (const peer of peers) peer.socket.resume()
      await Promise.all(peers.map((peer) => peer.ended(20_000)))
      const left = peers.filter(({ closed }) => !closed).length
      if (left > 0) stage.found(`${left} neither answered in whole nor cut off`)
      const whole = peers.filter((peer) => peer.closed && peer.bytesIn > 200 * 100).length
      // All together are more than may wait.
      return `${whole} of 20 answered in whole once they read, the rest cut off`
    },
  },
  {
    name: '20 pipeline 2,000 calls each, ten times over',
    listeners: http,
    async run(stage) {
      let cut = 0
      for (let time = 0; time < 10; time++) {
        const peers = Array.from({ length: 20 }, (_, n) => {
          const peer = stage.connect()
          peer.write(call(stage, n).repeat(2_000))
          return peer
        })
        await Promise.all(peers.map((peer) => peer.ended(5_000)))
        cut += peers.filter(({ closed }) => closed).length
        const left = peers.filter(({ closed, bytesIn }) => !closed && bytesIn === 0).length
        if (left > 0) stage.found(`${left} neither answered nor cut off`)
        for (const peer of peers) peer.destroy()
      }
      return `${cut} of 200 cut off, the rest answered one by one`
    },
  },
  {
    name: '100 with 2,000 headers, 100 with one of 60 KB, 100 with a path of 30 KB',
    listeners: [...http, 'mqtt-ws'],
    async run(stage) {
      const peers: Peer[] = []
      for (let n = 0; n < 300; n++) {
        const peer = stage.connect()
        const rest =
          n % 3 === 0
            ? `GET / HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(2_000)}\r\n`
            : n % 3 === 1
              ? `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(60_000)}\r\n\r\n`
              : `GET /${'a'.repeat(30_000)} HTTP/1.1\r\nHost: x\r\n\r\n`
        peer.write(rest)
        peers.push(peer)
      }
      await Promise.all(
        peers.map((peer) => peer.until(() => peer.closed || peer.bytesIn > 0, 10_000)),
      )
      const refused = peers.filter(
        ({ closed, head }) => closed || / (4\d\d) /.test(head.toString()),
      )
      if (refused.length < peers.length)
        stage.found(`${peers.length - refused.length} of ${peers.length} not refused`)
      return `${refused.length} of ${peers.length} refused`
    },
  },
  {
    name: '40 bodies larger than may be, at once',
    listeners: http,
    async run(stage) {
      const path = stage.kind === 'api' ? '/v1/devices/mad0/commands' : '/device/v1/events/a'
      const peers = Array.from({ length: 40 }, (_, n) => {
        const peer = stage.connect()
        peer.write(
          `POST ${path} HTTP/1.1\r\nHost: x\r\n${stage.authorization(n)}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
        )
        const part = `10000\r\n${'x'.repeat(65_536)}\r\n`
        for (let i = 0; i < 8; i++) peer.write(part)
        return peer
      })
      await Promise.all(
        peers.map((peer) => peer.until(() => peer.bytesIn > 0 || peer.closed, 15_000)),
      )
      const said = peers.filter(({ head }) => / (413|429|503|400) /.test(head.toString())).length
      if (said === 0) stage.found('nobody was told that it was too much')
      return `${said} told so, the rest cut off`
    },
  },
]
