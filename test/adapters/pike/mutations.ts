import { malformed, session, streams, valid } from './vectors.ts'

/** Random numbers that come again with their seed (mulberry32). */
export function randomBy(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** Everything the vectors have, as a place to start from. */
export const samples: readonly Buffer[] = [
  ...valid.map(({ hex }) => hex),
  ...streams.map(({ hex }) => hex),
  ...malformed.map(({ hex }) => hex),
  ...session.frames.map(({ hex }) => hex),
].map((hex) => Buffer.from(hex, 'hex'))

const telling = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xff, 0x40, 0x70, 0xf1, 0x0f]
const scratch = Buffer.alloc(4096)

/** One sample, changed in one to four ways. Valid until the next call. */
export function mutate(random: (below: number) => number): Buffer {
  const sample = samples[random(samples.length)]!
  let length = sample.copy(scratch)
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = length === 0 ? 0 : random(length)
    switch (random(8)) {
      case 0:
        scratch[at]! ^= 1 << random(8)
        break
      case 1:
        scratch[at] = random(256)
        break
      case 2:
        scratch[at] = telling[random(telling.length)]!
        break
      case 3:
        length = at
        break
      case 4: {
        scratch.copyWithin(at, at + 1, length)
        length = Math.max(0, length - 1)
        break
      }
      case 5: {
        if (length + 1 > scratch.length) break
        scratch.copyWithin(at + 1, at, length)
        scratch[at] = random(256)
        length++
        break
      }
      case 6: {
        const other = samples[random(samples.length)]!
        length = Math.min(scratch.length, at + other.length)
        other.copy(scratch, at)
        break
      }
      case 7: {
        // A longer or shorter body than the head says, or the other way round.
        if (length > 1) scratch[1] = (scratch[1]! + random(5) - 2) & 0x7f
        break
      }
    }
  }
  return scratch.subarray(0, length)
}
