import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DecodeError, FrameDecoder } from '../../../adapters/pike/codec.ts'
import type { Frame } from '../../../adapters/pike/frames.ts'
import { frameOf, malformed, neutral, pair, session, streams, valid } from './vectors.ts'

interface Seen {
  readonly frames: unknown[]
  readonly raw: string
  readonly error: DecodeError | undefined
}

function decode(decoder: FrameDecoder, chunks: readonly Uint8Array[]): Seen {
  const frames: unknown[] = []
  const raw: string[] = []
  let error: DecodeError | undefined
  for (const chunk of chunks) {
    error = decoder.push(chunk, (frame, bytes) => {
      frames.push(neutral(frame))
      raw.push(Buffer.from(bytes).toString('hex'))
    })
  }
  return { frames, raw: raw.join(''), error }
}

/** Whole, in two at every place, and byte by byte. */
function* cuts(bytes: Buffer): Generator<readonly Buffer[]> {
  yield [bytes]
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
  yield Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
}

for (const vector of valid) {
  test(`valid: ${vector.name}`, () => {
    const bytes = Buffer.from(vector.hex, 'hex')
    for (const chunks of cuts(bytes)) {
      const seen = decode(pair(vector).decoder, chunks)
      assert.deepEqual(seen, { frames: [vector.frame], raw: vector.hex, error: undefined })
    }
    if (vector.decodeOnly) return
    assert.equal(pair(vector).encoder.encode(frameOf(vector.frame)).toString('hex'), vector.hex)
  })
}

for (const vector of streams) {
  test(`stream: ${vector.name}`, () => {
    const bytes = Buffer.from(vector.hex, 'hex')
    for (const chunks of cuts(bytes)) {
      const seen = decode(pair(vector).decoder, chunks)
      assert.deepEqual(seen, { frames: vector.frames, raw: vector.hex, error: undefined })
    }
    if (vector.decodeOnly) return
    const { encoder } = pair(vector)
    const made = vector.frames.map((frame) => encoder.encode(frameOf(frame)).toString('hex'))
    assert.equal(made.join(''), vector.hex)
  })
}

for (const vector of malformed) {
  test(`malformed: ${vector.name}`, () => {
    const bytes = Buffer.from(vector.hex, 'hex')
    for (const chunks of cuts(bytes)) {
      const { decoder } = pair(vector)
      const seen = decode(decoder, chunks)
      assert.deepEqual(seen.frames, [])
      assert.equal(seen.error?.reason, vector.reason, seen.error?.text)
      assert.equal(decoder.heldBytes, 0)
      const after = decoder.push(Buffer.from('4000', 'hex'), () => assert.fail('it goes on'))
      assert.equal(after, seen.error, 'an error is final')
    }
  })
}

for (const from of ['client', 'server'] as const) {
  test(`session: what the ${from} says`, () => {
    const lines = session.frames.filter((line) => line.from === from)
    const bindingsMax = from === 'client' ? session.serverBindingsMax : session.clientBindingsMax
    const { encoder } = pair({})
    for (const { frame, hex } of lines) {
      // Names are numbered from WELCOME on; before it nobody sends one.
      encoder.bindingsMax = bindingsMax
      assert.equal(encoder.encode(frameOf(frame)).toString('hex'), hex)
    }
    const whole = Buffer.from(lines.map((line) => line.hex).join(''), 'hex')
    for (const chunks of cuts(whole)) {
      const seen = decode(new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax }), chunks)
      assert.deepEqual(
        seen.frames,
        lines.map((line) => line.frame),
      )
    }
  })
}

test('an incomplete frame is neither a frame nor an error', () => {
  for (const vector of valid) {
    const bytes = Buffer.from(vector.hex, 'hex')
    for (let length = 0; length < bytes.length; length++) {
      const seen = decode(pair(vector).decoder, [bytes.subarray(0, length)])
      assert.deepEqual(seen, { frames: [], raw: '', error: undefined }, vector.name)
    }
  }
})

test('a frame may follow in the same chunk as the end of another', () => {
  const { encoder, decoder } = pair({})
  const frames = Array.from(
    { length: 50 },
    (_, n): Frame => ({ type: 'ack', channelNumber: n % 64, upTo: n * 1000 }),
  )
  const bytes = Buffer.concat(frames.map((frame) => encoder.encode(frame)))
  const seen: Frame[] = []
  for (let at = 0; at < bytes.length; at += 7) {
    decoder.push(bytes.subarray(at, at + 7), (frame) => seen.push(frame))
  }
  assert.deepEqual(seen, frames)
})

test('memory follows bytes, not the length a peer claims', () => {
  const decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
  const before = process.memoryUsage().arrayBuffers
  const many = Array.from({ length: 2_000 }, () => {
    const one = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
    one.push(Buffer.from('70f0ff03', 'hex'), () => assert.fail('a frame'))
    return one
  })
  const grown = process.memoryUsage().arrayBuffers - before
  assert.ok(grown < 2_000 * 1024, `${grown} bytes for ${many.length} claims of 64 KiB`)
  decoder.push(Buffer.from('70f0ff03', 'hex'), () => {})
  for (let n = 0; n < 65_000; n++) decoder.push(Buffer.from([0]), () => assert.fail('a frame'))
  assert.equal(decoder.heldBytes, 65_004)
})

test('stop drops the rest of the chunk and all that follows', () => {
  const decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
  let seen = 0
  const onFrame = (): void => {
    seen++
    decoder.stop()
  }
  assert.equal(decoder.push(Buffer.from('400040004000', 'hex'), onFrame), undefined)
  assert.equal(decoder.push(Buffer.from('4000', 'hex'), onFrame), undefined)
  assert.equal(seen, 1)
})

test('an idle codec holds nothing', () => {
  const { encoder, decoder } = pair({ bindingsMax: 64 })
  encoder.encode({ type: 'ping' })
  decoder.push(Buffer.from('4000', 'hex'), () => {})
  assert.equal(decoder.heldBytes, 0)
})

test('a payload stays as it was, whatever is decoded or encoded later', () => {
  const { encoder, decoder } = pair({})
  const event = (payload: Buffer): Frame => ({
    type: 'event',
    channelNumber: 0,
    sequence: 1,
    name: 'n',
    payload,
    binary: true,
  })
  const first = encoder.encode(event(Buffer.alloc(100, 1)))
  const kept: Uint8Array[] = []
  const keep = (frame: Frame): void => {
    if (frame.type === 'event') kept.push(frame.payload)
  }
  decoder.push(first.subarray(0, 50), keep)
  decoder.push(first.subarray(50), keep)
  for (let n = 0; n < 500; n++) {
    const next = encoder.encode(event(Buffer.alloc(100, 2)))
    decoder.push(next.subarray(0, 50), keep)
    decoder.push(next.subarray(50), keep)
  }
  assert.deepEqual(Buffer.from(kept[0]!), Buffer.alloc(100, 1))
  assert.equal(first[first.length - 1], 1)
})

test('a number the wire cannot carry is our mistake, and said at once', () => {
  const { encoder } = pair({})
  for (const upTo of [-1, 2 ** 53, Number.NaN, 1000.5]) {
    assert.throws(() => encoder.encode({ type: 'ack', channelNumber: 0, upTo }), RangeError)
  }
})
