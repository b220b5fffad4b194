import { type Option, optionOf, uintOf, uintOption } from './codec.ts'

/** One Block option, RFC 7959 §2.2: which block, whether more follow, and 2^(szx + 4) bytes each. */
export interface Block {
  readonly number: number
  readonly more: boolean
  readonly szx: number
}

/** 1,024 bytes, the largest there is; 7 is reserved. */
export const szxMax = 6
export const blockBytes = (szx: number): number => 2 ** (szx + 4)

/** 'malformed': there is one that is none. */
export function blockOf(
  options: readonly Option[],
  number: number,
): Block | 'malformed' | undefined {
  const value = optionOf(options, number)
  if (value === undefined) return undefined
  const bits = uintOf(value, 3)
  if (bits === undefined || (bits & 7) > szxMax) return 'malformed'
  return { number: bits >> 4, more: (bits & 8) !== 0, szx: bits & 7 }
}

export const blockOption = (number: number, { number: index, more, szx }: Block): Option =>
  uintOption(number, (index << 4) | (more ? 8 : 0) | szx)

/** The block of a body that was asked for; undefined: it ends before. */
export function cut(
  body: Buffer,
  index: number,
  szx: number,
): { readonly block: Block; readonly payload: Buffer } | undefined {
  const size = blockBytes(szx)
  const from = index * size
  if (from >= body.length && index > 0) return undefined
  const payload = body.subarray(from, from + size)
  return { block: { number: index, more: from + size < body.length, szx }, payload }
}
