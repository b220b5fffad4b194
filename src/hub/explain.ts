import type { Clock, CommandStatus, Explanation, Mailbox, OpenCommand } from '../contract/index.ts'
import { dueAtMs, endReasons } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'

/** Why a command is where it is: a code a program can use, a sentence a person understands. */
export async function explain(
  status: CommandStatus,
  attachment: Attachment | undefined,
  mailbox: Mailbox,
  clock: Clock,
  inDoubtGraceMs: number,
): Promise<Explanation> {
  if (status.kind === 'ended') {
    const { reason } = status.command
    const known = reason !== undefined && Object.hasOwn(endReasons, reason)
    const why = known ? endReasons[reason as keyof typeof endReasons] : reason
    return {
      code: `ended.${status.command.status}`,
      sentence: `It has ended: ${status.command.status}${why === undefined ? '' : ` (${why})`}.`,
      status,
    }
  }
  const { command } = status
  const { commands } = await mailbox.read(command.channel, 0, 1)
  const [head] = commands
  return {
    ...waitingFor(command, attachment, head, clock.nowMs()),
    status,
    session: session(attachment),
    head: head?.id,
    lastAcknowledgedAtMs: attachment?.live.liveness.acknowledgedAtMs,
    nextAtMs: dueAtMs(command, inDoubtGraceMs),
  }
}

function waitingFor(
  command: OpenCommand,
  attachment: Attachment | undefined,
  head: OpenCommand | undefined,
  nowMs: number,
): { code: string; sentence: string } {
  if (command.deliveredAtMs !== undefined) {
    return {
      code: 'waiting.reply',
      sentence: 'The device has it; its application has not replied yet.',
    }
  }
  if (command.maybeSent) {
    if (attachment === undefined) {
      return {
        code: 'waiting.device-after-sent',
        sentence:
          'It may have been written to a link that is gone. When the device comes back and says ' +
          'where it stands we will know; if it does not, this ends in doubt after its deadline.',
      }
    }
    const outForMs = command.sentAtMs === undefined ? undefined : nowMs - command.sentAtMs
    const since = outForMs === undefined ? '' : ` ${outForMs} ms ago`
    return {
      code: attachment.live.liveness.suspect ? 'waiting.probe' : 'waiting.acknowledgement',
      sentence: attachment.live.liveness.suspect
        ? 'It was written to the link; the device is late and is being asked for a sign of life.'
        : `It was written to the link${since} and is not acknowledged yet.`,
    }
  }
  if (attachment === undefined) {
    return {
      code: 'waiting.no-link',
      sentence: 'Nothing is attached to this channel; it waits for the device to connect.',
    }
  }
  switch (attachment.live.pump.paused) {
    case 'window-full':
      return {
        code: 'waiting.window-full',
        sentence: `${attachment.live.inFlight} commands before it are out and not acknowledged.`,
      }
    case 'link-full':
      return {
        code: 'waiting.link-full',
        sentence: 'The device does not read its connection as fast as we write.',
      }
    case 'keeping-intent':
      return { code: 'waiting.store', sentence: 'The intent to send it is being written to disk.' }
    default:
      return head !== undefined && head.offset < command.offset
        ? {
            code: 'waiting.turn',
            sentence: `It waits its turn behind ${head.id}: order in a channel is absolute.`,
          }
        : { code: 'waiting.pump', sentence: 'It is about to be written to the link.' }
  }
}

function session(attachment: Attachment | undefined): Explanation['session'] {
  if (attachment === undefined) return undefined
  const { link, live } = attachment
  return {
    connection: link.id,
    protocol: link.protocol,
    peer: link.peer,
    sinceMs: attachment.attachedAtMs,
    heardAtMs: live.liveness.heardAtMs,
    inFlight: live.inFlight,
    windowMaxCommands: live.windowMaxCommands,
  }
}
