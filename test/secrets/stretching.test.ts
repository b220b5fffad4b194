import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { test } from 'node:test'
import { deriveKeys } from '../../src/secrets/secrets.ts'

test('a flood of short secrets leaves threads to those who write to disk', async () => {
  let done = 0
  const flood = Array.from({ length: 12 }, async (_, n) => {
    await deriveKeys(`short-${n}`, 'default', 'locker', 'scrypt')
    done++
  })
  // Node does this on the same four threads; behind twelve it would come after eight of them.
  await stat(import.meta.filename)
  assert.ok(done <= 4, `${done} secrets were stretched before a file was looked at`)
  await Promise.all(flood)
  assert.equal(done, 12)
})

test('secrets that wait their turn come to the same keys', async () => {
  const all = await Promise.all(
    Array.from({ length: 5 }, () => deriveKeys('short', 'default', 'locker', 'scrypt')),
  )
  for (const keys of all) assert.deepEqual(keys, all[0])
})
