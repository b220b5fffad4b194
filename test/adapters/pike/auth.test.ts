import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameEncoder } from '../../../adapters/pike/codec.ts'
import {
  checkProof,
  deriveKeys,
  kdfFor,
  makeProof,
  serverProof,
} from '../../../src/secrets/secrets.ts'
import { auth, session } from './vectors.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')

for (const vector of auth) {
  test(`from secret to proofs: ${vector.name}`, async () => {
    const { app, device, secret, kdf } = vector
    assert.equal(kdfFor(secret), kdf)
    const keys = await deriveKeys(secret, app, device, kdf)
    assert.equal(keys.clientKey.toString('hex'), vector.clientKey)
    assert.equal(keys.storedKey.toString('hex'), vector.storedKey)
    assert.equal(keys.serverKey.toString('hex'), vector.serverKey)
    const transcript = Buffer.concat([bytes(vector.hello), bytes(vector.challenge)])
    const proof = makeProof(keys, transcript)
    assert.equal(proof.toString('hex'), vector.proof)
    assert.equal(serverProof(keys.serverKey, transcript).toString('hex'), vector.serverProof)
    assert.ok(vector.proofFrame.endsWith(vector.proof))

    const kept = {
      kdf,
      storedKey: bytes(vector.storedKey).toString('base64'),
      serverKey: bytes(vector.serverKey).toString('base64'),
    }
    assert.equal(checkProof([kept], transcript, proof), kept)
    for (let at = 0; at < transcript.length; at++) {
      const changed = Buffer.from(transcript)
      changed[at]! ^= 1
      assert.equal(checkProof([kept], changed, proof), undefined, `octet ${at} is not bound`)
    }
  })
}

test('the proofs of the session are made from its secret', async () => {
  const [hello, challenge, proof, welcome] = session.frames
  const keys = await deriveKeys(session.secret, 'default', 'SZ-0042', 'hkdf')
  const transcript = Buffer.concat([bytes(hello!.hex), bytes(challenge!.hex)])
  const encoder = new FrameEncoder()
  const frame = encoder.encode({
    type: 'auth',
    channelNumber: 0,
    method: 'proof',
    proof: makeProof(keys, transcript),
  })
  assert.equal(frame.toString('hex'), proof!.hex)
  assert.ok(welcome!.hex.includes(serverProof(keys.serverKey, transcript).toString('hex')))
})
