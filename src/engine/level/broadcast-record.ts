import type { DeviceId, EndStatus, NewBroadcast } from '../../contract/index.ts'
import { Reader, writer } from './bytes.ts'

type Bare = Omit<NewBroadcast, 'command'> & {
  readonly command: Omit<NewBroadcast['command'], 'payload'>
}

/** A broadcast as it was made: text, and behind it the payload. */
export function encodeBroadcast(made: NewBroadcast): Buffer {
  const { payload, ...command } = made.command
  const bare: Bare = { ...made, command }
  const out = writer.reset()
  out.text(JSON.stringify(bare))
  out.raw(payload)
  return out.view()
}

/** @throws for bytes that are no such record. */
export function decodeBroadcast(value: Buffer): NewBroadcast {
  const from = new Reader(value)
  const bare = JSON.parse(from.text()) as Bare
  // Held for long: not a view of more than it is.
  const payload = Uint8Array.from(from.rest())
  return { ...bare, command: { ...bare.command, payload } }
}

/** How far a broadcast is. */
export interface Standing {
  readonly state: 'running' | 'placed' | 'stopped'
  readonly why?: string | undefined
  readonly devices: number
  readonly waiting: number
  readonly open: number
  readonly ended: Readonly<Partial<Record<EndStatus, number>>>
  /** All members up to it are placed. */
  readonly cursor: DeviceId
}

export const encodeStanding = (standing: Standing): string => JSON.stringify(standing)
/** @throws for bytes that are no such record. */
export const decodeStanding = (value: Buffer): Standing => JSON.parse(value.toString()) as Standing
