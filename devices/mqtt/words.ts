import type { IClientPublishOptions } from 'mqtt'
import type { IPublishPacket } from 'mqtt-packet'
import type { CommandFrame } from '../../adapters/pike/frames.ts'
import type { Uplink } from '../storage.ts'

/** A command as the gateway says it, checked. */
export interface Item {
  readonly channel: string
  readonly epoch: number
  readonly frame: Omit<CommandFrame, 'channelNumber' | 'deadlineMs'>
  /** By the gateway's clock, or by whatever clock it takes for right. */
  readonly expiresAtMs: number
  /** As it said when it wrote the command. */
  readonly leftMs: number
}

export interface Saying {
  readonly topic: string
  readonly properties?: IClientPublishOptions['properties']
}

/** Whose uplink it is and how it is numbered. */
export interface Speaker {
  readonly device: string
  readonly channel: string
  /** undefined: it is not worth keeping. */
  readonly uplinkEpoch: number | undefined
}

/** What one version says by topics, the other by properties; the pages are in `docs/mqtt.md`. */
export interface Words {
  readonly version: 4 | 5
  /** Of all commands of a channel. */
  filter(channel: string): string
  /** undefined: no command that could be read. */
  command(packet: IPublishPacket): Item | undefined
  say(uplink: Uplink, speaker: Speaker): Saying
}

const positionForm = /^(\d{1,10})\.(\d{1,16})$/

/** `epoch.offset` */
export function readPosition(
  text: string | undefined,
): { epoch: number; offset: number } | undefined {
  const match = positionForm.exec(text ?? '')
  const epoch = Number(match?.[1])
  const offset = Number(match?.[2])
  return epoch > 0 && Number.isSafeInteger(offset) && offset > 0 ? { epoch, offset } : undefined
}

/** The id of a command by its place: the gateway knows every command by it. */
export const idOf = ({ device, channel }: Speaker, epoch: number, offset: number): string =>
  `${device}:${channel}:${epoch.toString(36)}:${offset}`

export const asBuffer = (bytes: string | Uint8Array): Buffer =>
  typeof bytes === 'string'
    ? Buffer.from(bytes)
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
