import type { DeviceId, DeviceRecord } from '../contract/index.ts'

/** May this one speak for that device? Without `via` it speaks for itself. */
export const isGranted = (
  device: Pick<DeviceRecord, 'gateways'>,
  via: DeviceId | undefined,
): boolean => via === undefined || device.gateways?.includes(via) === true
