import { type PikeBackend, PikeProblem } from '../src/backend/index.ts'

/**
 * The app of the key at hand. No call says it outright: an event of that app names it, and where
 * there is but one app it is that one.
 * @returns undefined where it cannot be told.
 */
export async function ownApp(pike: PikeBackend): Promise<string | undefined> {
  const { items } = (await allowed(pike.eventPage({ limit: 1 }))) ?? { items: [] }
  if (items[0] !== undefined) return items[0].app
  const apps = await allowed(pike.apps.list().page({ limit: 2 }))
  return apps?.items.length === 1 ? apps.items[0]!.app : undefined
}

/** Undefined: this key may not ask that. */
async function allowed<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof PikeProblem && error.code === 'forbidden') return undefined
    throw error
  }
}
