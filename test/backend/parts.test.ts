import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { backendBounds } from '../../src/backend/bounds.ts'
import { readCsvRows } from '../../src/backend/csv-rows.ts'
import { abortable, retryDelayMs, sleep } from '../../src/backend/retry.ts'
import { queryText } from '../../src/backend/transport.ts'
import { limits } from '../../src/contract/index.ts'

async function rows(chunks: Iterable<Uint8Array | string>): Promise<string[]> {
  const found: string[] = []
  for await (const row of readCsvRows(chunks)) found.push(row)
  return found
}

const csv = '\ufeffdevice,attributes.note\r\nSZ-1,"two\nlines, ""quoted"""\n\nSZ-2,één\r\nSZ-3,'
const cells = ['device,attributes.note', 'SZ-1,"two\nlines, ""quoted"""', 'SZ-2,één', 'SZ-3,']

test('rows of CSV come out as they stand, wherever their bytes are cut', async () => {
  assert.deepEqual(await rows([csv]), cells)
  const bytes = Buffer.from(csv)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 8 }), async (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      assert.deepEqual(await rows(at.slice(1).map((end, i) => bytes.subarray(at[i], end))), cells)
    }),
  )
})

test('rows of CSV end with LF, CR LF or CR alone, wherever they are cut', async () => {
  for (const end of ['\n', '\r\n', '\r'])
    for (const last of ['', end]) {
      const text = `device,attributes.note${end}SZ-1,"two${end}lines"${end}${end}SZ-2,b${last}`
      const expected = ['device,attributes.note', `SZ-1,"two${end}lines"`, 'SZ-2,b']
      for (let cut = 0; cut <= text.length; cut++)
        assert.deepEqual(await rows([text.slice(0, cut), text.slice(cut)]), expected)
    }
})

test('what is no UTF-8 is an error, and a row without an end does not fill the memory', async () => {
  await assert.rejects(rows([Buffer.from([0x41, 0xff, 0x0a])]), TypeError)
  const quote = ['"', ...Array.from({ length: 5 }, () => 'x'.repeat(1_048_576))]
  await assert.rejects(rows(quote), /quote too many/)
})

test('delays double, are spread by chance, never longer than the bound, never before Retry-After', () => {
  const policy = { minMs: 100, maxMs: 1_000 }
  const at = (attempt: number, random: number, retryAfter?: number) =>
    retryDelayMs(policy, attempt, retryAfter, () => random)
  assert.deepEqual(
    [at(1, 0), at(1, 1), at(2, 1), at(4, 1), at(5, 1), at(99, 1)],
    [50, 100, 200, 800, 1_000, 1_000],
  )
  assert.deepEqual([at(1, 0, 5), at(1, 1, 5)], [5_000, 5_500])
})

test('whoever sleeps or waits wakes when the signal is aborted, with its reason', async () => {
  const controller = new AbortController()
  const why = new Error('enough')
  const asleep = sleep(60_000, controller.signal)
  const waiting = abortable(new Promise(() => {}), controller.signal)
  controller.abort(why)
  await assert.rejects(asleep, why)
  await assert.rejects(waiting, why)
  await assert.rejects(sleep(1, controller.signal), why)
  assert.equal(await abortable(Promise.resolve(7), new AbortController().signal), 7)
})

test('queries leave out what is not given, and join lists', () => {
  assert.equal(queryText({ a: undefined }), '')
  assert.equal(
    queryText({ after: 'x y', limit: 5, type: ['a', 'b'] }),
    '?after=x+y&limit=5&type=a%2Cb',
  )
})

test('the bounds that mirror those of the gateway are the same', () => {
  assert.equal(backendBounds.waitCallMaxMs, limits.waitMaxMs)
})
