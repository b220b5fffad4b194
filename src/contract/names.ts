import type { AppId, ChannelName, DeviceId, KeyName } from './ids.ts'

/**
 * Who exists: apps, their keys, their devices. A change resolves once it is durable and rejects
 * with {@link StoreUnavailable} when it cannot be.
 *
 * Exam: test/exams/names.exam.ts.
 */
export interface Names {
  /** May answer at once. A disabled device is answered like any other. */
  device(app: AppId, device: DeviceId): DeviceRecord | undefined | Promise<DeviceRecord | undefined>
  putDevice(record: DeviceRecord): Promise<void>
  /** @returns false when there was none. */
  removeDevice(app: AppId, device: DeviceId): Promise<boolean>
  /** In order of id. `after` is the last id of the page before. */
  devices(
    app: AppId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceRecord[]; readonly next: DeviceId | undefined }>
  deviceCount(app: AppId): Promise<number>

  app(app: AppId): Promise<AppRecord | undefined>
  apps(): Promise<readonly AppRecord[]>
  putApp(record: AppRecord): Promise<void>

  /** By the hash of the secret part; answers at once, from memory: every northbound call asks. */
  keyByHash(hash: string): KeyRecord | undefined
  keys(app: AppId): Promise<readonly KeyRecord[]>
  putKey(record: KeyRecord): Promise<void>
  removeKey(app: AppId, name: KeyName): Promise<boolean>
}

/** What a device proves itself against; the secret itself is kept nowhere. `rules.md` 31. */
export interface Credential {
  /** `hkdf` for secrets of at least 128 bits, `scrypt` for weaker ones. */
  readonly kdf: 'hkdf' | 'scrypt'
  /** base64 of 32 bytes each. */
  readonly storedKey: string
  readonly serverKey: string
}

export interface ChannelSettings {
  readonly maxCommands?: number
  readonly overflow?: 'reject' | 'drop-oldest'
}

export interface DeviceRecord {
  readonly app: AppId
  readonly device: DeviceId
  readonly disabled: boolean
  readonly tags: readonly string[]
  readonly attributes: Readonly<Record<string, unknown>>
  /** Beside `main` and `urgent`, which every device has. */
  readonly channels: Readonly<Record<ChannelName, ChannelSettings>>
  /** One or, during a rotation, two; the newest first. */
  readonly credentials: readonly Credential[]
  readonly createdAtMs: number
  readonly changedAtMs: number
}

export interface AppRecord {
  readonly app: AppId
  readonly createdAtMs: number
}

export const scopes = ['devices', 'commands', 'events', 'admin'] as const
/** `admin` may do everything, in every app. */
export type Scope = (typeof scopes)[number]

export interface KeyRecord {
  readonly app: AppId
  readonly name: KeyName
  /** SHA-256 of the key, hex. */
  readonly hash: string
  readonly scopes: readonly Scope[]
  readonly createdAtMs: number
}
