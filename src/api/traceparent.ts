const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * A `traceparent` header as version 00 has it; undefined for one that is not valid: then it is as if it
 * had not been sent, and the command is asked for all the same. Source: W3C Trace Context §3.2, §3.3.
 */
export function traceparentOf(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header.length > maxChars) return undefined
  const match = form.exec(header)
  if (match === null) return undefined
  const [, version, trace, parent, flags, more] = match
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(trace!) || /^0+$/.test(parent!)) return undefined
  // Of a version to come, what this one knows.
  return version === '00' ? header : `00-${trace}-${parent}-0${Number.parseInt(flags!, 16) & 1}`
}

/** Long enough for what versions to come may add. */
const maxChars = 256
