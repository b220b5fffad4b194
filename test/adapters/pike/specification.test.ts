import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FrameDecoder } from '../../../adapters/pike/codec.ts'
import { closeCode, type Frame } from '../../../adapters/pike/frames.ts'
import { limits } from '../../../src/contract/index.ts'
import { auth, session } from './vectors.ts'

const text = readFileSync(new URL('../../../docs/pike-protocol.md', import.meta.url), 'utf8')

/** Lines of the fenced blocks. */
const code = text.split('```').flatMap((part, n) => (n % 2 === 1 ? part.split('\n') : []))

/** The octets a line begins with, up to two spaces. */
const octets = (line: string): string =>
  (/^ *((?:[0-9a-f]{2}|\|)(?: (?:[0-9a-f]{2}|\|))*)(?= {2}| *$)/.exec(line)?.[1] ?? '').replaceAll(
    /[ |]/g,
    '',
  )

test('every frame shown in the specification can be read', () => {
  const shown = code.filter((line) => /^ {2}[0-9a-f]{2} [0-9a-f]{2} \|/.test(line))
  assert.ok(shown.length >= 12, `${shown.length} found`)
  for (const line of shown) {
    const seen: Frame[] = []
    const decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
    const error = decoder.push(Buffer.from(octets(line), 'hex'), (frame) => seen.push(frame))
    assert.equal(error, undefined, line)
    assert.equal(decoder.heldBytes, 0, `cut short: ${line}`)
    assert.equal(seen.length, 1, line)
  }
})

test('the session in the specification is the one of the vectors', () => {
  const from = text.indexOf('## 15 A session in hex')
  const block = text.slice(text.indexOf('```text', from), text.indexOf('## 16', from)).split('\n')
  const frames: { from: string; hex: string }[] = []
  for (const line of block) {
    const begins = /^([CS]) {2}--/.exec(line)
    if (begins) frames.push({ from: begins[1] === 'C' ? 'client' : 'server', hex: '' })
    else if (line.startsWith('   ')) frames.at(-1)!.hex += octets(line)
  }
  assert.deepEqual(
    frames,
    session.frames.map(({ from, hex }) => ({ from, hex })),
  )
})

test('the keys and proofs in the specification are those of the vectors', () => {
  const plain = text.replaceAll(/\s/g, '')
  const [first] = auth
  for (const part of [
    first!.clientKey,
    first!.storedKey,
    first!.serverKey,
    first!.hello,
    first!.challenge,
    first!.proof,
    first!.serverProof,
  ]) {
    assert.ok(plain.includes(part), part)
  }
})

test('every code is in the specification', () => {
  for (const [reason, code] of Object.entries(closeCode)) {
    assert.match(text, new RegExp(`^\\| ${code} +\\| ${reason} +\\|`, 'm'))
  }
})

test('the limits in the specification are those of the gateway', () => {
  for (const value of [
    limits.frameMaxBytes,
    limits.payloadMaxBytes,
    limits.handshakeMaxBytes,
    limits.connectionMaxChannels,
    limits.nameMaxBytes,
    limits.uplinkMaxPending,
    limits.wrongSecretsPerMinute,
  ]) {
    assert.match(text, new RegExp(`\\b${value.toLocaleString('en-US')}\\b`))
  }
})
