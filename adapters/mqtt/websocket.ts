import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocketServer } from 'ws'

/** Where MQTT is found, and as what. Source: MQTT 3.1.1 §6. */
const path = '/mqtt'
const subprotocol = 'mqtt'
/** "mqttv3.1" is what clients of the older version ask for. */
const known = new Set([subprotocol, 'mqttv3.1'])

/** For the upgrade, as for TLS before it. */
const upgradeTimeoutMs = 10_000
const headerMaxBytes = 8 * 1024
/** A text frame: MQTT is binary [MQTT-6.0.0-1]. */
const unsupportedData = 1003

export interface WebSocketDoor {
  readonly server: Server
  /** Sockets that have not asked for anything yet. */
  readonly waiting: ReadonlySet<Socket>
}

/**
 * An HTTP server that knows one thing: to become a WebSocket at `/mqtt`.
 *
 * @param frameMaxBytes of one WebSocket message, which may hold several packets or a part of one.
 * @param admits asked before a socket is let in.
 * @param accept gets the stream inside and the socket beneath.
 */
export function webSocketDoor(
  frameMaxBytes: number,
  admits: (socket: Socket) => boolean,
  accept: (stream: Duplex, socket: Socket) => void,
): WebSocketDoor {
  const waiting = new Set<Socket>()
  const upgrades = new WebSocketServer({
    noServer: true,
    maxPayload: frameMaxBytes,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: (asked) => [...asked].find((name) => known.has(name)) ?? false,
  })
  const server = createServer(
    {
      maxHeaderSize: headerMaxBytes,
      headersTimeout: upgradeTimeoutMs,
      requestTimeout: upgradeTimeoutMs,
      connectionsCheckingInterval: upgradeTimeoutMs / 4,
      keepAliveTimeout: 1,
      noDelay: true,
    },
    (request, response) => {
      request.resume()
      const code = pathOf(request) === path ? 426 : 404
      const about = code === 426 ? { upgrade: 'websocket' } : {}
      response.writeHead(code, { ...about, connection: 'close', 'content-length': 0 })
      response.end()
    },
  )
  server.on('connection', (socket: Socket) => {
    socket.on('error', () => {})
    if (!admits(socket)) {
      socket.destroy()
      return
    }
    waiting.add(socket)
    // Node's own wait only for requests that have begun.
    socket.setTimeout(upgradeTimeoutMs, () => socket.destroy())
    socket.once('close', () => waiting.delete(socket))
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const wrong = problemOf(request)
    if (wrong !== undefined) {
      socket.end(`HTTP/1.1 ${wrong} ${STATUS_CODES[wrong]}\r\nconnection: close\r\n\r\n`)
      socket.destroySoon()
      return
    }
    upgrades.handleUpgrade(request, socket, head, (one) => {
      waiting.delete(socket)
      socket.setTimeout(0)
      one.on('message', (_data, isBinary) => {
        if (!isBinary) one.close(unsupportedData)
      })
      accept(createWebSocketStream(one, { allowHalfOpen: false }), socket)
    })
  })
  return { server, waiting }
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?', 1)[0]!

function problemOf(request: IncomingMessage): number | undefined {
  if (pathOf(request) !== path) return 404
  const asked = request.headers['sec-websocket-protocol']
  // Without a name it is not known to be MQTT [MQTT-6.0.0-3].
  if (asked === undefined) return 400
  return asked.split(',').some((name) => known.has(name.trim())) ? undefined : 400
}
