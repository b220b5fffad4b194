import { locateCommand } from '../../../contract/index.ts'
import type { Standing } from '../broadcast-record.ts'
import { decodeBroadcast } from '../broadcast-record.ts'
import type { Cast, Looking, Shape } from './looking.ts'
import { names } from './looking.ts'

const headKeys = names('[bvu]', 2)
const memberKeys = names('j', 3)
const standingShape: Shape = {
  ...{ state: 'string', devices: 'number', waiting: 'number', open: 'number' },
  ...{ ended: 'object', cursor: 'string' },
}

/** Broadcasts and their members; before the commands, which are counted for them. */
export async function readBroadcasts(looking: Looking): Promise<void> {
  await looking.kind('b', 'broadcasts', (entries) => {
    for (const [key, value] of entries) {
      if (!headKeys.test(key)) {
        looking.found('unknown-key', key)
        continue
      }
      looking.casts.set(key.slice(2), newCast(true))
      const made = looking.read(key, () => decodeBroadcast(value))
      const says = made && `${made.app}/${made.id}`
      if (says !== undefined && says !== key.slice(2)) looking.found('wrong-place', key, says)
    }
  })
  await looking.kind('u', 'broadcasts to be forgotten', (entries) => {
    for (const [key] of entries) {
      if (!headKeys.test(key)) looking.found('unknown-key', key)
      else if (looking.casts.has(key.slice(2))) {
        looking.found('broadcast-incomplete', key, 'it is to be forgotten, and is there')
      } else looking.casts.set(key.slice(2), newCast(false))
    }
  })
  await looking.kind('j', 'members of broadcasts', (entries) => {
    for (const [key, value] of entries) checkMember(looking, key, value)
  })
}

const newCast = (made: boolean): Cast => ({
  ...{ made, forgotten: !made, members: 0, waiting: 0, open: 0, ended: new Map() },
  firstWaiting: undefined,
})

function checkMember(looking: Looking, key: string, value: Buffer): void {
  if (!memberKeys.test(key)) {
    looking.found('unknown-key', key)
    return
  }
  const [, app, id, device] = key.split('/') as [string, string, string, string]
  const cast = looking.casts.get(`${app}/${id}`)
  if (cast === undefined) {
    looking.found('broadcast-incomplete', key, 'a member of no broadcast')
    return
  }
  cast.members += 1
  if (value.length === 0) {
    cast.waiting += 1
    cast.firstWaiting ??= device
  } else if (locateCommand(app, value.toString())?.device !== device) {
    looking.found('broadcast-member', key, 'it names no command of this device')
  }
}

/** Their reports. After commands and events, which were counted for them. */
export async function checkBroadcasts(looking: Looking): Promise<void> {
  const reported = new Set<string>()
  await looking.kind('v', 'reports of broadcasts', (entries) => {
    for (const [key, value] of entries) {
      const cast = looking.casts.get(key.slice(2))
      if (!headKeys.test(key)) looking.found('unknown-key', key)
      else if (cast === undefined || !cast.made) {
        looking.found('broadcast-incomplete', key, 'the report of none')
      } else {
        reported.add(key.slice(2))
        const standing = looking.json<Standing>(key, value, standingShape)
        if (standing !== undefined) checkReport(looking, key.slice(2), cast, standing)
      }
    }
  })
  for (const [id, cast] of looking.casts) {
    if (cast.made && !reported.has(id)) {
      looking.found('broadcast-incomplete', `b/${id}`, 'it has no report: the store will not open')
    }
  }
}

function checkReport(looking: Looking, id: string, cast: Cast, standing: Standing): void {
  const { state, devices, waiting, open, ended, cursor } = standing
  const sum = Object.values(ended).reduce((all, count) => all + count, 0)
  const differs = (what: string, says: number, is: number) => {
    if (says !== is) looking.found('broadcast-count', id, `${what} ${says}, is ${is}`)
  }
  differs('devices', devices, cast.members)
  differs('waiting', waiting, cast.waiting)
  differs('open', open, cast.open)
  differs('placed', open + sum, cast.members - cast.waiting)
  for (const [status, there] of cast.ended) {
    const counted = ended[status] ?? 0
    // Older outcomes may be purged already.
    if (there > counted) looking.found('ended-count', id, `${status}: ${counted}, is ${there}`)
  }
  if (!['running', 'placed', 'stopped'].includes(state)) {
    looking.found('unreadable', `v/${id}`, `no broadcast is ${state}`)
  } else if (state !== 'stopped' && (state === 'running') !== waiting > 0) {
    looking.found('broadcast-count', id, `it is ${state}, and ${waiting} wait`)
  }
  if (cast.firstWaiting !== undefined && cast.firstWaiting <= cursor) {
    looking.found('broadcast-count', id, `${cast.firstWaiting} waits, and is passed over`)
  }
}
