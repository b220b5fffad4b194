import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createPlain, type RequestListener } from 'node:http'
import { createServer as createSecure } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { hangUpOn } from '../../src/listen/sockets.ts'
import { cert, key } from '../adapters/pike/certificate.ts'

const megabyte = Buffer.alloc(1 << 20)
const withResolvers = () => {
  let resolve: () => void = () => {}
  const promise = new Promise<void>((then) => {
    resolve = then
  })
  return { promise, resolve: () => resolve() }
}

/** More than any buffer on the way takes: a polite end would wait for it. */
const megabytes = 32

for (const secure of [false, true]) {
  test(`who does not read is reset at once, ${secure ? 'with' : 'without'} TLS, and nothing is thrown (rule 20)`, async () => {
    const gone = withResolvers()
    const answer: RequestListener = (_request, response) => {
      response.on('error', () => {})
      response.on('close', () => gone.resolve())
      for (let i = 0; i < megabytes; i++) response.write(megabyte)
      setImmediate(() => hangUpOn(response))
    }
    const server = secure ? createSecure({ cert, key }, answer) : createPlain(answer)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const client = secure
      ? connectTls({ port, host: '127.0.0.1', ca: cert, checkServerIdentity: () => undefined })
      : connect(port, '127.0.0.1')
    await once(client, secure ? 'secureConnect' : 'connect')
    let bytes = 0
    const ended = new Promise((resolve) => client.on('close', resolve))
    client.on('error', () => {})
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    // It is over for us before it has read anything.
    await gone.promise
    client.on('data', (chunk) => {
      bytes += chunk.length
    })
    await ended
    assert.ok(bytes < megabytes * megabyte.length, `${bytes} bytes came`)
    server.close()
  })
}
