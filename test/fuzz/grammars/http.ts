import type { Random } from '../random.ts'

/** A call, before it is put on the wire. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly headers: readonly string[]
  readonly body: string
}

export const httpWords: readonly Buffer[] = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  ' ',
  ':',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Connection: close\r\n',
  'Expect: 100-continue\r\n',
  'Upgrade: websocket\r\n',
  'Host: y\r\n',
  'HTTP/1.0',
  'HTTP/2.0',
  '0\r\n\r\n',
  'ffffffffffffffff\r\n',
  '%00',
  '%2e%2e%2f',
  '?',
  '&&',
  '"',
  '\\u0000',
  '{',
  '[',
  '1e999',
  '-1',
  'true',
  'null',
  '"__proto__":{"a":1},',
].map((word) => Buffer.from(word))

const heads = [
  'Content-Type: application/json',
  'Content-Type: text/plain',
  'Content-Type: application/x-ndjson',
  'Content-Type: text/csv',
  'Content-Type: multipart/form-data; boundary=a',
  'Accept: text/event-stream',
  'Accept: application/json;q=x',
  'Prefer: wait=0',
  'Prefer: wait=x',
  'Idempotency-Key: a',
  'Pike-Stamp: 7.1',
  'Pike-Stamp: 7.99',
  'Pike-Stamp: x',
  'Connection: close',
  'Last-Event-ID: x',
  'If-Match: *',
  'X-Forwarded-For: 1.1.1.1',
  `X-Long: ${'x'.repeat(8_000)}`,
]

/** A call in bytes, with a length that fits, or in chunks. */
export function written(call: Call, random: Random): Buffer {
  const lines = [`${call.method} ${call.path} HTTP/1.1`, 'Host: x', ...call.headers]
  for (let more = random.pick([0, 0, 0, 1, 2]); more > 0; more--) lines.push(random.pick(heads))
  const body = Buffer.from(call.body)
  if (body.length === 0 && random.chance(0.8)) return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)
  if (random.chance(0.75)) {
    lines.push(`Content-Length: ${body.length}`)
    return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
  }
  lines.push('Transfer-Encoding: chunked')
  const parts = [Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)]
  for (let at = 0; at < body.length; ) {
    const part = body.subarray(at, at + random.int(1, Math.max(1, body.length)))
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'))
    at += part.length
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

/** Values JSON may have where others are expected. */
const strange = [
  'null',
  'true',
  '-1',
  '0',
  '1e400',
  '9007199254740993',
  '""',
  '"x"',
  '[]',
  '{}',
  '{"__proto__":1}',
  '"\\ud800"',
  `"${'x'.repeat(300)}"`,
  `${'['.repeat(70)}${']'.repeat(70)}`,
  '"2026-13-45T99:99:99Z"',
]

/** JSON with one value, or one name, put in another's place; its framing can stay right. */
export function strangeJson(json: string, random: Random): string {
  const places = [...json.matchAll(/"(?:[^"\\]|\\.)*"|\d+(?:\.\d+)?|true|false|null/g)]
  if (places.length === 0) return random.pick(strange)
  const { 0: text, index } = random.pick(places)
  return json.slice(0, index) + random.pick(strange) + json.slice(index + text.length)
}
