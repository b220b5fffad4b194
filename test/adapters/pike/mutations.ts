import { mutator } from '../../support/mutations.ts'
import { malformed, session, streams, valid } from './vectors.ts'

/** Everything the vectors have, as a place to start from. */
export const samples: readonly Buffer[] = [
  ...valid.map(({ hex }) => hex),
  ...streams.map(({ hex }) => hex),
  ...malformed.map(({ hex }) => hex),
  ...session.frames.map(({ hex }) => hex),
].map((hex) => Buffer.from(hex, 'hex'))

/** One of them, changed. Valid until the next call. */
export const mutate = mutator({
  samples,
  telling: [0x00, 0x01, 0x7f, 0x80, 0x81, 0xff, 0x40, 0x70, 0xf1, 0x0f],
  // A longer or shorter body than the head says, or the other way round.
  own: (bytes, length, random) => {
    if (length > 1) bytes[1] = (bytes[1]! + random(5) - 2) & 0x7f
  },
})
