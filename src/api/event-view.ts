import type { KeptEvent } from '../contract/index.ts'
import { payloadMember } from '../listen/payload.ts'
import { replyMembers, stepView, time } from './views.ts'

/** An event as JSON text on one line. */
export function eventJson(event: KeptEvent): string {
  const channel = event.channel === undefined ? '' : `,"channel":"${event.channel}"`
  return `{"id":"${event.id}","type":"${event.kind}","app":"${event.app}","device":"${event.device}"${channel},"at":"${time(event.atMs)}"${members(event)}}`
}

function members(event: KeptEvent): string {
  switch (event.kind) {
    case 'event': {
      const { name, stamp, maybeRepeat, payload, contentType } = event
      return `,"name":${JSON.stringify(name)}${stampMember(stamp)}${maybeRepeat === true ? ',"maybeRepeat":true' : ''}${payloadMember(payload, contentType)}`
    }
    case 'reply':
      return `${traceMember(event)},"command":${JSON.stringify(event.command)},${replyMembers(event.reply)}${stampMember(event.stamp)}`
    case 'presence':
      return plain({
        state: event.state,
        term: event.term,
        heardAt: event.heardAtMs === undefined ? undefined : time(event.heardAtMs),
        protocol: event.protocol,
        via: event.via,
        reason: event.reason,
      })
    case 'command.ended': {
      const { ended } = event
      return `${traceMember(ended)}${plain({
        command: ended.id,
        name: ended.name,
        status: ended.status,
        reason: ended.reason,
        delivery: ended.delivery,
        expect: ended.expect,
        acceptedAt: time(ended.acceptedAtMs),
        expiresAt: time(ended.expiresAtMs),
        askedBy: ended.askedBy,
        timeline: ended.timeline.map(stepView),
      })}`
    }
    case 'command.late': {
      const text = traceMember(event) + plain({ command: event.command, proof: event.proof })
      return event.reply === undefined ? text : `${text},${replyMembers(event.reply)}`
    }
    case 'session.conflict':
      return plain({ hold: event.holdMs / 1000 })
    case 'position.unknown':
      return plain({ claimed: { epoch: event.claimed.epoch, offset: event.claimed.offset } })
  }
}

/** Members to follow others: never empty here. */
const plain = (object: object): string => `,${JSON.stringify(object).slice(1, -1)}`

/** First of them, so that webhooks find it without reading all. */
const traceMember = ({ traceparent }: { readonly traceparent?: string }): string =>
  traceparent === undefined ? '' : `,"traceparent":"${traceparent}"`

const stampMember = (stamp: { epoch: number; sequence: number } | undefined): string =>
  stamp === undefined ? '' : `,"stamp":{"epoch":${stamp.epoch},"sequence":${stamp.sequence}}`
