import type {
  CommandStatus,
  Depth,
  DeviceRecord,
  Explanation,
  Found,
  Keepalive,
  KeptCommand,
  OpenCommand,
  OpenStatus,
  Presence,
  Reply,
  Step,
} from '../contract/index.ts'
import { channelParts, scheduledEpoch } from '../contract/index.ts'
import { payloadMember } from '../listen/payload.ts'
import type { Device } from './device-schemas.ts'

/*
 * How things look from outside. What carries a payload is made as JSON text, so that the payload's
 * own text goes through untouched; the rest are plain objects.
 */

/** RFC 3339 in UTC. */
export const time = (ms: number): string => new Date(ms).toISOString()
export const timeIf = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : time(ms)

export const depthView = (depth: Depth) => ({
  commands: depth.commands,
  bytes: depth.bytes,
  oldestAt: timeIf(depth.oldestAtMs),
})

/** However its last link ended: that it is disabled keeps it away. */
const reasonOf = ({ disabled }: DeviceRecord, { state, reason }: Presence): string | undefined =>
  disabled && state === 'offline' ? 'device-disabled' : reason

const presenceView = (record: DeviceRecord, presence: Presence) => ({
  state: presence.state,
  since: timeIf(presence.sinceMs),
  heardAt: timeIf(presence.heardAtMs),
  protocol: presence.protocol,
  via: presence.via,
  reason: reasonOf(record, presence),
  backAt: timeIf(presence.backAtMs),
  term: presence.term,
})

const keepaliveView = ({ grantedMs, provenMs }: Keepalive) =>
  grantedMs === undefined && provenMs === undefined
    ? undefined
    : {
        grantedS: grantedMs === undefined ? undefined : grantedMs / 1000,
        provenS: provenMs === undefined ? undefined : provenMs / 1000,
      }

export const deviceView = (
  record: DeviceRecord,
  presence: Presence,
  depth: Depth,
  secret?: string,
  keepalive?: Keepalive,
): Device => ({
  device: record.device,
  disabled: record.disabled,
  tags: [...record.tags],
  attributes: record.attributes,
  channels: record.channels,
  ...(record.gateways !== undefined && { gateways: [...record.gateways] }),
  credentials: record.credentials.length,
  createdAt: time(record.createdAtMs),
  changedAt: time(record.changedAtMs),
  presence: presenceView(record, presence),
  mailbox: depthView(depth),
  keepalive: keepalive && keepaliveView(keepalive),
  secret,
})

export const statusOf = (status: CommandStatus): Step['status'] =>
  status.kind === 'open' ? status.status : status.command.status

export const acceptedView = (status: CommandStatus) => {
  const { command } = status
  const { id, channel, expiresAtMs } = command
  const parts = channelParts(channel)
  return {
    id,
    device: parts.device,
    channel: parts.channel,
    ...placeOf(command),
    status: statusOf(status),
    notBefore: timeIf(command.notBeforeMs),
    expiresAt: time(expiresAtMs),
  }
}

/** What waits for its time has no place yet (rule 6). */
const placeOf = ({ epoch, offset }: Pick<KeptCommand, 'epoch' | 'offset'>) =>
  epoch === scheduledEpoch ? undefined : { epoch, offset }

export const stepView = ({ status, atMs, reason, late }: Step) => ({
  status,
  at: time(atMs),
  reason,
  late,
})

export const replyMembers = (reply: Reply): string =>
  `"status":"${reply.status}"${reply.reason === undefined ? '' : `,"reason":${JSON.stringify(reply.reason)}`}${payloadMember(reply.payload, reply.contentType)}`

/** A command as JSON text. */
export function commandJson(status: CommandStatus): string {
  const { command } = status
  const ended = status.kind === 'ended'
  const parts = channelParts(command.channel)
  const text = JSON.stringify({
    id: command.id,
    device: parts.device,
    channel: parts.channel,
    ...placeOf(command),
    name: command.name,
    status: statusOf(status),
    ended,
    reason: ended ? status.command.reason : undefined,
    delivery: command.delivery,
    expect: command.expect,
    acceptedAt: time(command.acceptedAtMs),
    notBefore: timeIf(command.notBeforeMs),
    expiresAt: time(command.expiresAtMs),
    callback: command.callback,
    broadcast: command.broadcast,
    traceparent: command.traceparent,
    askedBy: command.askedBy,
    timeline: (ended ? status.command.timeline : status.timeline).map(stepView),
  })
  const reply = ended ? status.command.reply : undefined
  return reply === undefined ? text : `${text.slice(0, -1)},"reply":{${replyMembers(reply)}}}`
}

export function explanationJson(explanation: Explanation): string {
  const { code, sentence, session, head, lastAcknowledgedAtMs, nextAtMs, status } = explanation
  const text = JSON.stringify({
    code,
    sentence,
    session: session && {
      connection: session.connection,
      protocol: session.protocol,
      peer: session.peer,
      since: time(session.sinceMs),
      heardAt: time(session.heardAtMs),
      inFlight: session.inFlight,
      windowMaxCommands: session.windowMaxCommands,
    },
    head,
    lastAcknowledgedAt: timeIf(lastAcknowledgedAtMs),
    nextAt: timeIf(finite(nextAtMs)),
  })
  return `${text.slice(0, -1)},"command":${commandJson(status)}}`
}

/** "Never" is no time. */
const finite = (ms: number | undefined): number | undefined =>
  ms !== undefined && Number.isFinite(ms) ? ms : undefined

/** What a mailbox found, with the timeline it can tell by itself. */
export function foundStatus(found: Found): CommandStatus {
  if (found.kind === 'ended') return found
  const { command } = found
  const timeline: Step[] = [{ status: 'queued', atMs: command.acceptedAtMs }]
  if (command.sentAtMs !== undefined) timeline.push({ status: 'sent', atMs: command.sentAtMs })
  if (command.deliveredAtMs !== undefined)
    timeline.push({ status: 'delivered', atMs: command.deliveredAtMs })
  return { kind: 'open', status: openStatus(command), command, timeline }
}

const openStatus = (command: OpenCommand): OpenStatus => {
  if (command.deliveredAtMs !== undefined) return 'delivered'
  return command.maybeSent ? 'sent' : 'queued'
}

/** `Location` of a command. */
export const commandUrl = (command: Pick<KeptCommand, 'id'>): string => `/v1/commands/${command.id}`
