import type { ListenerName } from '../fuzz/gateway.ts'
import { isSecure, type Peer, upgrade } from './peer.ts'
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
const tls = tcp.filter(isSecure)
/** Beyond what was promised (15 s; bodies 30 s), for a machine that is busy. */
const cutMaxMs = 20_000
const bodyMaxMs = 36_000
/** HTTP alone waits for a first request as for a next one. */
const idleHttpMaxMs = 80_000

/** The valid beginning of a first packet. */
function beginning(stage: Stage): string | Buffer {
  switch (stage.kind) {
    case 'pike':
      return Buffer.from('f12d033f', 'hex')
    case 'mqtt':
      return Buffer.from('101b00044d515454', 'hex')
    case 'mqtt-ws':
      return upgrade().slice(0, 60)
    default:
      return 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: '
  }
}

async function waited(stage: Stage, peers: readonly Peer[], maxMs: number): Promise<string> {
  const startMs = performance.now()
  await Promise.all(peers.map((peer) => peer.ended(maxMs)))
  const left = peers.filter(({ closed }) => !closed).length
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
  if (left > 0) stage.found(`${left} of ${peers.length} not cut off within ${maxMs / 1000} s`)
  return left > 0 ? `${left} NOT cut off` : `cut off within ${seconds} s`
}

const many = (stage: Stage, count: number, raw = false): Peer[] =>
  Array.from({ length: count }, () => stage.connect(raw))

export const silences: readonly Attack[] = [
  {
    name: '100 connect and say nothing',
    listeners: tcp,
    waits: true,
    async run(stage) {
      const http = stage.kind === 'http' || stage.kind === 'api'
      return waited(stage, many(stage, 100), http ? idleHttpMaxMs : cutMaxMs)
    },
  },
  {
    name: '100 say half a packet',
    listeners: tcp,
    waits: true,
    async run(stage) {
      const peers = many(stage, 100)
      for (const peer of peers) peer.write(beginning(stage))
      return waited(stage, peers, cutMaxMs)
    },
  },
  {
    name: '100 say one byte a second',
    listeners: tcp,
    waits: true,
    async run(stage) {
      const peers = many(stage, 100)
      const bytes = Buffer.concat([Buffer.from(beginning(stage)), Buffer.alloc(200, 0x61)])
      let at = 0
      const timer = setInterval(() => {
        for (const peer of peers) peer.write(bytes.subarray(at, at + 1))
        at++
      }, 1_000)
      try {
        return await waited(stage, peers, cutMaxMs)
      } finally {
        clearInterval(timer)
      }
    },
  },
  {
    name: '100 begin a body and go on a byte a second',
    listeners: ['api', 'http', 'https'],
    waits: true,
    async run(stage) {
      const path = stage.kind === 'api' ? '/v1/devices/mad0/commands' : '/device/v1/events/a'
      const peers = many(stage, 100)
      for (const [n, peer] of peers.entries())
        peer.write(
          `POST ${path} HTTP/1.1\r\nHost: x\r\n${stage.authorization(n % 64)}Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n{`,
        )
      const timer = setInterval(() => {
        for (const peer of peers) peer.write(' ')
      }, 1_000)
      try {
        return await waited(stage, peers, bodyMaxMs)
      } finally {
        clearInterval(timer)
      }
    },
  },
  {
    name: '200 stop in the middle of a TLS handshake',
    listeners: tls,
    waits: true,
    async run(stage) {
      const peers = many(stage, 200, true)
      for (const [n, peer] of peers.entries())
        if (n % 2 === 0) peer.write(Buffer.from('16030100a5010000a10303', 'hex'))
      return waited(stage, peers, cutMaxMs)
    },
  },
  {
    name: '200 connections with garbage, and lengths that lie',
    listeners: tcp,
    waits: true,
    async run(stage) {
      const lies = [
        'ffffffffffffff7f',
        '10ffffff7f',
        'f1ffffffffffff0f',
        '1603ffffff',
        '00'.repeat(512),
      ]
      const peers: Peer[] = []
      for (let i = 0; i < 200; i++) {
        const peer = stage.connect(i % 2 === 0)
        peer.write(Buffer.from(lies[i % lies.length]!, 'hex'))
        peers.push(peer)
        if (i % 20 === 0) await sleep(10)
      }
      return waited(stage, peers, cutMaxMs)
    },
  },
]
