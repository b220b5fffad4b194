import { identifierPattern } from '../contract/index.ts'

/*
 * What text must look like, each with how a person is told: nobody should have to read a regular
 * expression to learn what a name may be.
 */

export const identifierWords =
  'letters, digits and . _ ~ -, beginning with a letter or digit, at most 128 characters'
export const visiblePattern = '^[\\x21-\\x7e]+$'
/** No control characters and no halves of a character, so that it can stand in any protocol. */
export const printablePattern = '^[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]+$'
export const base64Pattern = '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
export const contentTypePattern =
  '^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\\s*;\\s*[\\x20-\\x7e]+)?$'
export const eventIdPattern = '^[0-9a-z]{1,7}-[0-9a-z]{10}$'

const words = new Map([
  [identifierPattern, `must be a name: ${identifierWords}`],
  [visiblePattern, 'must be visible ASCII characters, without spaces'],
  [printablePattern, 'must be text without control characters'],
  [base64Pattern, 'must be base64 with its padding: A-Z a-z 0-9 + / ='],
  [contentTypePattern, 'must be a media type, like image/png or text/plain; charset=utf-8'],
  [eventIdPattern, 'must be an event id, as events and pages give it, like 1a2b3c-0000000042'],
])

/** @returns undefined for a pattern that has none. */
export const wordsOfPattern = (pattern: string): string | undefined => words.get(pattern)
