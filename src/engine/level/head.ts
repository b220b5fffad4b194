import type { EpochSpan, Head, OpenCommand } from '../../contract/index.ts'
import type { Channel } from './channel.ts'
import { openCommand } from './commands.ts'

/** What is durable of a channel whose open commands are in memory. */
export function headOf(channel: Channel): Head {
  const open: OpenCommand[] = []
  // An end that a crash could take back is not behind it yet.
  let cursor = channel.readableUpTo
  channel.live!.open.scan(0, (entry) => {
    if (entry.offset > channel.durableTop) return false
    open.push(openCommand(channel, entry))
    if (entry.deliveredAtMs === undefined) cursor = Math.min(cursor, entry.offset - 1)
    return true
  })
  return {
    epochs: spansOf(channel),
    cursor,
    top: channel.durableTop,
    sentUpTo: channel.sentUpTo,
    intended: channel.intended,
    uplinks: channel.uplinks,
    attempts: channel.attempts,
    open,
  }
}

function spansOf(channel: Channel): readonly EpochSpan[] {
  const spans: EpochSpan[] = []
  const { older } = channel
  for (let at = 0; at < older.length; at += 2) {
    spans.push({ epoch: older[at]!, last: older[at + 1]! })
  }
  if (channel.epoch !== 0) spans.push({ epoch: channel.epoch, last: channel.durableTop })
  return spans
}
