import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import type { Frame } from '../../adapters/pike/frames.ts'
import { deriveKeys, makeProof } from '../../src/secrets/secrets.ts'
import { helloFrame } from '../adapters/pike/client.ts'
import { secretOf } from '../fuzz/gateway.ts'
import { type Peer, upgrade, frame as webFrame } from './peer.ts'
import { type Attack, type MqttPeer, type Stage, sleep } from './stage.ts'

const mqtts = ['mqtt', 'mqtts', 'mqtt-ws'] as const

/** In over Pike. @returns what comes from then on goes to `heard`. */
async function pikeIn(stage: Stage, n: number, heard: (frame: Frame) => void): Promise<Peer> {
  const peer = stage.connect()
  const device = `mad${n}`
  const encoder = new FrameEncoder()
  const decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
  const hello = encoder.encode(helloFrame({ app: 'mad', device, bindingsMax: 0 }))
  const keys = await deriveKeys(secretOf(device), 'mad', device, 'hkdf')
  let isIn = false
  // Before the peer's own, so that who waits for it sees it.
  peer.socket.prependListener('data', (chunk) => {
    decoder.push(chunk, (one, raw) => {
      if (one.type === 'auth' && !isIn) {
        const proof = makeProof(keys, Buffer.concat([hello, raw]))
        peer.write(encoder.encode({ type: 'auth', channelNumber: 0, method: 'proof', proof }))
      } else if (one.type === 'welcome' && one.channelNumber === 0) isIn = true
      heard(one)
    })
  })
  peer.write(hello)
  await peer.until(() => isIn || peer.closed, 10_000)
  return peer
}

/** Commands of 40 KB that nobody reads, as many as a device may have. */
async function submitLarge(stage: Stage, devices: number): Promise<void> {
  const command = { name: 'a', payload: 'x'.repeat(40_000) }
  const submit = async (n: number): Promise<void> => {
    for (const channel of ['main', 'urgent'])
      for (let i = 0; i < 12; i++)
        await stage.gateway
          .api('POST', `/v1/devices/mad${n}/commands`, { ...command, channel }, stage.key)
          .catch(() => {})
  }
  await Promise.all(Array.from({ length: devices }, (_, n) => submit(n)))
}

const publish = (messageId: number, qos: number): object => ({
  cmd: 'publish',
  topic: 'events/a',
  payload: '1',
  qos,
  messageId,
  dup: false,
  retain: false,
})

export const holdings: readonly Attack[] = [
  {
    name: 'one connection asks for 500 channels',
    listeners: ['pike', 'pike-tls'],
    async run(stage) {
      const frames: Frame[] = []
      const peer = await pikeIn(stage, 1, (one) => frames.push(one))
      const encoder = new FrameEncoder()
      for (let i = 0; i < 500; i++)
        peer.write(
          encoder.encode(
            helloFrame({
              app: 'mad',
              device: 'mad1',
              channel: i % 2 === 0 ? 'urgent' : 'main',
              channelNumber: 1 + (i % 63),
            }),
          ),
        )
      await peer.until(() => peer.closed, 6_000)
      const closes = frames.filter(({ type }) => type === 'close').length
      return peer.closed ? `cut off after ${closes} CLOSE` : `${closes} refused`
    },
  },
  {
    name: '12 want commands of 40 KB and read nothing',
    listeners: ['pike', 'mqtt', 'mqtt-ws', 'http'],
    async run(stage) {
      const held: Peer[] = []
      for (let n = 0; n < 12; n++) {
        if (stage.kind === 'pike') {
          held.push(await pikeIn(stage, n, () => {}))
        } else if (stage.kind === 'http') {
          const peer = stage.connect()
          peer.write(
            `GET /device/v1/commands HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n${stage.authorization(n)}\r\n`,
          )
          held.push(peer)
        } else {
          const client = await stage.mqtt(n, n % 2 === 0 ? 4 : 5)
          client?.send({
            cmd: 'subscribe',
            messageId: 1,
            subscriptions: [{ topic: 'commands/#', qos: 1 }],
          })
          if (client !== undefined) held.push(client.peer)
        }
      }
      await sleep(300)
      for (const peer of held) peer.socket.pause()
      await submitLarge(stage, 12)
      await sleep(3_000)
      return `${held.filter(({ closed }) => !closed).length} of 12 still there, each with its window at most`
    },
  },
  {
    name: '40 send 500 events each that want no answer',
    listeners: ['pike', 'mqtt', 'mqtts', 'mqtt-ws'],
    async run(stage) {
      const all = await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          if (stage.kind === 'pike') {
            const peer = await pikeIn(stage, n, () => {})
            const encoder = new FrameEncoder()
            const one = encoder.encode({
              type: 'event',
              channelNumber: 0,
              sequence: undefined,
              name: 'a',
              payload: Buffer.from('1'),
              binary: false,
            })
            peer.write(Buffer.concat(Array.from({ length: 500 }, () => one)))
            return peer
          }
          const client = await stage.mqtt(n, n % 2 === 0 ? 4 : 5)
          client?.send(...Array.from({ length: 500 }, () => publish(0, 0)))
          return client?.peer
        }),
      )
      await sleep(5_000)
      return `${all.filter((peer) => peer?.closed === false).length} of 40 still there`
    },
  },
  {
    name: 'publishes at QoS 2 never let go of: 20 clients, 200 each',
    listeners: mqtts,
    async run(stage) {
      const clients: (MqttPeer | undefined)[] = []
      for (let n = 0; n < 20; n++) {
        const client = await stage.mqtt(n, n % 2 === 0 ? 4 : 5)
        for (let id = 1; id <= 200; id++) client?.send(publish(id, 2))
        clients.push(client)
      }
      // Over WebSocket they are waited for, to say goodbye as well.
      await Promise.all(clients.map((one) => one?.peer.ended(10_000)))
      const cut = clients.filter((one) => one === undefined || one.peer.closed).length
      if (cut === 0) stage.found('none was cut off for its 200 unreleased publishes')
      return `${cut} of 20 cut off`
    },
  },
  {
    name: '20 clients want 500 subscriptions each',
    listeners: mqtts,
    async run(stage) {
      const clients: (MqttPeer | undefined)[] = []
      for (let n = 20; n < 40; n++) {
        const client = await stage.mqtt(n, n % 2 === 0 ? 4 : 5)
        for (let id = 1; id <= 500; id++)
          client?.send({
            cmd: 'subscribe',
            messageId: id,
            subscriptions: [{ topic: `channels/c${id}/commands/#`, qos: 1 }],
          })
        clients.push(client)
      }
      await sleep(3_000)
      return `${clients.filter((one) => one?.peer.closed === false).length} of 20 still there, refused`
    },
  },
  {
    name: '40 sessions begun and left behind by each of 20 devices',
    listeners: ['mqtt'],
    async run(stage) {
      for (let n = 0; n < 20; n++)
        for (let i = 0; i < 40; i++) {
          const client = await stage.mqtt(n, 5, {
            clientId: `left-${n}-${i}`,
            clean: false,
            properties: { sessionExpiryInterval: 86_400 },
            will: { topic: 'events/gone', payload: Buffer.alloc(1_000), qos: 1, retain: false },
          })
          client?.peer.destroy()
        }
      return 'kept, and bounded'
    },
  },
  {
    name: '300 streams of events whose readers stall',
    listeners: ['api'],
    async run(stage) {
      const peers = Array.from({ length: 300 }, () => {
        const peer = stage.connect()
        peer.write(
          `GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n${stage.authorization()}\r\n`,
        )
        return peer
      })
      await sleep(1_500)
      for (const peer of peers) peer.socket.pause()
      await submitLarge(stage, 4)
      await sleep(2_000)
      const open = peers.filter(({ head }) => head.includes('200 OK')).length
      return `${open} of 300 opened, none holds up another`
    },
  },
  {
    name: 'frames of WebSocket that should not be',
    listeners: ['mqtt-ws'],
    async run(stage) {
      const hello = Buffer.from('101300044d5154540402003c00076e6f626f6479', 'hex')
      const bad: readonly Buffer[] = [
        webFrame(hello, 1),
        webFrame(hello, 3),
        webFrame(hello, 2, true, false),
        webFrame(hello, 9, false),
        webFrame(Buffer.alloc(200), 9),
        Buffer.from('82ffffffffffffffffff00000000', 'hex'),
        Buffer.from('82ff00000000000200010000', 'hex'),
        Buffer.concat(Array.from({ length: 2_000 }, () => webFrame(Buffer.alloc(0), 0, false))),
        Buffer.concat(Array.from({ length: 2_000 }, () => webFrame(Buffer.alloc(10), 9))),
        Buffer.concat(
          Array.from({ length: 20_000 }, (_, i) =>
            webFrame(Buffer.alloc(1), i === 0 ? 2 : 0, false),
          ),
        ),
      ]
      const peers: Peer[] = []
      for (const bytes of bad) {
        const peer = stage.connect()
        peer.write(upgrade())
        await peer.until(() => peer.bytesIn > 0, 5_000)
        peer.write(bytes)
        peers.push(peer)
      }
      await Promise.all(peers.map((peer) => peer.ended(20_000)))
      const left = peers.filter(({ closed }) => !closed).length
      if (left > 0) stage.found(`${left} of ${bad.length} not closed`)
      return `${bad.length - left} of ${bad.length} closed`
    },
  },
]
