import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DecodeError, FrameDecoder, FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { Frame } from '../../../adapters/pike/frames.ts'
import { mutate, randomBy } from './mutations.ts'

const seeds = [1, 2, 3, 4]
const perSeed = 250_000
const frameMaxBytes = 65_536
const grownMaxBytes = 50 * 1024 * 1024

const memory = (): number => {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

for (const seed of seeds) {
  test(`${perSeed} mutated inputs, seed ${seed}: nothing is thrown, hangs or grows`, () => {
    const random = randomBy(seed)
    const encoder = new FrameEncoder()
    const counts = { inputs: 0, frames: 0, errors: 0, incomplete: 0 }
    let bindingsMax = 0
    const onFrame = (frame: Frame, raw: Uint8Array): void => {
      counts.frames++
      // There is one way to write a frame: what can be read is what we would have written.
      if (bindingsMax > 0 || frame.type === 'unknown') return
      const again = encoder.encode(frame)
      if (!again.equals(raw)) {
        assert.fail(`${Buffer.from(raw).toString('hex')} became ${again.toString('hex')}`)
      }
    }
    const before = memory()
    for (let n = 0; n < perSeed; n++) {
      const bytes = mutate(random)
      bindingsMax = n % 3 === 0 ? 4 : 0
      const decoder = new FrameDecoder({ frameMaxBytes, bindingsMax })
      let error: DecodeError | undefined
      const pieces = 1 + random(3)
      let at = 0
      for (let piece = 1; piece <= pieces; piece++) {
        const to = piece === pieces ? bytes.length : at + random(bytes.length - at + 1)
        error = decoder.push(bytes.subarray(at, to), onFrame)
        at = to
      }
      counts.inputs++
      if (error !== undefined) counts.errors++
      else if (decoder.heldBytes > 0) counts.incomplete++
      if (decoder.heldBytes > bytes.length) assert.fail('more is held than came')
    }
    assert.equal(counts.inputs, perSeed)
    // The mutations reach all of it: frames that still stand, refusals, and halves.
    assert.ok(counts.frames > perSeed / 10, JSON.stringify(counts))
    assert.ok(counts.errors > perSeed / 10, JSON.stringify(counts))
    assert.ok(counts.incomplete > perSeed / 100, JSON.stringify(counts))
    const grown = memory() - before
    assert.ok(grown < grownMaxBytes, `grew by ${grown} bytes`)
  })
}

test('it was a million', () => {
  assert.equal(seeds.length * perSeed, 1_000_000)
})
