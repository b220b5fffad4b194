import { FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { Frame } from '../../../adapters/pike/frames.ts'
import { samples } from '../../adapters/pike/mutations.ts'
import { type Grammar, nameOf, oddNames, payloadOf } from '../grammar.ts'
import { endsWhole, reframeBySevens } from '../mutate.ts'
import type { Random } from '../random.ts'

const odd = [0, 1, 2, 3, 63, 64, 255, 256, 65_535, 2 ** 32 - 1, 2 ** 53 - 1]
const channelOf = (random: Random): number => (random.chance(0.8) ? 0 : random.pick([1, 2, 63]))
const epochOf = (random: Random): number => random.pick([0, 1, 9, 2 ** 31, 2 ** 32 - 1])

export const pikeGrammar: Grammar = {
  words: [
    ...samples.filter(({ length }) => length < 80),
    ...oddNames.map((one) => Buffer.from(one)),
  ],
  reframe: reframeBySevens,
  endsWhole,
  opening: (who, random) => [
    new FrameEncoder().encode({
      type: 'hello',
      version: 1,
      capabilities: random.pick([3, 3, 3, 0, 7, 2 ** 32 - 1]),
      channelNumber: random.chance(0.9) ? 0 : 5,
      app: who.app,
      device: random.chance(0.8) ? who.device : random.pick(['nobody', '__proto__', '..']),
      channel: random.pick(['main', 'main', 'urgent', 'media', '']),
      nonce: Buffer.alloc(random.chance(0.9) ? 12 : 0, 7),
      resume: random.chance(0.5) ? undefined : { epoch: epochOf(random), offset: random.pick(odd) },
      uplinkEpoch: epochOf(random),
      keepaliveMinS: random.pick([0, 5, 30]),
      keepaliveMaxS: random.pick([0, 60, 1_500]),
      frameMaxBytes: random.pick([1_024, 65_536, 2 ** 32 - 1]),
      windowMax: random.pick([0, 1, 16, 65_535]),
      bindingsMax: random.pick([0, 1, 64, 65_535]),
      extensions: random.chance(0.7) ? [] : [{ tag: 2, value: Buffer.from('x') }],
    }),
  ],
  session(_who, random) {
    const encoder = new FrameEncoder()
    return Array.from({ length: random.int(1, 5) }, () => encoder.encode(frameOf(random)))
  },
}

/** Mostly what a session may carry at any time: whoever errs is cut off, and its errors are over. */
function frameOf(random: Random): Frame {
  const channelNumber = channelOf(random)
  const sequence = random.chance(0.9) ? 1 : random.pick(odd)
  const uplink = { channelNumber, name: nameOf(random), binary: random.chance(0.3) }
  if (random.chance(0.35))
    return { type: 'event', ...uplink, sequence: undefined, payload: payloadOf(random) }
  switch (random.int(0, 9)) {
    case 0:
    case 1:
    case 2:
      return { type: 'event', ...uplink, sequence, payload: payloadOf(random) }
    case 3: {
      const payloads = Array.from({ length: random.pick([1, 2, 8, 256]) }, () => Buffer.from('{}'))
      return { type: 'batch', ...uplink, sequence, payloads }
    }
    case 4:
      return {
        type: 'reply',
        channelNumber,
        sequence,
        epoch: random.chance(0.5) ? undefined : epochOf(random),
        offset: random.pick(odd),
        status: random.pick(['done', 'failed', 'rejected']),
        reason: random.chance(0.5) ? undefined : random.pick(oddNames),
        payload: payloadOf(random),
        binary: random.chance(0.5),
      }
    case 5:
      return random.chance(0.3)
        ? { type: 'ack', channelNumber, upTo: random.pick(odd) }
        : { type: 'ping' }
    case 6:
      return { type: 'pong', keepaliveS: undefined }
    case 7:
      return {
        type: 'close',
        channelNumber: random.chance(0.8) ? random.pick([1, 2, 63]) : undefined,
        code: random.pick([0, 1, 64, 255]),
        retryAfterS: random.pick(odd),
        text: random.pick(oddNames),
      }
    case 8:
      return { type: 'unknown', number: random.pick([13, 14]), critical: random.chance(0.1) }
    default:
      return {
        type: 'hello',
        version: 1,
        capabilities: 3,
        channelNumber: random.pick([1, 2, 63]),
        app: random.chance(0.9) ? 'mad' : '',
        device: random.chance(0.8) ? `pike${random.int(0, 9)}` : 'nobody',
        channel: random.chance(0.8) ? 'urgent' : random.pick(['main', 'media', '__proto__']),
        nonce: Buffer.alloc(random.chance(0.9) ? 12 : 0, 3),
        resume: undefined,
        uplinkEpoch: epochOf(random),
        keepaliveMinS: 0,
        keepaliveMaxS: 0,
        frameMaxBytes: 65_536,
        windowMax: 16,
        bindingsMax: 8,
        extensions: [],
      }
  }
}
