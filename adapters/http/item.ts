import type { Downlink } from '../../src/contract/index.ts'
import { channelParts } from '../../src/contract/index.ts'
import { payloadMember } from '../../src/listen/payload.ts'
import { numberingName } from './position.ts'

/** One command as JSON text, as polls and streams carry it. */
export function itemJson({ command, repeated }: Downlink): string {
  const { channel } = channelParts(command.channel)
  const text = JSON.stringify({
    channel,
    epoch: numberingName(channel, command.epoch),
    offset: command.offset,
    id: command.id,
    name: command.name,
    expiresAt: new Date(command.expiresAtMs).toISOString(),
    delivery: command.delivery,
    expect: command.expect,
    repeated: repeated ? true : undefined,
  })
  const payload = payloadMember(command.payload, command.contentType)
  return payload === '' ? text : `${text.slice(0, -1)}${payload}}`
}
