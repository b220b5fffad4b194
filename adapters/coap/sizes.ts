import type { Response } from './exchange.ts'

/** Of a message with it, at most. */
export function sizeOf({ options = [], payload }: Response, tokenBytes: number): number {
  let size = 4 + tokenBytes
  for (const { value } of options) size += 5 + value.length
  return payload === undefined || payload.length === 0 ? size : size + 1 + payload.length
}

/** Without the words for people, where there is no room for them. */
export function fitting(response: Response, tokenBytes: number, room: number): Response {
  if (sizeOf(response, tokenBytes) <= room) return response
  const { code, options = [] } = response
  return { code, options }
}
