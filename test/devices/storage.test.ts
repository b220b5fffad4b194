import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { fileStorage, StorageDamaged } from '../../devices/file-storage.ts'
import {
  applyChange,
  type DeviceStorage,
  memoryStorage,
  type StorageChange,
  type StoredDevice,
} from '../../devices/storage.ts'

const commit = (storage: DeviceStorage, changes: readonly StorageChange[]): Promise<void> =>
  new Promise((resolve, reject) =>
    storage.commit(changes, (error) => (error === undefined ? resolve() : reject(error))),
  )

const event = (channel: string, sequence: number, text = 'x'): StorageChange => ({
  kind: 'uplink',
  channel,
  uplink: { kind: 'event', sequence, name: 'e', payload: Buffer.from(text), binary: false },
})

const epoch: StorageChange = { kind: 'epoch', channel: 'main', uplinkEpoch: 7 }

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pike-device-'))
  try {
    await run(join(folder, 'sub', 'device.pike'))
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Comparable, whatever kind of bytes the payloads are. */
const plain = (device: StoredDevice): string =>
  JSON.stringify(
    [...device].map(([name, channel]) => [
      name,
      { ...channel, outbox: channel.outbox.map((u) => ({ ...u, payload: [...u.payload] })) },
    ]),
  )

test('what was settled is there after a new start: memory and file', async () => {
  await inFolder(async (path) => {
    for (const make of [memoryStorage(), undefined]) {
      const storage = make ?? fileStorage(path)
      await storage.load()
      await commit(storage, [epoch])
      await commit(storage, [
        event('main', 1, 'één'),
        { kind: 'position', channel: 'main', position: { epoch: 3, offset: 9 } },
      ])
      await commit(storage, [event('main', 2)])
      storage.commit([{ kind: 'kept', channel: 'main', upTo: 1 }])
      await storage.close()
      const again = await (make ?? fileStorage(path)).load()
      const main = again.get('main')
      assert.equal(main?.uplinkEpoch, 7)
      assert.equal(main?.lastSequence, 2)
      assert.deepEqual(main?.positions, [{ epoch: 3, offset: 9 }])
      assert.deepEqual(
        main?.outbox.map(({ sequence }) => sequence),
        [2],
      )
    }
  })
})

test('a line cut anywhere by a crash is dropped; what was settled before stays', async () => {
  await inFolder(async (path) => {
    const storage = fileStorage(path)
    await storage.load()
    await commit(storage, [epoch])
    await commit(storage, [event('main', 1)])
    const { size: whole } = await stat(path)
    await commit(storage, [event('main', 2)])
    await storage.close()
    const bytes = await readFile(path)
    for (let size = whole; size < bytes.length; size++) {
      await writeFile(path, bytes)
      await truncate(path, size)
      const device = await fileStorage(path).load()
      // Only the newline may be missing from a line that is otherwise whole.
      assert.equal(device.get('main')?.lastSequence, size === bytes.length - 1 ? 2 : 1)
      if (size % 16 > 0) continue
      // What is appended next does not stand behind the torn end.
      const next = fileStorage(path)
      await next.load()
      await commit(next, [event('main', 9)])
      await next.close()
      assert.equal((await fileStorage(path).load()).get('main')?.lastSequence, 9)
    }
  })
})

test('damage before the last line is said, not guessed around', async () => {
  await inFolder(async (path) => {
    const storage = fileStorage(path)
    await storage.load()
    await commit(storage, [epoch])
    await commit(storage, [event('main', 1)])
    await storage.close()
    const text = await readFile(path, 'utf8')
    for (const at of [3, 30, text.indexOf('\n') + 20]) {
      await writeFile(path, `${text.slice(0, at)}~${text.slice(at + 1)}`)
      await assert.rejects(async () => fileStorage(path).load(), StorageDamaged)
    }
    await writeFile(path, text)
    await appendFile(path, 'rubbish\n')
    assert.equal((await fileStorage(path).load()).get('main')?.lastSequence, 1)
  })
})

test('the file stays small however much goes through it', async () => {
  await inFolder(async (path) => {
    const storage = fileStorage(path)
    await storage.load()
    await commit(storage, [epoch])
    for (let sequence = 1; sequence <= 300; sequence++) {
      await commit(storage, [event('main', sequence, 'y'.repeat(2_000))])
      storage.commit([{ kind: 'kept', channel: 'main', upTo: sequence }])
    }
    await storage.close()
    assert.ok((await stat(path)).size < 80 * 1024)
    assert.equal((await fileStorage(path).load()).get('main')?.lastSequence, 300)
  })
})

test('a storage that cannot write says so for every commit, until it is loaded again', async () => {
  await inFolder(async (path) => {
    const storage = fileStorage(path)
    await storage.load()
    await commit(storage, [epoch])
    await storage.close()
    await rm(join(path, '..'), { recursive: true })
    await assert.rejects(commit(storage, [event('main', 1)]))
    await assert.rejects(commit(storage, [event('main', 2)]))
    await storage.load()
    await commit(storage, [epoch])
    await storage.close()
  })
})

test('epochs left behind are remembered, the last sixteen', () => {
  const device: StoredDevice = new Map()
  applyChange(device, epoch)
  for (let n = 1; n <= 20; n++)
    applyChange(device, {
      kind: 'position',
      channel: 'main',
      position: { epoch: n, offset: n * 10 },
    })
  const positions = device.get('main')?.positions ?? []
  assert.equal(positions.length, 16)
  assert.deepEqual(positions.at(-1), { epoch: 20, offset: 200 })
  assert.deepEqual(positions[0], { epoch: 5, offset: 50 })
})

test('any changes, grouped any way: the file gives back what memory does', async () => {
  const change: fc.Arbitrary<StorageChange> = fc.oneof(
    fc.record({
      kind: fc.constant('epoch' as const),
      channel: fc.constantFrom('main', 'urgent', '__proto__', 'payload'),
      uplinkEpoch: fc.integer({ min: 1, max: 9 }),
    }),
    fc.record({
      kind: fc.constant('uplink' as const),
      channel: fc.constantFrom('main', 'urgent', '__proto__', 'payload'),
      uplink: fc.record({
        kind: fc.constant('event' as const),
        sequence: fc.nat(99),
        name: fc.constantFrom('a', 'payload', '\n'),
        payload: fc.uint8Array({ maxLength: 20 }),
        binary: fc.boolean(),
      }),
    }),
    fc.record({
      kind: fc.constant('kept' as const),
      channel: fc.constantFrom('main', 'urgent'),
      upTo: fc.nat(99),
    }),
    fc.record({
      kind: fc.constant('removed' as const),
      channel: fc.constantFrom('main', 'urgent'),
      sequence: fc.nat(99),
    }),
    fc.record({
      kind: fc.constant('position' as const),
      channel: fc.constantFrom('main', 'urgent'),
      position: fc.record({ epoch: fc.integer({ min: 1, max: 20 }), offset: fc.nat() }),
    }),
  )
  await inFolder(async (path) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(change, { maxLength: 5 }), { maxLength: 8 }),
        async (all) => {
          await rm(path, { force: true })
          const memory = memoryStorage()
          const file = fileStorage(path)
          await file.load()
          for (const changes of all) {
            memory.commit(changes)
            if (changes.length % 2 === 0) file.commit(changes)
            else await commit(file, changes)
          }
          await file.close()
          assert.equal(plain(await fileStorage(path).load()), plain(await memory.load()))
        },
      ),
      { numRuns: 60 },
    )
  })
})
