import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { createServer } from 'node:tls'
import { PikeClient } from '../../devices/index.ts'
import { ModelServer } from './model-server.ts'

/** For `localhost`, signed by itself, good for a century; made for this test and known to everybody. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXKKKdCKK0R0cYSP8
aN+cg1orS3fzaMuCCo/SI1U9BHuhRANCAASUb3O246SxH6awNgXwzQ4nOskNatAW
WztpNiUC+7O53ZiG2+q5ler/cSR4+7CVccP/wHdo7KTcbeWLVgQqvBq4
-----END PRIVATE KEY-----
`
const certificate = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUaxgdvUMHao4wjfeGZYwY62YhTWEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAwNDA0NloYDzIxMjYxMDI4
MDA0MDQ2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASUb3O246SxH6awNgXwzQ4nOskNatAWWztpNiUC+7O53ZiG2+q5ler/
cSR4+7CVccP/wHdo7KTcbeWLVgQqvBq4o28wbTAdBgNVHQ4EFgQUPxYe4bFbFsdd
BmkU5ak/wqSiLaAwHwYDVR0jBBgwFoAUPxYe4bFbFsddBmkU5ak/wqSiLaAwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhALiZmrBSbm4YUhhl7zxYl1eAitQzznfqC4WxxBZWIVfMAiAu
PAYUTktjNyuABkt1yexI7XPHUqddhRH+6Szr8zRFmA==
-----END CERTIFICATE-----
`

test('over TLS: a trusted gateway is used, one that nobody vouches for is not', async () => {
  const model = new ModelServer()
  const listener = createServer({ key, cert: certificate }, (socket) => model.accept(socket))
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const make = (tls: true | { ca: string }, host = 'localhost'): PikeClient =>
    new PikeClient({ host, port, device: 'one', secret: model.secret, tls })
  const trusting = make({ ca: certificate })
  // Node warns, once a process, of an address as server name (DEP0123).
  const byAddress = make({ ca: certificate }, '127.0.0.1')
  const warnings: unknown[] = []
  const warned = (warning: Error & { code?: string }): unknown => warnings.push(warning.code)
  process.on('warning', warned)
  const wary = make(true)
  try {
    trusting.start()
    assert.equal((await trusting.send('beat', 1)).kind, 'kept')
    await trusting.stop()
    byAddress.start()
    assert.equal((await byAddress.send('beat', 2)).kind, 'kept')
    await byAddress.stop()
    assert.ok(!warnings.includes('DEP0123'))
    const why = await new Promise<string>((resolve) => {
      wary.once('waiting', (waiting) => resolve(waiting.why))
      wary.start()
    })
    assert.match(why, /certificate/)
    assert.equal(model.received.filter(({ type }) => type === 'auth').length, 2)
  } finally {
    process.off('warning', warned)
    await trusting.stop()
    await byAddress.stop()
    await wary.stop()
    listener.close()
  }
})
