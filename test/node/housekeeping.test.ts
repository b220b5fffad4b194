import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import type { Engine, Limits, NewEvent } from '../../src/contract/index.ts'
import { limits as defaults } from '../../src/contract/index.ts'
import { openLevelEngine } from '../../src/engine/level/index.ts'
import { Housekeeping } from '../../src/node/housekeeping.ts'
import { createLog } from '../../src/node/log.ts'
import { logEvents } from '../support/engine-words.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { until } from '../support/turns.ts'

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

async function house(t: TestContext, changed: Partial<Limits> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'pike-house-'))
  const clock = new ManualClock()
  const limits: Limits = { ...defaults, ...changed }
  const engine: Engine = await openLevelEngine({ folder, clock, limits, sync: false })
  t.after(async () => {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  })
  const lines: { event: string; level: string }[] = []
  const to = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const { log } = createLog({ level: 'info', human: false, to })
  const housekeeping = new Housekeeping({ engine, limits, log })
  const look = () => housekeeping.look(clock.nowMs())
  const said = (event: string) => lines.filter((line) => line.event === event).length
  return { engine, clock, look, said, housekeeping }
}

const events = (clock: ManualClock, count: number): NewEvent[] =>
  Array.from({ length: count }, () => ({
    ...{ kind: 'event', app: 'default', device: 'locker', atMs: clock.nowMs(), name: 'beat' },
    ...{ payload: Buffer.alloc(1_000), contentType: 'text/plain' },
  }))

const kept = async (engine: Engine): Promise<number> => {
  const page = await engine.events.read('default', { limit: 10_000 })
  return page.kind === 'page' ? page.items.length : Number.NaN
}

test('rule 33: what is past its age is forgotten within an hour: events, aliases, broadcasts', async (t) => {
  const { engine, clock, look, said } = await house(t)
  await look()
  await logEvents({ engine, clock }, events(clock, 3))
  const times = { createdAtMs: clock.nowMs(), changedAtMs: clock.nowMs() }
  const alias = { app: 'default', device: 'locker', history: [], ...times }
  await engine.names.putAlias({ ...alias, alias: 'gone', expiresAtMs: clock.nowMs() + hour })
  await engine.names.putAlias({ ...alias, alias: 'stays' })
  const about = { app: 'default', id: 'old', tag: 'all', askedBy: 'first' }
  const command = { channel: 'main', name: 'open', payload: Buffer.alloc(1) }
  const made = await engine.broadcasts.create(
    {
      ...about,
      createdAtMs: clock.nowMs(),
      command: { ...command, contentType: 'text/plain', delivery: 'queue', expect: 'ack' },
    },
    (async function* () {})(),
    { maxDevices: 9, maxKept: 9 },
  )
  assert.equal(made.kind, 'kept')
  clock.advance(7 * day)
  await look()
  assert.equal(await kept(engine), 3, 'not past it yet')
  clock.advance(hour)
  await logEvents({ engine, clock }, events(clock, 1))
  await look()
  assert.equal(await kept(engine), 1)
  assert.equal(engine.broadcasts.find('default', 'old'), undefined)
  assert.equal(await engine.names.aliasCount('default'), 2, 'it expired an hour later')
  clock.advance(hour)
  await look()
  assert.equal(await engine.names.aliasCount('default'), 1)
  assert.deepEqual(
    ['events.purged', 'aliases.purged', 'broadcasts.purged', 'counts.broken'].map(said),
    [1, 1, 1, 0],
  )
})

test('rule 33: logs beyond eventsMaxBytes are cut back within a minute, the oldest first', async (t) => {
  const { engine, clock, look, said } = await house(t, { eventsMaxBytes: 100_000 })
  await look()
  for (let times = 0; times < 3; times++) {
    await logEvents({ engine, clock }, events(clock, 200))
    clock.advance(minute)
    await look()
    assert.ok(engine.figures().events_bytes! <= 100_000)
    const left = await kept(engine)
    assert.ok(left > 80 && left < 100, `${left} are left`)
  }
  assert.equal(said('events.purged'), 3)
  assert.equal(said('events.purged-early'), 1, 'said once an hour')
})

test('events alone never fill a store to its bound', async (t) => {
  const { engine, clock, look } = await house(t, { storeMaxBytes: 50_000 })
  await logEvents({ engine, clock }, events(clock, 200))
  await look()
  assert.ok(engine.figures().events_bytes! <= 50_000)
})

test('a store that cannot be written is left alone, and nothing is looked at twice at once', async (t) => {
  const { engine, clock, look } = await house(t)
  let purges = 0
  let release = () => {}
  engine.events.purge = () => {
    purges += 1
    return new Promise((resolve) => {
      release = () => resolve(0)
    })
  }
  const first = look()
  await until(() => purges !== 0)
  clock.advance(2 * hour)
  await look()
  assert.equal(purges, 1)
  release()
  await first
  const broken = Object.create(engine, { state: { value: 'down' } }) as Engine
  const { log } = createLog({ level: 'silent', human: false })
  await new Housekeeping({ engine: broken, limits: defaults, log }).look(clock.nowMs())
  assert.equal(purges, 1)
})

test('rule 11: what is missing between accepted, ended and open is said', async (t) => {
  const { engine, look, said } = await house(t)
  engine.mailbox.counts = async () => ({ accepted: 3, open: 1, ended: { done: 1 } })
  await look()
  assert.equal(said('counts.broken'), 1)
})
