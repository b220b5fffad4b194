export interface Mutating {
  readonly samples: readonly Buffer[]
  /** Bytes that mean something where they stand. */
  readonly telling: readonly number[]
  /** A change of the protocol's own. */
  readonly own?: (bytes: Buffer, length: number, random: (below: number) => number) => void
}

/** @returns makes one sample, changed in one to four ways. Valid until the next call. */
export function mutator({
  samples,
  telling,
  own,
}: Mutating): (random: (below: number) => number) => Buffer {
  const scratch = Buffer.alloc(4096)
  return (random) => {
    const sample = samples[random(samples.length)]!
    let length = sample.copy(scratch)
    for (let changes = 1 + random(4); changes > 0; changes--) {
      const at = length === 0 ? 0 : random(length)
      switch (random(own === undefined ? 7 : 8)) {
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
        case 4:
          scratch.copyWithin(at, at + 1, length)
          length = Math.max(0, length - 1)
          break
        case 5:
          if (length + 1 > scratch.length) break
          scratch.copyWithin(at + 1, at, length)
          scratch[at] = random(256)
          length++
          break
        case 6: {
          const other = samples[random(samples.length)]!
          length = Math.min(scratch.length, at + other.length)
          other.copy(scratch, at)
          break
        }
        default:
          own?.(scratch, length, random)
      }
    }
    return scratch.subarray(0, length)
  }
}
