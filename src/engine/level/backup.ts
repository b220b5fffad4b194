import type { Clock } from '../../contract/index.ts'
import type { BackupHead } from './backup-format.ts'
import { BackupWriter, backupVersion } from './backup-format.ts'
import { probeKey, restoredKey } from './keys.ts'
import { parse } from './records.ts'
import type { Status } from './status.ts'
import type { Store } from './store.ts'

/** About so many bytes are handed out at once. */
const chunkBytes = 65_536
const chunkRecords = 1_000
/**
 * Whoever takes a backup and takes nothing for so long has it no more: as long as it is under way,
 * LevelDB keeps all that was changed or forgotten since.
 */
const stalledMs = 60_000
/** What is said of this place, or this start, and of no other. */
const passedOver: ReadonlySet<string> = new Set([probeKey, restoredKey])

interface Parts {
  readonly store: Store
  readonly status: Status
  readonly clock: Clock
  /** What the store says of itself. */
  readonly self: Buffer
  /** The version of what runs here. */
  readonly madeBy: string
}

/**
 * All records as of one moment, while the store is in use: an iterator of LevelDB sees the store as
 * it was when it was made. LevelDB shows no batch before it is synced, so nothing is in it that a
 * power cut at that moment would have taken back; and what is in it though nobody was told yet, does
 * no harm. It is what a crash at that moment would have left, and is restored as that.
 * @throws StoreUnavailable
 */
export async function* backupOf(parts: Parts): AsyncGenerator<Uint8Array> {
  const { store, status, clock, self, madeBy } = parts
  if (!status.ready) throw status.unavailable()
  const entries = store.iterator<Buffer, Buffer>({
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    highWaterMarkBytes: chunkBytes,
    fillCache: false,
  })
  const { format, store: name } = parse<{ format: number; store: string }>(self)
  const about = { format, store: name, takenAtMs: clock.nowMs(), madeBy, node: process.version }
  const head: BackupHead = { version: backupVersion, ...about }
  const writer = new BackupWriter()
  let isStalled = false
  const letGo = () => {
    isStalled = true
    entries.close().catch(() => {})
  }
  const handedOut = () => clock.at(clock.nowMs() + stalledMs, 'backup.stalled', letGo)
  let stalling = handedOut()
  try {
    yield writer.begin(head)
    for (;;) {
      stalling.cancel()
      if (isStalled) throw new Error('the backup was not taken for a minute')
      const found = await status.reading(() => entries.nextv(chunkRecords))
      if (found.length === 0) break
      const chunk = writer.records(found.filter(([key]) => !passedOver.has(key.toString('latin1'))))
      stalling = handedOut()
      if (chunk.length > 0) yield chunk
    }
    yield writer.end()
  } finally {
    stalling.cancel()
    await entries.close()
  }
}
