import type {
  CommandStatus,
  EngineState,
  Explanation,
  Limits,
  Mailbox,
  OpenCommand,
  Presence,
} from '../contract/index.ts'
import { dueAtMs, scheduledEpoch } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'
import { explainEnded, type Words } from './explain-ended.ts'

/** What is known at the moment of asking. */
export interface Circumstances {
  /** What is attached to its channel. */
  readonly attachment: Attachment | undefined
  /** Of its device. */
  readonly presence: Presence
  readonly store: EngineState
  readonly nowMs: number
  /** Nothing is ended or placed by time before this moment (rule 34). */
  readonly holdUntilMs: number
}

/** Why a command is where it is: a code a program can use, a sentence a person understands. */
export async function explain(
  status: CommandStatus,
  mailbox: Mailbox,
  { inDoubtGraceMs }: Pick<Limits, 'inDoubtGraceMs'>,
  now: Circumstances,
): Promise<Explanation> {
  if (status.kind === 'ended') return { ...explainEnded(status.command), status }
  const { command } = status
  const { attachment, holdUntilMs } = now
  const session = sessionOf(attachment)
  const lastAcknowledgedAtMs = attachment?.live.liveness.acknowledgedAtMs
  if (command.epoch === scheduledEpoch) {
    const nextAtMs = Math.max(command.notBeforeMs ?? 0, holdUntilMs)
    return { ...scheduled(command, now), status, session, lastAcknowledgedAtMs, nextAtMs }
  }
  const head = await headOf(command, mailbox, now)
  return {
    ...waitingFor(command, head, inDoubtGraceMs, now),
    status,
    session,
    head: head?.id,
    lastAcknowledgedAtMs,
    nextAtMs: Math.max(dueAtMs(command, inDoubtGraceMs), holdUntilMs),
  }
}

async function headOf(
  command: OpenCommand,
  mailbox: Mailbox,
  { store }: Circumstances,
): Promise<OpenCommand | undefined> {
  if (store !== 'ready') return undefined
  const { commands } = await mailbox.read(command.channel, 0, 1)
  return commands[0]
}

function scheduled(command: OpenCommand, { nowMs, store }: Circumstances): Words {
  if ((command.notBeforeMs ?? 0) > nowMs) {
    const then =
      command.delivery === 'now'
        ? 'is then given to a live link or ends undeliverable'
        : 'then takes its place behind what waits by that time'
    return {
      code: 'waiting.not-before',
      sentence: `It is scheduled for ${time(command.notBeforeMs!)} and ${then}. Until that moment it can be canceled.`,
    }
  }
  if (store !== 'ready') return storeAway
  return { code: 'waiting.place', sentence: 'Its time has come; it is about to get its place.' }
}

function waitingFor(
  command: OpenCommand,
  head: OpenCommand | undefined,
  inDoubtGraceMs: number,
  now: Circumstances,
): Words {
  if (command.deliveredAtMs !== undefined) return awaitingReply(command)
  const { attachment, store, nowMs, holdUntilMs } = now
  if (dueAtMs(command, inDoubtGraceMs) <= nowMs && holdUntilMs > nowMs) return held
  if (command.maybeSent) return maybeSent(command, inDoubtGraceMs, now)
  if (store !== 'ready') return storeAway
  return attachment === undefined ? noLink(command, now) : queued(command, attachment, head)
}

const awaitingReply = (command: OpenCommand): Words => ({
  code: 'waiting.reply',
  sentence: `The device has it; its application has not replied yet. Without a reply it ends unanswered at ${time(command.deliveredAtMs! + command.replyTimeoutMs)}.`,
})

const held: Words = {
  code: 'waiting.expiry-held',
  sentence:
    'Its deadline has passed, but the clock was far ahead of this store when the gateway started, ' +
    'so nothing expires for a minute. After that it ends.',
}

const storeAway: Words = {
  code: 'waiting.store-away',
  sentence:
    'The store cannot be written at the moment, so nothing is sent. An operator must look at the ' +
    'disk; it then goes on by itself.',
}

function maybeSent(command: OpenCommand, inDoubtGraceMs: number, now: Circumstances): Words {
  const endsAt = time(command.expiresAtMs + inDoubtGraceMs)
  const { attachment, nowMs } = now
  if (attachment === undefined) {
    return {
      code: 'waiting.device-after-sent',
      sentence:
        'It may have been written to a link that is gone. When the device comes back and says ' +
        `where it stands we will know; if it does not, this ends in doubt at ${endsAt}.`,
    }
  }
  if (attachment.link.acknowledges === false) {
    return {
      code: 'waiting.unacknowledged',
      sentence:
        'It was written to a link that does not tell what arrives (MQTT QoS 0), and is not written ' +
        `there again. Its reply ends it; without one it ends in doubt at ${endsAt}.`,
    }
  }
  if (attachment.live.outstanding(command.offset) === undefined) {
    return {
      code: 'waiting.repeat',
      sentence:
        'It may have been written to an older link and is not acknowledged. It is written again, ' +
        `marked as a repeat, when its turn comes; else it ends in doubt at ${endsAt}.`,
    }
  }
  if (attachment.live.liveness.suspect) {
    return {
      code: 'waiting.probe',
      sentence:
        'It was written to the link; the device is late and is being asked for a sign of life. If ' +
        'it gives none its link is closed, and this waits for it to come back.',
    }
  }
  const since =
    command.sentAtMs === undefined ? '' : ` ${seconds(Math.max(0, nowMs - command.sentAtMs))} ago`
  return {
    code: 'waiting.acknowledgement',
    sentence: `It was written to the link${since} and is not acknowledged yet. Without that it ends in doubt at ${endsAt}.`,
  }
}

function noLink(command: OpenCommand, { presence }: Circumstances): Words {
  const expires = `or expires at ${time(command.expiresAtMs)}`
  if (presence.state === 'asleep' && presence.backAtMs !== undefined) {
    return {
      code: 'waiting.asleep',
      sentence: `The device is asleep until ${time(presence.backAtMs)}, as it said. It waits for the device to come back, ${expires}.`,
    }
  }
  if (presence.state !== 'offline' && presence.reason !== 'restarted') {
    return {
      code: 'waiting.no-link',
      sentence: `The device is ${presence.state}, but has nothing attached to this channel. It waits for that, ${expires}. Does its firmware use this channel?`,
    }
  }
  const last =
    presence.heardAtMs === undefined
      ? 'has not been here since this gateway started'
      : `was last heard at ${time(presence.heardAtMs)}`
  return {
    code: 'waiting.no-link',
    sentence: `Nothing is attached to this channel; the device ${last}. It waits for the device to connect, ${expires}.`,
  }
}

function queued(command: OpenCommand, { live }: Attachment, head: OpenCommand | undefined): Words {
  switch (live.pump.paused) {
    case 'no-link':
      return {
        code: 'waiting.session',
        sentence: 'The device is attaching at this moment; commands follow when it knows that.',
      }
    case 'window-full':
      return {
        code: 'waiting.window-full',
        sentence: `Before it ${live.inFlight} commands are out and not acknowledged, and the device takes no more at once. It goes on when one is.`,
      }
    case 'link-full':
      return {
        code: 'waiting.link-full',
        sentence:
          'The device does not read its connection as fast as we write. It goes on when it has read.',
      }
    case 'leaving':
      return {
        code: 'waiting.leaving',
        sentence:
          'This gateway is sending its devices away and writes no more commands. It goes when the device is back, here or elsewhere.',
      }
    case 'keeping-intent':
      return {
        code: 'waiting.store',
        sentence: 'The intent to send it is being written to disk; then it goes.',
      }
    default:
      return head !== undefined && head.offset < command.offset
        ? {
            code: 'waiting.turn',
            sentence: `It waits its turn behind ${head.id}: order in a channel is absolute. What must overtake belongs on another channel.`,
          }
        : { code: 'waiting.pump', sentence: 'It is about to be written to the link.' }
  }
}

const time = (atMs: number): string => new Date(atMs).toISOString()
const seconds = (ms: number): string => (ms < 1_000 ? `${ms} ms` : `${Math.round(ms / 1_000)} s`)

function sessionOf(attachment: Attachment | undefined): Explanation['session'] {
  if (attachment === undefined) return undefined
  const { link, live } = attachment
  return {
    connection: attachment.trail.token,
    protocol: link.protocol,
    peer: link.peer,
    sinceMs: attachment.attachedAtMs,
    heardAtMs: live.liveness.heardAtMs,
    inFlight: live.inFlight,
    windowMaxCommands: live.windowMaxCommands,
  }
}
