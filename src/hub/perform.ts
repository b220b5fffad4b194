import type { Channel, Effect } from '../channel/index.ts'
import type {
  Change,
  Link,
  Offset,
  OpenCommand,
  Reading,
  Reason,
  Trail,
} from '../contract/index.ts'
import { type Host, unavailableRetryMs } from './host.ts'
import type { Tally } from './sla.ts'

/** One channel attached to one link, as far as its effects touch it. */
export interface Performing {
  readonly channel: string
  readonly live: Channel
  readonly link: Link
  readonly trail: Trail
  readonly tally: Tally
  readonly isOver: boolean
  /** What a settlement of this channel changed is kept. */
  kept(changes: readonly Change[], intendUpTo: Offset | undefined): void
  suspicion(suspect: boolean): void
  close(reason: Reason, retryAfterMs?: number): void
  /** There may be new effects. */
  perform(): void
}

/**
 * Carries out one thing that a channel wants done; what has to wait for the store comes back to it.
 *
 *     deliver ▶ link      settle, intend ▶ mailbox ▶ kept      read ▶ mailbox ▶ offer
 */
export function perform(effect: Effect, one: Performing, host: Host): void {
  switch (effect.kind) {
    case 'deliver':
      deliver(effect.command, effect.repeated, one, host)
      return
    case 'read':
      read(effect.after, effect.max, one, host)
      return
    case 'intend':
      intend(effect.upTo, one, host)
      return
    case 'settle': {
      const { changes, intendUpTo } = effect.settlement
      host.mailbox.settle(one.channel, effect.settlement, (outcome) => {
        if (outcome === 'kept') one.kept(changes, intendUpTo)
      })
      return
    }
    case 'probe':
      if (!one.link.probe()) return // this protocol cannot ask: keep-alive decides (rule 21)
      host.counts.probes++
      one.trail.note('probe')
      one.live.liveness.probing(host.clock.nowMs())
      one.suspicion(true)
      return
    case 'close':
      one.close(effect.reason, effect.retryAfterMs)
  }
}

function deliver(command: OpenCommand, repeated: boolean, one: Performing, host: Host): void {
  const nowMs = host.clock.nowMs()
  // Once, however often it is written.
  if (!command.maybeSent) one.tally.downlinks++
  const answer = one.link.deliver({ command, repeated })
  host.mailbox.sent(one.channel, command.offset, nowMs)
  host.counts.delivered++
  if (repeated) host.counts.repeated++
  if (answer === 'full') one.live.pump.linkFull()
}

function intend(upTo: Offset, one: Performing, host: Host): void {
  host.mailbox.intend(one.channel, upTo).then((kept) => {
    if (!kept || one.isOver) return
    one.live.pump.intended(upTo)
    one.perform()
  })
}

function read(after: Offset, max: number, one: Performing, host: Host): void {
  const reading = host.mailbox.read(one.channel, after, max)
  if (!(reading instanceof Promise)) {
    offer(reading, one, host)
    return
  }
  reading.then(
    (found) => {
      if (one.isOver) return
      offer(found, one, host)
      one.perform()
    },
    () => one.close('unavailable', unavailableRetryMs),
  )
}

function offer(reading: Reading, one: Performing, host: Host): void {
  const { link } = one
  one.live.pump.offer(reading, (command) => link.carries(command), host.clock.nowMs())
}
