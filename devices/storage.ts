import type { Epoch, Offset, Position, Sequence } from '../src/contract/index.ts'
import { deviceLimits } from './limits.ts'

/** An uplink that must not be lost: numbered, and kept until the server says that it has it. */
export type Uplink =
  | {
      readonly kind: 'event'
      readonly sequence: Sequence
      readonly name: string
      readonly payload: Uint8Array
      /** False: JSON. */
      readonly binary: boolean
    }
  | {
      readonly kind: 'reply'
      readonly sequence: Sequence
      /** Which command it answers. */
      readonly epoch: Epoch
      readonly offset: Offset
      readonly status: 'done' | 'failed' | 'rejected'
      readonly reason: string | undefined
      readonly payload: Uint8Array
      readonly binary: boolean
      /**
       * A refusal that nobody asked to hear: once the server knows by other means that the device
       * has the command, it calls it delivered, so this must reach it first.
       */
      readonly unasked?: true
    }

/** What a device must not forget of one channel. */
export interface StoredChannel {
  /** Random, made with this record: sequences of another record are another numbering. */
  uplinkEpoch: Epoch
  lastSequence: Sequence
  /** The last offset acted on in each epoch met; the newest last, which is where it stands. */
  positions: Position[]
  /** In order of sequence. */
  outbox: Uplink[]
}

export type StoredDevice = Map<string, StoredChannel>

export type StorageChange =
  /** Number uplinks anew, from 1. Empties the outbox; positions stay. */
  | { readonly kind: 'epoch'; readonly channel: string; readonly uplinkEpoch: Epoch }
  | { readonly kind: 'uplink'; readonly channel: string; readonly uplink: Uplink }
  /** The server has everything up to here. */
  | { readonly kind: 'kept'; readonly channel: string; readonly upTo: Sequence }
  /** This one can never be sent. */
  | { readonly kind: 'removed'; readonly channel: string; readonly sequence: Sequence }
  /** Everything up to here has been acted on. */
  | { readonly kind: 'position'; readonly channel: string; readonly position: Position }

/**
 * Where a device keeps what it must not forget. One client uses it at a time.
 *
 * What a settled change survives is the storage's to say: {@link memoryStorage} the end of the
 * client, {@link fileStorage} the loss of power.
 */
export interface DeviceStorage {
  /** What is durable. The answer is the caller's. Rejects or throws when it cannot be read. */
  load(): StoredDevice | Promise<StoredDevice>
  /**
   * Keep all of these or none. `settled` is called in the order of commits, perhaps before this
   * returns; with an error when nothing can be kept any more, until the next `load`.
   * Without `settled` it may be kept later or, in a crash, not at all.
   */
  commit(changes: readonly StorageChange[], settled?: (error?: Error) => void): void
  /** No commit follows soon: give back what is held. Loading and committing open it again. */
  close(): void | Promise<void>
}

export function applyChange(device: StoredDevice, change: StorageChange): void {
  if (change.kind === 'epoch') {
    const positions = device.get(change.channel)?.positions ?? []
    const { uplinkEpoch } = change
    device.set(change.channel, { uplinkEpoch, lastSequence: 0, positions, outbox: [] })
    return
  }
  const channel = device.get(change.channel)
  if (channel === undefined) return
  switch (change.kind) {
    case 'uplink':
      channel.lastSequence = change.uplink.sequence
      channel.outbox.push(change.uplink)
      return
    case 'kept': {
      const first = channel.outbox.findIndex(({ sequence }) => sequence > change.upTo)
      channel.outbox.splice(0, first === -1 ? channel.outbox.length : first)
      return
    }
    case 'removed':
      channel.outbox = channel.outbox.filter(({ sequence }) => sequence !== change.sequence)
      return
    case 'position':
      movePosition(channel.positions, change.position)
  }
}

/**
 * Where a channel stands moves on. Epochs left behind are remembered, so that nothing numbered in
 * them is acted on again when a restored server repeats it.
 */
export function movePosition(positions: Position[], position: Position): void {
  const at = positions.findIndex(({ epoch }) => epoch === position.epoch)
  if (at >= 0) positions.splice(at, 1)
  else if (positions.length === deviceLimits.epochsMax) positions.shift()
  positions.push(position)
}

export const copyDevice = (device: StoredDevice): StoredDevice => {
  const copy: StoredDevice = new Map()
  for (const [name, { uplinkEpoch, lastSequence, positions, outbox }] of device)
    copy.set(name, {
      uplinkEpoch,
      lastSequence,
      positions: [...positions],
      outbox: [...outbox],
    })
  return copy
}

/** Keeps in memory: survives clients, not the process. For tests, and devices without flash. */
export function memoryStorage(): DeviceStorage {
  const device: StoredDevice = new Map()
  return {
    load: () => copyDevice(device),
    commit(changes, settled) {
      for (const change of changes) applyChange(device, change)
      settled?.()
    },
    close() {},
  }
}
