import { crc32 } from 'node:zlib'
import type { ChannelId } from '../../contract/index.ts'
import { Reader, writer } from './bytes.ts'
import { Channel } from './channel.ts'

const version = 1
const checksumBytes = 4

/**
 * The record of a channel, with a checksum: a position that went back unnoticed would be given
 * twice, and LevelDB does not check what it reads from its tables.
 * A view that changes with the next record; LevelDB copies it at once.
 */
export function encodeRecord(channel: Channel): Buffer {
  const out = writer.reset()
  out.u8(version)
  out.f64(channel.top)
  out.f64(channel.floor)
  out.u32(channel.count)
  out.f64(channel.bytes)
  out.f64(channel.sentUpTo)
  out.f64(channel.intended)
  // Whether the next process finds a `now` that this one may have sent, only it can tell (rule 4).
  out.f64(channel.nowUpTo >= channel.floor ? 0 : channel.dueAtMs)
  out.f64(channel.oldestAtMs)
  out.u32(channel.epoch)
  out.u8(channel.older.length)
  for (const number of channel.older) out.f64(number)
  out.u8((channel.attempts === undefined ? 0 : 1) | (channel.uplinks === undefined ? 0 : 2))
  if (channel.attempts !== undefined) {
    out.f64(channel.attempts.offset)
    out.u32(channel.attempts.sessions)
  }
  if (channel.uplinks !== undefined) out.text(channel.uplinks)
  out.u32(crc32(out.view()))
  return out.view()
}

/** @throws RangeError for bytes that are no such record. */
export function decodeRecord(id: ChannelId, value: Buffer): Channel {
  const end = value.length - checksumBytes
  if (end < 1 || value.readUInt32LE(end) !== crc32(value.subarray(0, end))) {
    throw new RangeError(`the record of channel ${id} is damaged`)
  }
  const from = new Reader(value)
  if (from.u8() !== version) throw new RangeError('a channel record of an unknown version')
  const channel = new Channel(id)
  channel.top = from.integer()
  channel.durableTop = channel.top
  channel.floor = from.integer()
  channel.count = from.u32()
  channel.bytes = from.integer()
  channel.sentUpTo = from.integer()
  channel.sentKept = channel.sentUpTo
  channel.intended = from.integer()
  channel.dueAtMs = from.f64()
  if (channel.dueAtMs === 0) channel.nowUpTo = channel.top
  channel.oldestAtMs = from.f64()
  channel.epoch = from.u32()
  const numbers = from.u8()
  if (numbers > 0) {
    const older: number[] = []
    for (let at = 0; at < numbers; at++) older.push(from.integer())
    channel.older = older
  }
  const has = from.u8()
  if (has & 1) channel.attempts = { offset: from.integer(), sessions: from.u32() }
  if (has & 2) channel.uplinks = from.text()
  return channel
}
