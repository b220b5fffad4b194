import type { AppId, DeviceId, Reason } from '../contract/index.ts'
import { Arrivals, type House } from './arrivals.ts'
import { Broadcaster, type Canceling } from './broadcaster.ts'
import { Changes } from './changes.ts'
import { Desk } from './desk.ts'
import type { Heartbeats } from './heartbeats.ts'
import type { Host } from './host.ts'
import { Overdue } from './overdue.ts'
import { Patrol } from './patrol.ts'
import { Placement } from './placement.ts'
import { PresenceMarks } from './presence-marks.ts'
import { Presences } from './presences.ts'
import { Removal } from './removal.ts'
import { type Asked, Router } from './router.ts'
import { Schedules } from './schedules.ts'
import { Sources, type SourcesHost } from './sources.ts'
import { Verifiers } from './verifiers.ts'
import { Waiters } from './waiters.ts'

/** What the parts need of the hub they are of. */
export interface Whole extends Host, House, SourcesHost, Asked, Canceling {
  readonly heartbeats: Heartbeats
  /** A device may not speak any more, so neither for others. */
  closeVia(app: AppId, gateway: DeviceId, reason: Reason): void
  /** All attached channels were looked at, in case a hint was lost. */
  patrolled(nowMs: number): void
}

/** What a hub is made of, besides what all of them use. */
export interface Parts {
  readonly router: Router
  readonly waiters: Waiters
  readonly desk: Desk
  readonly schedules: Schedules
  readonly broadcaster: Broadcaster
  readonly overdue: Overdue
  readonly arrivals: Arrivals
  readonly presences: Presences
  readonly verifiers: Verifiers
  readonly sources: Sources
  readonly removal: Removal
  readonly changes: Changes
  readonly patrol: Patrol
}

/**
 * Each once, in the order in which they need each other.
 *
 * @param holdUntilMs nothing is ended by time before this moment (rule 34).
 */
export function makeParts(hub: Whole, holdUntilMs: number): Parts {
  const { engine, mailbox, clock, limits, quotas, deadlines, heartbeats } = hub
  const { names, events, broadcasts } = engine
  const router = new Router(names, mailbox, clock, limits, quotas, hub)
  const waiters = new Waiters(clock, limits.waitersMax)
  const desk = new Desk(names, mailbox, clock, limits, waiters)
  const placement = new Placement(names, mailbox, clock, limits, hub)
  const log = (event: string, fields: Record<string, unknown>): void => hub.log(event, fields)
  const schedules = new Schedules(mailbox, placement, clock, log)
  schedules.holdUntil(holdUntilMs)
  const broadcaster = new Broadcaster(broadcasts, names, placement, clock, limits, quotas, hub)
  const overdue = new Overdue(mailbox, clock, limits, (channel, offset) =>
    hub.attached(channel)?.withdraw(offset),
  )
  overdue.holdUntil(holdUntilMs)
  const arrivals = new Arrivals(hub)
  const marks = new PresenceMarks(engine.shelf)
  const presences = new Presences(events, limits, deadlines, marks)
  const verifiers = new Verifiers(names, clock, limits, hub.recorder)
  const sources = new Sources(hub, presences, verifiers)
  const removal = new Removal({
    ...{ clock, names, desk, arrivals, sources, presences, heartbeats },
    isAttached: (channel) => hub.attached(channel) !== undefined,
    closeVia: (app, gateway, reason) => hub.closeVia(app, gateway, reason),
  })
  const changes = new Changes(arrivals, hub.independence, sources, presences, (channel) =>
    hub.attached(channel),
  )
  const patrol = new Patrol(clock, limits.patrolMs, (nowMs) => hub.patrolled(nowMs))
  return {
    ...{ router, waiters, desk, schedules, broadcaster, overdue },
    ...{ arrivals, presences, verifiers, sources, removal, changes, patrol },
  }
}
