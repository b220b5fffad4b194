import assert from 'node:assert/strict'
import { limits } from './limits.ts'
import { type App, type Command, type Fact, isOpen, maybeSent } from './state.ts'

/** What befell devices and processes, as far as it can end a command. */
export interface World {
  readonly nowMs: number
  /** Times a device was removed, by `app/device`. */
  readonly removals: ReadonlyMap<string, readonly number[]>
  /** Was a link attached to this channel at that moment? undefined: it changed then. */
  attachedAt(channel: string, atMs: number): boolean | undefined
  /** Largest payload any link of this channel has carried at that moment. */
  refusedBytes(channel: string): number
  /** Times a link was attached to this channel. */
  attaches(channel: string): readonly number[]
  /** Starts that followed on something other than a planned stop. */
  readonly losses: readonly number[]
}

const has = (facts: readonly { readonly atMs: number }[], atMs: number): boolean =>
  facts.some((fact) => fact.atMs === atMs)

const neverSent = new Set(['expired', 'canceled', 'superseded', 'dropped'])

/** Rules 1, 3 to 8 and 10: may this command have ended like this, then? */
export function judgeEnd(command: Command, app: App, world: World): void {
  const { status, reason, atMs } = command.end!
  const { spec, expiresAtMs } = command
  const channel = `${command.app}/${command.device}/${spec.channel}`
  const about = `${command.id} (${spec.name}) ended ${status}${reason === undefined ? '' : `(${reason})`}`
  const must = (holds: boolean, why: string) => assert.ok(holds, `${about}, but ${why}`)
  const removedNow = world.removals.get(`${command.app}/${command.device}`)?.includes(atMs) === true
  const placedAtMs = command.placedAtMs ?? atMs
  if (neverSent.has(status)) must(command.writes === 0, 'it was written to a link')
  must(atMs >= command.acceptedAtMs && atMs <= world.nowMs, 'at an impossible time')
  switch (status) {
    case 'delivered':
      must(spec.expect === 'ack', 'a reply was expected')
      must(reason === undefined, 'that needs no reason')
      must(has(command.acks, atMs), 'its device did not acknowledge it then')
      return
    case 'done':
    case 'failed':
    case 'rejected':
      must(
        command.replies.some((r) => r.status === status && r.reason === reason && r.atMs === atMs),
        'its device did not say so then',
      )
      return
    case 'unanswered':
      must(reason === 'reply-timeout', 'that is no reason')
      must(spec.expect === 'reply', 'no reply was expected')
      must(
        command.acks.some((ack) => atMs >= ack.atMs + spec.replyTimeoutMs),
        'the time for the reply is not over',
      )
      return
    case 'expired':
      must(reason === 'ttl-passed' && atMs >= expiresAtMs, 'its time is not over')
      return
    case 'canceled':
      must(reason === 'requested' && has(command.cancels, atMs), 'nobody asked for that then')
      return
    case 'superseded': {
      const newer = [...app.commands.values()].some(
        (other) =>
          other !== command &&
          other.spec.collapse === spec.collapse &&
          other.device === command.device &&
          other.spec.channel === spec.channel &&
          other.placedAtMs === atMs,
      )
      must(reason === 'collapsed' && spec.collapse !== undefined && newer, 'nothing replaced it')
      return
    }
    case 'dropped': {
      const later = command.broadcast !== undefined || spec.notBeforeMs !== undefined
      const pushed = [...app.commands.values()].some(
        (other) =>
          other !== command &&
          other.device === command.device &&
          other.spec.channel === spec.channel &&
          other.placedAtMs === atMs,
      )
      must(reason === 'mailbox-full' && (pushed || later), 'nothing pushed it out')
      return
    }
    case 'undeliverable':
      if (reason === 'attempts') {
        must(heads(command, world) >= limits.attemptsMax, 'it was not sent in so many sessions')
        return
      }
      must(command.writes === 0, 'it was written to a link')
      if (reason === 'no-link') {
        must(spec.delivery === 'now' && atMs === placedAtMs, 'it does not need a link at once')
        must(world.attachedAt(channel, atMs) !== true, 'a link was attached')
      } else if (reason === 'device-removed') must(removedNow || isLater(command), 'it was not')
      else if (reason === 'too-large')
        must(spec.payload.length > world.refusedBytes(channel), 'every link carries it')
      else if (reason === 'device-disabled' || reason === 'unknown-channel')
        must(isLater(command), 'that is said when it is asked for')
      else must(false, 'that is no reason')
      return
    case 'in-doubt': {
      if (reason === 'device-removed') {
        must(removedNow, 'it was not')
        must(maybeSent(command) || command.acks.length > 0, 'it was certainly never sent')
        return
      }
      must(maybeSent(command), 'it was certainly never sent')
      const attachedThen = world.attaches(channel).some((at) => at <= atMs)
      if (reason === 'maybe-sent') {
        const passedOver = attachedThen && (atMs >= expiresAtMs || spec.delivery === 'now')
        must(passedOver || atMs >= expiresAtMs + limits.inDoubtGraceMs, 'its grace is not over')
      } else if (reason === 'not-received')
        must(spec.delivery === 'now' && world.attaches(channel).includes(atMs), 'nobody came back')
      else if (reason === 'restarted')
        must(spec.delivery === 'now' && world.losses.some((at) => at <= atMs), 'nothing restarted')
      else if (reason === 'too-large')
        must(spec.payload.length > world.refusedBytes(channel), 'every link carries it')
      else must(false, 'that is no reason')
      return
    }
  }
}

/** Where its device was not asked when it was accepted. */
const isLater = (command: Command): boolean =>
  command.broadcast !== undefined || command.spec.notBeforeMs !== undefined

const heads = (command: Command, world: World): number =>
  world.attaches(`${command.app}/${command.device}/${command.spec.channel}`).length - 1

/** All is at rest and the store is well: what must have ended by now has. */
export function judgeOpen(command: Command, nowMs: number): void {
  if (!isOpen(command)) return
  const { spec, expiresAtMs } = command
  const sure = (fact: Fact) => fact.maybe !== true
  const about = `${command.id} (${spec.name}) is open`
  const ack = command.acks.find(sure)
  assert.ok(!command.replies.some(sure), `${about}, but its device has answered`)
  assert.ok(!command.cancels.some(sure) || maybeSent(command), `${about}, but was canceled`)
  if (command.place === undefined) {
    assert.ok(nowMs < spec.notBeforeMs!, `${about} and has no place, but its time has come`)
    return
  }
  if (ack !== undefined) {
    assert.equal(spec.expect, 'reply', `${about}, but its device has it`)
    assert.ok(nowMs < ack.atMs + spec.replyTimeoutMs, `${about}, but no reply came in time`)
    return
  }
  const grace = maybeSent(command) ? limits.inDoubtGraceMs : 0
  assert.ok(nowMs < expiresAtMs + grace, `${about}, but its time is over`)
}
