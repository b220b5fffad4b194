/**
 * The device side of Pike IoT, published as `pike-iot/device`: what a device's program needs to
 * connect, receive commands, answer them and report, and a parcel locker built on it.
 */
export { PikeClient } from './client.ts'
export { coapSession } from './coap/session.ts'
export type { Command, CommandReply, Respond } from './command.ts'
export { fileStorage, StorageDamaged } from './file-storage.ts'
export { httpSession } from './http/session.ts'
export type { State, StopReason } from './lifecycle.ts'
export { type DeviceLimits, deviceLimits } from './limits.ts'
export {
  type DoorSettings,
  type DoorState,
  Locker,
  type LockerCommand,
  type LockerEffect,
  type LockerOptions,
  type LockerReply,
} from './locker/locker.ts'
export {
  type LockerLog,
  type OpenedDoor,
  type RunLockerOptions,
  type RunningLocker,
  runLocker,
} from './locker/run.ts'
export { mqtt5Session, mqttSession } from './mqtt/session.ts'
export type { PikeClientEvents, PikeClientOptions, RunningReport, SendReport } from './options.ts'
export type { SendFailure, Sent } from './outbox.ts'
export { type BehindOptions, PikeGateway } from './pike/gateway.ts'
export type { ReconnectPolicy } from './reconnect.ts'
export {
  type DeviceStorage,
  memoryStorage,
  type StorageChange,
  type StoredChannel,
  type StoredDevice,
  type Uplink,
} from './storage.ts'
