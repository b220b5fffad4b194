import type { EpochSpan } from '../../../contract/index.ts'
import { endStatuses } from '../../../contract/index.ts'
import type { Counters, Looking, Seen, Shape } from './looking.ts'
import { names } from './looking.ts'

const appKey = names('[anl]', 1)
const shape: Shape = {
  ...{ accepted: 'number', open: 'number', ended: 'object', devices: 'number' },
  ...{ aliases: 'number', logBytes: 'number', top: 'number', oldest: 'number' },
}
/** The size of a log is an estimate where its store was upgraded. */
const sizeSlack = 2
const sizeSlackBytes = 64 * 1_048_576

/** Apps, what they count, and the epochs of their logs: needed by all that follows. */
export async function readApps(looking: Looking): Promise<void> {
  await looking.kind('a', 'apps', (entries) => {
    for (const [key, value] of entries) {
      if (!appKey.test(key)) {
        looking.found('unknown-key', key)
        continue
      }
      const app = key.slice(2)
      looking.apps.add(app)
      const record = looking.json<{ app: string }>(key, value, { app: 'string' })
      if (record !== undefined && record.app !== app) looking.found('wrong-place', key, record.app)
    }
  })
  await looking.kind('n', 'counters of apps', (entries) => {
    for (const [key, value] of entries) {
      const counters = appKey.test(key) ? looking.json<Counters>(key, value, shape) : undefined
      if (!appKey.test(key)) looking.found('unknown-key', key)
      else if (counters !== undefined) looking.counters.set(key.slice(2), counters)
    }
  })
  await looking.kind('l', 'epochs of logs', (entries) => {
    for (const [key, value] of entries) {
      if (!appKey.test(key)) looking.found('unknown-key', key)
      else {
        const spans = looking.read(key, () => spansOf(value))
        if (spans !== undefined) looking.logs.set(key.slice(2), spans)
      }
    }
  })
  for (const [app, { top }] of looking.counters) checkLog(looking, app, top)
  for (const app of looking.logs.keys()) {
    if (!looking.counters.has(app)) looking.found('counters-missing', app, 'its log has epochs')
  }
}

function spansOf(value: Buffer): readonly EpochSpan[] {
  const spans = JSON.parse(value.toString()) as readonly EpochSpan[]
  const isGood = ({ epoch, last }: EpochSpan) => Number.isInteger(epoch) && Number.isInteger(last)
  if (!Array.isArray(spans) || !spans.every(isGood)) throw new RangeError('no list of epochs')
  return spans
}

function checkLog(looking: Looking, app: string, top: number): void {
  const spans = looking.logs.get(app) ?? []
  if (spans.length === 0) {
    if (top > 0) looking.found('log-epochs', app, `it has none, and events up to ${top}`)
    return
  }
  let before = 0
  for (const { last } of spans.slice(0, -1)) {
    if (last < before || last > top) looking.found('log-epochs', app, `one ends at ${last}`)
    before = last
  }
}

/** What apps count against what there is. Last, when all has been seen. */
export function checkCounters(looking: Looking): void {
  for (const [app, seen] of looking.seenApps()) {
    const counters = looking.counters.get(app)
    if (counters !== undefined) checkApp(looking, app, counters, seen)
    else looking.found('counters-missing', app, said(seen))
  }
  for (const [app, counters] of looking.counters) {
    const { devices, aliases } = counters
    const hasNames = devices > 0 || aliases > 0
    if (hasNames && !looking.apps.has(app)) looking.found('app-missing', app, 'it has names')
    if (![...looking.seenApps()].some(([other]) => other === app)) {
      checkApp(looking, app, counters, looking.seen(app))
    }
  }
}

const said = ({ open, devices, aliases, events }: Seen): string =>
  `${open} open commands, ${devices} devices, ${aliases} aliases, ${events} events`

function checkApp(looking: Looking, app: string, counters: Counters, seen: Seen): void {
  const { accepted, open, ended, devices, aliases, logBytes } = counters
  const sum = Object.values(ended).reduce((all, count) => all + count, 0)
  if (accepted !== sum + open) {
    looking.found('unaccounted', app, `accepted ${accepted}, ended ${sum}, open ${open}`)
  }
  for (const status of Object.keys(ended)) {
    if (!(endStatuses as readonly string[]).includes(status)) {
      looking.found('unreadable', `n/${app}`, `nothing ends ${status}`)
    }
  }
  if (open !== seen.open) looking.found('open-count', app, `counted ${open}, there ${seen.open}`)
  for (const [status, there] of seen.ended) {
    const counted = Object.hasOwn(ended, status) ? ended[status]! : 0
    if (there > counted) {
      looking.found('ended-count', app, `${status}: counted ${counted}, there ${there}`)
    }
  }
  if (devices !== seen.devices) {
    looking.found('names-count', app, `devices: counted ${devices}, there ${seen.devices}`)
  }
  if (aliases !== seen.aliases) {
    looking.found('names-count', app, `aliases: counted ${aliases}, there ${seen.aliases}`)
  }
  const slack = sizeSlackBytes
  const isOff =
    logBytes > sizeSlack * seen.logBytes + slack || seen.logBytes > sizeSlack * logBytes + slack
  if (isOff) looking.found('log-size', app, `counted ${logBytes}, there about ${seen.logBytes}`)
}
