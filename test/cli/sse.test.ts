import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readEvents, type ServerSentEvent } from '../../cli/sse.ts'

async function read(chunks: Iterable<Uint8Array>): Promise<ServerSentEvent[]> {
  async function* stream() {
    yield* chunks
  }
  const events: ServerSentEvent[] = []
  for await (const event of readEvents(stream())) events.push(event)
  return events
}

const text =
  ': hello\n\nid: a-1\nevent: event\ndata: {"door":7}\n\ndata: één\r\ndata:two\r\n\r\nretry: 5\nid: a-2\n\ndata: cut off'
const events = [
  { id: 'a-1', type: 'event', data: '{"door":7}' },
  { id: 'a-1', type: 'message', data: 'één\ntwo' },
]

test('events come out whole, comments and what is cut off do not', async () => {
  assert.deepEqual(await read([Buffer.from(text)]), events)
})

test('the same events come out wherever the stream is cut', async () => {
  const bytes = Buffer.from(text)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 8 }), async (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
      assert.deepEqual(await read(chunks), events)
    }),
  )
})
