import type { AppendOptions, Broadcasts, Limits, ScheduledCommand } from '../../contract/index.ts'
import { dueAtMs } from '../../contract/index.ts'
import type { Appending } from './appending.ts'
import type { Channels } from './channels.ts'
import type { Scheduling } from './scheduling.ts'
import type { Status } from './status.ts'

/** Placed in one go. */
const step = 1_000

/** They were accepted, so there is room for them; and they may be out on a link already. */
const asSent: AppendOptions = {
  maxCommands: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  overflow: 'reject',
  intendUpTo: Number.MAX_SAFE_INTEGER,
}

interface Parts {
  readonly scheduling: Scheduling
  readonly appending: Appending
  readonly channels: Channels
  readonly status: Status
  readonly limits: Limits
}

/**
 * The first start after a restore. What was scheduled when the backup was taken, and whose time came
 * before the restore, may have been placed, sent and acted on since: nobody knows. So it gets its
 * place at once and counts as maybe sent (rule 3); a `now` then ends in doubt and is not sent again
 * (rule 5).
 *
 *     backup            restore         start
 *       | a waits ─ due ─ ? | b ─ due     |
 *                                         ├─ a placed, maybe sent
 *                                         ╰─ b is certainly unsent: placed as ever
 *
 * The intent is in the batch of each, so a crash leaves them maybe sent too.
 * @throws StoreUnavailable
 */
export async function placeMaybeSent(parts: Parts, lostUntilMs: number): Promise<void> {
  for (;;) {
    const ripe = await parts.scheduling.ripe(lostUntilMs, step)
    if (ripe.length === 0) return
    await Promise.all(ripe.map((command) => place(parts, command)))
  }
}

/**
 * Which members of a running broadcast got their command since the backup nobody knows either, and
 * here they have none yet: to go on would hand a second one to those who did. So nobody gets one.
 * @throws StoreUnavailable
 */
export async function stopBroadcasts(broadcasts: Broadcasts): Promise<void> {
  for (const { app, id } of broadcasts.running()) {
    await broadcasts.stop(app, id, 'the store was restored from a backup')
  }
}

function place({ appending, channels, status, limits }: Parts, given: ScheduledCommand) {
  const { id: _id, channel: at, ...command } = given
  return new Promise<void>((resolve, reject) => {
    appending.append(at, command, asSent, (appended) => {
      if (appended.kind !== 'kept') {
        reject(status.unavailable())
        return
      }
      const { command: kept } = appended
      const channel = channels.use(at)
      channel.sentUpTo = Math.max(channel.sentUpTo, kept.offset)
      channel.sentBefore = channel.sentUpTo
      const dueMs = dueAtMs({ ...kept, maybeSent: true }, limits.inDoubtGraceMs)
      channels.deadlines.lower(channel, dueMs)
      resolve()
    })
  })
}
