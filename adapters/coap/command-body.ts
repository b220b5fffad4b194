import { createHash } from 'node:crypto'
import type { Downlink, KeptCommand } from '../../src/contract/index.ts'
import { commandId } from '../../src/contract/index.ts'

/**
 * A command as its device gets it: one line, then its payload as it is.
 *
 *     id=SZ-0042:main:k3f9:17&name=open&expires=1763712345678&now&reply\n
 *     {"door":7}
 *
 * The line is ASCII, of parts joined by `&`, in this order: `id` (to reply and to acknowledge by),
 * `name` (percent-encoded), `expires` (ms since 1970), and where it is so `type` (of the payload, if it
 * is not JSON; percent-encoded), `now` (not after it expires, not twice), `reply` (one is expected),
 * `again` (it may have come before) and `at` (epoch and offset, as other ids end, of a command that was
 * scheduled: its id does not say where it lies).
 */
export function commandBody({ command, repeated }: Downlink): Buffer {
  const head = Buffer.from(`${headLine(command, repeated)}\n`)
  return Buffer.concat([head, command.payload])
}

function headLine(command: KeptCommand, repeated: boolean): string {
  const { id, name, expiresAtMs, contentType, delivery, expect, channel, epoch, offset } = command
  let line = `id=${id}&name=${encodeURIComponent(Buffer.from(name).toString())}&expires=${Math.floor(expiresAtMs)}`
  if (contentType !== 'application/json') line += `&type=${encodeURIComponent(contentType)}`
  if (delivery === 'now') line += '&now'
  if (expect === 'reply') line += '&reply'
  if (repeated) line += '&again'
  if (id !== commandId(channel, epoch, offset)) line += `&at=${epoch.toString(36)}:${offset}`
  return line
}

/** Tells blocks of one body from those of another (RFC 7959 §2.4): a repeat says that it is one. */
export const etagOf = ({ command, repeated }: Downlink): Buffer =>
  createHash('sha256')
    .update(repeated ? `${command.id} again` : command.id)
    .digest()
    .subarray(0, 4)
