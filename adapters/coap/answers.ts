import { blockBytes, blockOption, cut } from './blocks.ts'
import { type Option, uintOption } from './codec.ts'
import { code, format, option } from './codes.ts'
import { etagOf } from './command-body.ts'
import type { Response } from './exchange.ts'
import type { Held } from './link.ts'

/** An answer's head with all options of a command in it, and the longest token. */
const headMaxBytes = 48

export const contentFormat = ({ command }: Held): Option =>
  uintOption(
    option.contentFormat,
    command.contentType.startsWith('application/json') ? format.text : format.octets,
  )

/**
 * A block of a command, for who asked for it; smaller ones where there is no room for what was asked.
 * @returns undefined: it has no such block.
 */
export function commandBlock(
  held: Held,
  index: number,
  szx: number,
  room: number,
): Response | undefined {
  const { body } = held
  let size = szx
  if (index === 0) {
    const fits = () => headMaxBytes + Math.min(body.length, blockBytes(size)) <= room
    while (size > 0 && !fits()) size--
  }
  const part = cut(body, index, size)
  if (part === undefined) return undefined
  const options: Option[] = [{ number: option.etag, value: etagOf(held) }, contentFormat(held)]
  if (part.block.more || index > 0) options.push(blockOption(option.block2, part.block))
  if (part.block.more && index === 0) options.push(uintOption(option.size2, body.length))
  return { code: code.content, options, payload: part.payload }
}
