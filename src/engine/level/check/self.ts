import { probeKey, restoredKey } from '../keys.ts'
import { startsKey, timeKey } from '../opening.ts'
import { formatKey } from '../upgrade.ts'
import type { Looking } from './looking.ts'

/** Letters with which keys begin. */
const letters = 'abcdehijklmnopqrstuvwxy'

/** What the store says of itself, and what nobody knows. */
export async function checkSelf(looking: Looking): Promise<void> {
  const there = new Set<string>()
  await looking.kind('s', 'the store itself', (entries) => {
    for (const [key, value] of entries) {
      there.add(key)
      if (key === formatKey) looking.json(key, value, { format: 'number', store: 'string' })
      else if (key === restoredKey) looking.json(key, value, { takenAtMs: 'number' })
      else if (key === startsKey || key === timeKey) {
        if (!/^[0-9]{1,16}$/.test(value.toString())) looking.found('unreadable', key, 'no number')
        // A start was cut while it tried whether it can write.
      } else if (key !== probeKey) looking.found('unknown-key', key)
    }
  })
  for (const key of [formatKey, startsKey]) {
    if (!there.has(key)) looking.found('self-missing', key)
  }
}

/** Keys that begin like none of ours. */
export async function checkUnknown(looking: Looking): Promise<void> {
  let from: string | undefined
  for (const letter of letters) {
    const range = { ...(from !== undefined && { gte: from }), lt: `${letter}/` }
    await looking.range(range, say)
    from = `${letter}0`
  }
  await looking.range({ gte: from! }, say)

  function say(entries: readonly (readonly [string, Buffer])[]): void {
    for (const [key] of entries) looking.found('unknown-key', key)
  }
}
