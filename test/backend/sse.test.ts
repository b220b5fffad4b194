import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { backendBounds } from '../../src/backend/bounds.ts'
import { type ServerSentEvent, SseParser } from '../../src/backend/sse.ts'

function read(chunks: Iterable<Uint8Array>): ServerSentEvent[] {
  const parser = new SseParser()
  const events: ServerSentEvent[] = []
  for (const chunk of chunks) events.push(...parser.push(chunk))
  return events
}

const text =
  ': hello\n\nid: a-1\nevent: event\ndata: {"door":7}\n\ndata: één\r\ndata:two\r\n\r\nretry: 5\nid: a-2\n\n: heartbeat\n\ndata: cut off'
const events = [
  { id: 'a-1', type: 'event', data: '{"door":7}' },
  { id: 'a-1', type: 'message', data: 'één\ntwo' },
  { id: 'a-2', type: 'message', data: '' },
]

test('events come out whole, and ids without an event too; comments and what is cut off do not', () => {
  assert.deepEqual(read([Buffer.from(text)]), events)
})

test('the same events come out wherever the stream is cut', () => {
  const bytes = Buffer.from(text)
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 8 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
      assert.deepEqual(read(chunks), events)
    }),
  )
})

test('an event without an end does not fill the memory', () => {
  const parser = new SseParser()
  const piece = Buffer.alloc(1_048_576, 'x')
  parser.push(Buffer.from('data: '))
  assert.throws(() => {
    for (let sent = 0; sent <= backendBounds.textMaxChars; sent += piece.length) parser.push(piece)
  }, /never ends/)
  const lines = new SseParser()
  assert.throws(() => {
    for (let sent = 0; sent <= backendBounds.textMaxChars; sent += piece.length)
      lines.push(Buffer.concat([Buffer.from('data: '), piece, Buffer.from('\n')]))
  }, /never ends/)
})
