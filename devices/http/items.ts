import type { CommandFrame } from '../../adapters/pike/frames.ts'

/** A command as the gateway says it, checked. */
export interface Item {
  readonly channel: string
  readonly numbering: string
  readonly epoch: number
  readonly frame: Omit<CommandFrame, 'channelNumber' | 'deadlineMs'>
  readonly expiresAtMs: number
}

export interface Start {
  readonly timeMs: number
  readonly keepaliveS: number
  /** Something comes this often; undefined where the gateway tells nothing of that. */
  readonly commentS: number | undefined
  /** Said back in the query of a goodbye; empty where the gateway tells none. */
  readonly receiver: string
  readonly channels: readonly {
    readonly channel: string
    readonly numbering: string
    readonly epoch: number
    readonly after: number
    readonly resumed: 'fresh' | 'resumed' | 'tail-lost'
  }[]
}

/** The number in `711` or `711.urgent`; undefined for what is none. */
const epochOf = (numbering: unknown): number | undefined => {
  const epoch = typeof numbering === 'string' ? Number.parseInt(numbering, 10) : Number.NaN
  return Number.isSafeInteger(epoch) && epoch >= 0 ? epoch : undefined
}

const parse = (data: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(data)
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

export function readStart(data: string): Start | undefined {
  const read = parse(data)
  const timeMs = Date.parse(String(read?.time))
  const keepaliveS = read?.keepaliveS
  if (Number.isNaN(timeMs) || typeof keepaliveS !== 'number' || !Array.isArray(read?.channels))
    return undefined
  const channels: Start['channels'][number][] = []
  for (const one of read.channels as Record<string, unknown>[]) {
    const { channel, resumed } = one
    const epoch = epochOf(one.epoch)
    const after = Number(one.after)
    if (typeof channel !== 'string' || epoch === undefined || !Number.isSafeInteger(after))
      return undefined
    const how = resumed === 'resumed' || resumed === 'tail-lost' ? resumed : 'fresh'
    channels.push({ channel, numbering: String(one.epoch), epoch, after, resumed: how })
  }
  const receiver = typeof read.receiver === 'string' ? encodeURIComponent(read.receiver) : ''
  const commentS = typeof read.commentS === 'number' ? read.commentS : undefined
  return { timeMs, keepaliveS, commentS, receiver, channels }
}

/** What a probe wants to be named by; empty where the gateway names none. */
export function readProbe(data: string): string {
  const { probe } = parse(data) ?? {}
  return typeof probe === 'string' ? encodeURIComponent(probe) : ''
}

export function readItem(data: string): Item | undefined {
  const read = parse(data)
  const epoch = epochOf(read?.epoch)
  const expiresAtMs = Date.parse(String(read?.expiresAt))
  if (read === undefined || epoch === undefined || Number.isNaN(expiresAtMs)) return undefined
  const { channel, offset, name, payload, payloadBase64 } = read
  if (typeof channel !== 'string' || typeof name !== 'string' || !Number.isSafeInteger(offset))
    return undefined
  const binary = typeof payloadBase64 === 'string'
  const text = payload === undefined ? '' : JSON.stringify(payload)
  return {
    channel,
    numbering: String(read.epoch),
    epoch,
    expiresAtMs,
    frame: {
      type: 'command',
      offset: offset as number,
      name,
      payload: binary ? Buffer.from(payloadBase64, 'base64') : Buffer.from(text),
      binary,
      replyExpected: read.expect === 'reply',
      now: read.delivery === 'now',
      repeated: read.repeated === true,
    },
  }
}
