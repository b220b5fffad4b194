import type { AppId, AppRecord } from '../../contract/index.ts'
import type { Aliases } from './aliases.ts'
import type { Apps } from './apps.ts'
import type { Database } from './database.ts'
import type { Devices } from './devices.ts'
import { aliasesOf, nameAtEnd, shelfUnder } from './keys.ts'
import type { Registry } from './registry.ts'
import type { Status } from './status.ts'

/** Records removed in one commit. */
const removalStep = 1_000
/** Times it is looked again for aliases that came while others went. */
const looksMax = 8

interface RemovalParts {
  readonly database: Database
  readonly status: Status
  readonly devices: Devices
  readonly aliases: Aliases
  readonly apps: Pick<Registry<AppRecord>, 'exists' | 'remove'>
  readonly counters: Pick<Apps, 'use'>
  /** Keys and webhooks. */
  readonly others: readonly { removeAll(app: AppId): void }[]
}

/**
 * Remove an app with all that belongs to it. What is bounded goes in one batch with the app's own
 * record, the last of all: after a crash in the midst of it the app is still there, to be removed again.
 * @returns false when there is none, or when it has devices.
 */
export async function removeApp(parts: RemovalParts, app: AppId): Promise<boolean> {
  const { database, status, devices, aliases, apps, counters, others } = parts
  for (let look = 1; ; look++) {
    if (!status.ready) throw status.unavailable()
    const { store } = database
    const limit = removalStep
    const names = await status.reading(() => store.keys({ ...aliasesOf(app), limit }).all())
    const webhooks = shelfUnder(`webhooks/${app}`)
    const records = await status.reading(() => store.keys({ ...webhooks, limit }).all())
    if (!status.ready) throw status.unavailable()
    if (!apps.exists(app, app) || devices.count(app) > 0) return false
    for (const name of names) aliases.remove(app, nameAtEnd(name))
    for (const key of records) database.del(key)
    const more = names.length === limit || records.length === limit
    const isLast = !more && (aliases.count(app) === 0 || look >= looksMax)
    if (isLast) {
      for (const each of others) each.removeAll(app)
      apps.remove(app, app)
      counters.use(app).begin()
    }
    if (!(await database.kept())) throw status.unavailable()
    if (isLast) return true
    if (more) look = 0
  }
}
