import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DecodeError, FrameDecoder, FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { Frame } from '../../../adapters/pike/frames.ts'
import { Gate } from '../../../adapters/pike/gate.ts'
import { randomBy } from '../../support/random.ts'
import { FakeCore } from './fake-core.ts'
import { MemoryWire, settled } from './memory-wire.ts'
import { mutate } from './mutations.ts'

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

test('20,000 mutated conversations: a bystander is served, and no session is left over', async () => {
  const random = randomBy(5)
  const core = new FakeCore()
  const gate = new Gate(core)
  const bystander = new MemoryWire(core, { gate })
  await bystander.client.open({ channel: 'urgent' })
  let live = new MemoryWire(core, { gate })
  await live.client.open()
  const before = memory()
  for (let n = 0; n < 20_000; n++) {
    // Strangers, and one who has proved itself.
    const stranger = new MemoryWire(core, { gate })
    stranger.protocol.received(Buffer.from(mutate(random)))
    stranger.protocol.lost()
    live.protocol.received(Buffer.from(mutate(random)))
    if (n % 100 === 0) await settled()
    if (live.ended !== undefined) {
      live = new MemoryWire(core, { gate })
      await live.client.open()
    }
    live.client.heard.length = 0
  }
  const { encoder } = bystander.client
  bystander.client.sendBytes(
    encoder.encode({
      type: 'event',
      channelNumber: 0,
      sequence: 1,
      name: 'n',
      payload: Buffer.alloc(0),
      binary: false,
    }),
  )
  await bystander.client.next('ack')
  live.protocol.lost()
  bystander.protocol.lost()
  await settled()
  assert.equal(gate.handshakes.size, 0)
  assert.equal(gate.counts.channels, 0)
  for (const { detached, started } of core.sessions) assert.equal(detached.length, 1, `${started}`)
  const grown = memory() - before
  assert.ok(grown < grownMaxBytes, `grew by ${grown} bytes`)
})
