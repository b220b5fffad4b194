import { createHash } from 'node:crypto'

/** Which of so many lanes; the same for the same text, at every start and in every version. */
export function laneOf(text: string, lanes: number): number {
  // FNV-1a, 32 bit: short, and spreads names that differ only at their end.
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash ^= text.charCodeAt(at)
    hash = Math.imul(hash, 0x01000193)
  }
  return ((hash ^ (hash >>> 16)) >>> 0) % lanes
}

/** Names a request by what is in it: a repeat of the same content has the same name. */
export const requestId = (parts: readonly string[]): string =>
  `msg_${createHash('sha256').update(parts.join('\n')).digest('base64url').slice(0, 32)}`
