import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import { Connections } from '../../src/listen/connections.ts'
import { cert, key } from '../adapters/pike/certificate.ts'

test('who does not finish a TLS handshake in time is cut off at once: nothing can be said to it', () => {
  const silent = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
  const socket = new TLSSocket(silent as never, {
    isServer: true,
    secureContext: createSecureContext({ cert, key }),
  })
  const connections = new Connections(() => '{}')
  const late = Object.assign(new Error('late'), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  connections.failed(late, socket)
  assert.equal(socket.destroyed, true)
})
