import type {
  AliasRecord,
  DeviceRecord,
  KeyRecord,
  WebhookRecord,
} from '../../../contract/index.ts'
import { tagKey } from '../keys.ts'
import type { Entry, Looking, Shape } from './looking.ts'
import { names } from './looking.ts'

const keyOf = { d: names('d', 2), o: names('o', 2), k: names('k', 2), w: names('w', 2) } as const
const tagKeys = names('t', 3)
const shelfKeys = /^x(\/[A-Za-z0-9][A-Za-z0-9._~-]{0,127})+$/
const answerKeys =
  /^i\/[0-9a-z]{6}\/[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\/[0-9]*(=[\x21-\x7e]{1,64}|#[\w-]{43})$/
const dayMs = 24 * 3_600_000

const deviceShape: Shape = {
  ...{ app: 'string', device: 'string', disabled: 'boolean', tags: 'array' },
  ...{ attributes: 'object', channels: 'object', credentials: 'array' },
}

/** Devices and tags, aliases, keys, webhooks, and what services and repeated calls keep. */
export async function checkNames(looking: Looking): Promise<void> {
  const tagged = await checkDevices(looking)
  await checkTags(looking, tagged)
  await looking.kind('o', 'aliases', (entries) => {
    for (const [key, value] of entries) {
      const record = named<AliasRecord>(looking, 'o', key, value, aliasShape, 'alias')
      if (record !== undefined) looking.seen(record.app).aliases += 1
    }
  })
  await looking.kind('k', 'API keys', (entries) => {
    for (const [key, value] of entries) {
      const record = named<KeyRecord>(looking, 'k', key, value, keyShape, 'name')
      if (record !== undefined) mustHaveApp(looking, key, record.app)
    }
  })
  await looking.kind('w', 'webhooks', (entries) => {
    for (const [key, value] of entries) {
      const record = named<WebhookRecord>(looking, 'w', key, value, webhookShape, 'name')
      if (record !== undefined) mustHaveApp(looking, key, record.app)
    }
  })
  await looking.kind('x', 'records of services', (entries) => {
    for (const [key] of entries) if (!shelfKeys.test(key)) looking.found('unknown-key', key)
  })
  await looking.kind('i', 'answers to repeated calls', (entries) => {
    for (const [key, value] of entries) checkAnswer(looking, key, value)
  })
}

const aliasShape: Shape = { app: 'string', alias: 'string', device: 'string', history: 'array' }
const keyShape: Shape = { app: 'string', name: 'string', hash: 'string', scopes: 'array' }
const webhookShape: Shape = { app: 'string', name: 'string', url: 'string', secrets: 'array' }

function mustHaveApp(looking: Looking, key: string, app: string): void {
  if (!looking.apps.has(app)) looking.found('app-missing', key)
}

function named<T extends { readonly app: string }>(
  looking: Looking,
  letter: keyof typeof keyOf,
  key: string,
  value: Buffer,
  shape: Shape,
  nameField: string,
): T | undefined {
  if (!keyOf[letter].test(key)) {
    looking.found('unknown-key', key)
    return undefined
  }
  const record = looking.json<T>(key, value, shape)
  if (record === undefined) return undefined
  const says = `${record.app}/${String((record as Record<string, unknown>)[nameField])}`
  if (key === `${letter}/${says}`) return record
  looking.found('wrong-place', key, says)
  return undefined
}

/** @returns how many pairs of a tag and a device there must be. */
async function checkDevices(looking: Looking): Promise<number> {
  let tagged = 0
  await looking.kind('d', 'devices', async (entries) => {
    const pairs: string[] = []
    for (const [key, value] of entries) {
      const record = named<DeviceRecord>(looking, 'd', key, value, deviceShape, 'device')
      if (record === undefined) continue
      const { app, device, tags } = record
      looking.seen(app).devices += 1
      for (const tag of new Set(tags)) pairs.push(tagKey(app, tag, device))
    }
    tagged += pairs.length
    const values = await looking.many(pairs)
    for (const [at, pair] of pairs.entries()) {
      if (values[at] !== undefined) continue
      tagged -= 1
      looking.found('tag-missing', pair)
    }
  })
  return tagged
}

async function checkTags(looking: Looking, tagged: number): Promise<void> {
  let count = 0
  await looking.kind('t', 'devices by tag', (entries) => {
    for (const [key] of entries) {
      if (tagKeys.test(key)) count += 1
      else looking.found('unknown-key', key)
    }
  })
  // All that must be there are; only if there are more, it is worth to ask whose they are.
  if (count !== tagged)
    await looking.range({ gte: 't/', lt: 't0' }, (entries) => strays(looking, entries))
}

async function strays(looking: Looking, entries: readonly Entry[]): Promise<void> {
  const pairs = entries.filter(([key]) => tagKeys.test(key)).map(([key]) => key.split('/'))
  const values = await looking.many(pairs.map(([, app, , device]) => `d/${app}/${device}`))
  for (const [at, [, app, tag, device]] of pairs.entries()) {
    const value = values[at]
    let has: readonly unknown[] = []
    try {
      has = value === undefined ? [] : (JSON.parse(value.toString()) as DeviceRecord).tags
    } catch {
      // Said when the device was looked at.
      continue
    }
    if (!has.includes(tag)) looking.found('tag-stray', `t/${app}/${tag}/${device}`)
  }
}

function checkAnswer(looking: Looking, key: string, value: Buffer): void {
  if (!answerKeys.test(key)) {
    looking.found('unknown-key', key)
    return
  }
  const day = Number.parseInt(key.slice(2, 8), 36)
  looking.read(key, () => {
    const answer = JSON.parse(value.toString()) as unknown
    if (!Array.isArray(answer)) throw new RangeError('it is no answer')
    const [atMs, hash, id] = answer as unknown[]
    if (typeof hash !== 'string' || typeof id !== 'string') throw new RangeError('it is no answer')
    if (Math.floor(Number(atMs) / dayMs) !== day) throw new RangeError('it is of another day')
  })
}
