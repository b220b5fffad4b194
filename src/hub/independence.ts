import type { ChannelName, DeviceRecord, Link, Reason } from '../contract/index.ts'

/** Is it to have a connection to itself? */
export const isIndependent = (
  device: Pick<DeviceRecord, 'channels'>,
  channel: ChannelName,
): boolean =>
  Object.hasOwn(device.channels, channel) && device.channels[channel]!.connection === 'independent'

/** An independent channel beside others. */
export const misplaced = (link: Link, device: DeviceRecord, channel: string): Reason | undefined =>
  isIndependent(device, channel) && link.connection?.() === 'shared' ? 'independent' : undefined

/**
 * One that was not independent and is now: also where it is alone at present, lest others join it
 * there. It comes back knowing.
 */
export const isolated = (link: Link, device: DeviceRecord, channel: string): Reason | undefined =>
  isIndependent(device, channel) && link.connection?.() !== undefined ? 'independent' : undefined

/** One on a connection of its own that was independent and is not any more: it may join the others. */
export const freed = (link: Link, device: DeviceRecord, channel: string): Reason | undefined =>
  !isIndependent(device, channel) && link.connection?.() === 'own' ? 'shared' : undefined
