import type { ParsedPacket } from 'coap-packet'
import { readItem } from './items.ts'
import type { Lane } from './lane.ts'
import { type Answer, type Asking, uintBytes, uintOf } from './requests.ts'

const szxMax = 6
const partsTriesMax = 3

export const optionOf = ({ options }: ParsedPacket, name: string): Buffer | undefined =>
  options.find((one) => one.name === name)?.value

/** 'large': the rest is to be fetched. 'malformed': neither a command nor a part of one. */
export function readNotification(
  lane: Lane,
  packet: ParsedPacket,
): 'whole' | 'large' | 'malformed' {
  const option = optionOf(packet, 'Block2')
  if (option === undefined) return 'whole'
  const block = option.length > 3 ? undefined : uintOf(option)
  if (block === undefined || (block & 7) > szxMax || block >> 4 !== 0) return 'malformed'
  if ((block & 8) === 0) return 'whole'
  const bytes = uintOf(optionOf(packet, 'Size2'))
  const szx = block & 7
  if (bytes === undefined || packet.payload.length !== 2 ** (szx + 4)) return 'malformed'
  const etag = optionOf(packet, 'ETag')?.toString() ?? ''
  if (lane.part?.etag !== etag)
    lane.part = { etag, first: Buffer.from(packet.payload), bytes, szx, tries: 0 }
  return 'large'
}

/**
 * The rest of what was notified in part, by the library's blocks. It joins what comes, so what was repeated
 * on the way is told by its length.
 *
 * @returns 'gone': there is no such command any more. 'lost': it could not be had.
 */
export async function fetchRest(
  lane: Lane,
  path: readonly string[],
  ask: (asking: Asking) => Promise<Answer | undefined>,
): Promise<Buffer | 'gone' | 'lost' | Answer | undefined> {
  const part = lane.part!
  while (part.tries++ < partsTriesMax) {
    const options = { Block2: uintBytes((1 << 4) | part.szx) }
    const answer = await ask({ method: 'GET', path, options })
    if (answer === undefined) return undefined
    if (lane.part !== part) return 'gone'
    if (answer.code === '4.00') return 'gone'
    if (answer.code !== '2.05') return answer
    const etag = answer.option('ETag')?.toString() ?? ''
    const body = Buffer.concat([part.first, answer.payload])
    if (body.length === part.bytes && etag === part.etag) return body
  }
  return 'lost'
}

/** Into its inbox. @returns what the gateway did wrong, if anything. */
export function takeCommand(lane: Lane, device: string, body: Buffer): string | undefined {
  const { channel } = lane
  const { inbox } = channel
  const item = readItem(body)
  if (item === undefined || item.device !== device || item.channel !== channel.name)
    return 'a command that cannot be read'
  const { id, epoch, offset, name, binary, now, replyExpected, repeated } = item
  if (lane.isOpen(id)) return undefined // at the application, or about to be acknowledged
  const frame = {
    ...{ type: 'command' as const, channelNumber: channel.number },
    ...{ offset, name, binary, now, replyExpected, repeated },
    payload: item.payload,
    // By the gateway's clock from the answer on, and by ours from before: never later than it is.
    deadlineMs: Math.max(0, item.expiresAtMs - lane.gatewayMs),
  }
  if (offset <= lane.received) {
    if (!inbox.isRepeat({ epoch, frame, session: 0 })) return 'a command out of order'
    // A refusal of it that is on its way says more.
    if (lane.repeats.includes(id) || channel.outbox.isRefusing(epoch, offset)) return undefined
    if (lane.repeats.length >= inbox.windowMax) return 'repeats without end'
    lane.repeats.push(id)
    return undefined
  }
  if (lane.openCount >= inbox.windowMax) return 'more commands than the window allows'
  lane.received = offset
  lane.came({ id, epoch, offset })
  inbox.renumbered(epoch)
  return inbox.take(frame)
}
