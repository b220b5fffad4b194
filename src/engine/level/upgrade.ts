import type { AppId, DeviceRecord } from '../../contract/index.ts'
import { StoreCannotOpen } from '../../contract/index.ts'
import { keptBytes } from './event-purge.ts'
import { countersKey, eventKey, tagKey, under } from './keys.ts'
import { parse } from './records.ts'
import type { Store } from './store.ts'
import { saysFull, textOf } from './store.ts'

/** Of this layout of keys and records; a store of a higher one is not touched. */
export const format = 2

export const formatKey = 's/format'

type Log = (event: string, fields: object) => void

/** What the store says of itself. */
interface Self {
  readonly format: number
  readonly store: string
  readonly createdAtMs: number
}

/**
 * One change of layout. It may be cut anywhere and is then run again from its beginning: what it
 * puts depends only on what the format before has, which it leaves as that version can use it.
 */
interface Upgrade {
  readonly to: number
  /** `told` is called now and then with how many records are done. */
  run(store: Store, told: (done: number) => void): Promise<void>
}

/** In order, one for each format but the first. */
const upgrades: readonly Upgrade[] = [
  {
    to: 2,
    async run(store, told) {
      await indexTags(store, told)
      await countBytes(store)
    },
  },
]

/** Records changed in one batch. */
const step = 256
const stepBytes = 1_048_576
/** Records between two lines in the log. */
const toldEach = 50_000
/** Events looked at to tell what a log takes. */
const samples = 1_000

/**
 * Bring a store to the format of this version. The format is written last, behind all it promises,
 * so a cut leaves a store of the old format that can be brought here by the next start.
 * @returns what it says of itself from now on.
 */
export async function upgrade(store: Store, kept: Buffer, path: string, log: Log): Promise<Buffer> {
  const self = parse<Self>(kept)
  let known = kept
  for (const { to, run } of upgrades) {
    if (to <= self.format) continue
    const from = to - 1
    log('store.upgrading', { from, to, done: 0 })
    let all = 0
    let toldUpTo = 0
    try {
      await run(store, (done) => {
        all = done
        if (done < toldUpTo + toldEach) return
        toldUpTo = done
        log('store.upgrading', { from, to, done })
      })
      known = Buffer.from(JSON.stringify({ ...self, format: to }))
      await store.batch().put(formatKey, known).write({ sync: true })
    } catch (error) {
      if (saysFull(error)) throw error
      throw new StoreCannotOpen(
        `the store in ${path} could not be brought to format ${to}: ${textOf(error)}`,
        'start it again, it begins anew; the version that wrote the store can still open it',
        { cause: error },
      )
    }
    log('store.upgraded', { from, to, done: all })
  }
  return known
}

/** Until format 1 nobody asked who has a tag. */
async function indexTags(store: Store, told: (done: number) => void): Promise<void> {
  // Of an upgrade that was cut, after which the version before went on and changed tags.
  await store.clear(under('t'))
  const devices = store.values({ ...under('d'), highWaterMarkBytes: stepBytes })
  let done = 0
  try {
    for (;;) {
      const values = await devices.nextv(step)
      if (values.length === 0) return
      const batch = store.batch()
      for (const value of values) {
        const { app, device, tags } = parse<DeviceRecord>(value)
        for (const tag of tags) batch.put(tagKey(app, tag, device), '', asText)
      }
      await batch.write({ sync: true })
      done += values.length
      told(done)
    }
  } finally {
    await devices.close()
  }
}

/** Until format 1 logs were bounded by age alone, and there were no aliases. */
async function countBytes(store: Store): Promise<void> {
  const batch = store.batch()
  for await (const [key, value] of store.iterator(under('n'))) {
    const kept = parse<{ readonly oldest: number; readonly top: number }>(value)
    const app = key.slice(countersKey('').length)
    const logBytes = await estimate(store, app, kept.oldest, kept.top)
    batch.put(key, JSON.stringify({ ...kept, aliases: 0, logBytes }), asText)
  }
  await batch.write({ sync: true })
}

/** About what a log takes, by some of its events, all over it. */
async function estimate(store: Store, app: AppId, oldest: number, top: number): Promise<number> {
  const count = top - oldest + 1
  const looked = Math.min(count, samples)
  if (looked <= 0) return 0
  const keys = Array.from({ length: looked }, (_, at) =>
    eventKey(app, oldest + Math.floor((at * count) / looked)),
  )
  const found = (await store.getMany(keys)).filter((value) => value !== undefined)
  const bytes = found.reduce((sum, value) => sum + keptBytes(value), 0)
  return Math.ceil((bytes / looked) * count)
}

const asText = { valueEncoding: 'utf8' } as const
