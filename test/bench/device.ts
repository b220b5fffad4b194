import { defaultApp } from '../../src/contract/index.ts'

export const deviceName = (index: number): string => `L${String(index).padStart(6, '0')}`
/** 160 bits as hex would be random; for a bench it need only look like it. */
export const deviceSecret = (index: number): string => `bench${'0'.repeat(27)}${index}`

/**
 * The least a device can be, whatever it speaks: it proves itself, takes commands and acknowledges
 * them, and sends events. Measured servers must be the limit, so it has no queue, no timer of its own
 * and no promise a message.
 */
export interface BenchDevice {
  readonly index: number
  /** Called with the payload of each command; the bytes are gone afterwards. */
  onCommand: ((device: BenchDevice, payload: Uint8Array) => void) | undefined
  /** Called with how many of its events are acknowledged, the first ones. */
  onAck: ((device: BenchDevice, upTo: number) => void) | undefined
  onLost: ((device: BenchDevice, why: string) => void) | undefined
  /** Events sent, and of those acknowledged. */
  readonly sequence: number
  readonly acknowledged: number
  /** Resolves when the server has taken it in. */
  connect(port: number): Promise<void>
  close(): void
  /** Writes of one turn go out together. */
  sendEvents(count: number): void
}

export interface DeviceSettings {
  readonly index: number
  readonly app: string
  /** It receives commands too; else it only reports. */
  readonly receives: boolean
  /** Of MQTT: events go by this QoS. */
  readonly qos: 0 | 1
  /** The server is a bare peer of ours: it knows no devices, secrets and sessions. */
  readonly bare: boolean
  /** It receives on this channel alone, where its protocol gives it more by itself. */
  readonly channel?: string
}

export type MakeDevice = (settings: DeviceSettings) => BenchDevice

/** 54 bytes, as a locker would report an opened door. */
export const eventPayloadBytes = 54
export const eventName = 'door-opened'
const numberDigits = 8
const payloadHead = `{"n":"${'0'.repeat(numberDigits)}","order":"`
/** Where an event's number stands in its payload. */
export const eventNumberAt = payloadHead.indexOf('0')

/** An event's payload; its number is 0 until {@link setNumber}. */
export const eventPayload = (): Buffer =>
  Buffer.from(`${payloadHead}${'4'.repeat(eventPayloadBytes - payloadHead.length - 2)}"}`)

/** @param at where the payload begins. */
export function setNumber(bytes: Buffer, at: number, value: number): void {
  let rest = value
  for (let i = at + eventNumberAt + numberDigits - 1; i >= at + eventNumberAt; i--) {
    bytes[i] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}

/** Connects so many devices, from this one on, some at a time. */
export async function connectDevices(
  make: MakeDevice,
  port: number,
  from: number,
  count: number,
  prepare: (device: BenchDevice) => void,
  settings: Partial<DeviceSettings> = {},
): Promise<BenchDevice[]> {
  const usual = { app: defaultApp, receives: true, qos: 1, bare: false, ...settings } as const
  const devices = Array.from({ length: count }, (_, i) => make({ ...usual, index: from + i }))
  for (const device of devices) prepare(device)
  let next = 0
  const lane = async (): Promise<void> => {
    for (let device = devices[next++]; device !== undefined; device = devices[next++]) {
      await device.connect(port)
    }
  }
  await Promise.all(Array.from({ length: 32 }, lane))
  return devices
}
