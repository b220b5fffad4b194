import type {
  AliasName,
  AppId,
  ChannelName,
  DeviceId,
  KeyName,
  TagName,
  WebhookName,
} from './ids.ts'
import type { WebhookRecord } from './webhook.ts'

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
  /**
   * Many at once, in one batch: registering thousands is not thousands of syncs. One record a
   * device; where two are of the same device the later stands.
   */
  putDevices(records: readonly DeviceRecord[]): Promise<void>
  /** Devices that have a tag, in order of id. What changes while pages are read may or may not be in them. */
  tagged(
    app: AppId,
    tag: TagName,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceId[]; readonly next: DeviceId | undefined }>
  /** As of one moment, in order, in chunks: the members of a broadcast (rule 27). */
  snapshot(app: AppId, tag: TagName): AsyncIterable<readonly DeviceId[]>

  /** As it is kept, expired or not: whoever asks looks at `expiresAtMs`. May answer at once. */
  alias(app: AppId, alias: AliasName): AliasRecord | undefined | Promise<AliasRecord | undefined>
  /** One record, so rebinding is atomic (rule 27). */
  putAlias(record: AliasRecord): Promise<void>
  /** @returns false when there was none. */
  removeAlias(app: AppId, alias: AliasName): Promise<boolean>
  /** In order of name. `after` is the last name of the page before. */
  aliases(
    app: AppId,
    query: { readonly after?: AliasName; readonly limit: number },
  ): Promise<{ readonly items: readonly AliasRecord[]; readonly next: AliasName | undefined }>
  aliasCount(app: AppId): Promise<number>
  /** Forget aliases that expired before. Resolves with how many went. */
  purgeAliases(expiredBeforeMs: number): Promise<number>

  app(app: AppId): Promise<AppRecord | undefined>
  apps(): Promise<readonly AppRecord[]>
  putApp(record: AppRecord): Promise<void>
  /**
   * With its keys, aliases and webhooks; the answers to its idempotency keys are not found any more,
   * and its counters begin anew. What lies in its logs is for the caller to purge.
   * @returns false, and changes nothing, when there was none or it still has devices.
   */
  removeApp(app: AppId): Promise<boolean>

  /** By the hash of the secret part; answers at once, from memory: every northbound call asks. */
  keyByHash(hash: string): KeyRecord | undefined
  keys(app: AppId): Promise<readonly KeyRecord[]>
  putKey(record: KeyRecord): Promise<void>
  removeKey(app: AppId, name: KeyName): Promise<boolean>

  /** All of one app, or of all; answers at once, from memory. */
  webhooks(app?: AppId): readonly WebhookRecord[]
  putWebhook(record: WebhookRecord): Promise<void>
  removeWebhook(app: AppId, name: WebhookName): Promise<boolean>
}

/** Which device an alias stands for, and stood for before. */
export interface AliasRecord {
  readonly app: AppId
  readonly alias: AliasName
  readonly device: DeviceId
  /** From then on nobody has it. */
  readonly expiresAtMs?: number
  readonly createdAtMs: number
  readonly changedAtMs: number
  /** Bindings before, newest first, at most `aliasHistoryMax`. */
  readonly history: readonly AliasBinding[]
}

export interface AliasBinding {
  readonly device: DeviceId
  readonly fromMs: number
  readonly untilMs: number
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
  /** 'independent': it has a connection to itself, where its device's protocol has such a thing. Left out: as for all channels of that name. */
  readonly connection?: 'shared' | 'independent'
}

export interface DeviceRecord {
  readonly app: AppId
  readonly device: DeviceId
  readonly disabled: boolean
  readonly tags: readonly string[]
  readonly attributes: Readonly<Record<string, unknown>>
  /** Beside `main` and `urgent`, which every device has; of these two, what is not as usual. */
  readonly channels: Readonly<Record<ChannelName, ChannelSettings>>
  /** Devices of its app that may speak for it, by name: they need not be there yet. Absent: none. */
  readonly gateways?: readonly DeviceId[]
  /** One or, during a rotation, two; the newest first. */
  readonly credentials: readonly Credential[]
  readonly createdAtMs: number
  readonly changedAtMs: number
}

export interface AppRecord {
  readonly app: AppId
  readonly createdAtMs: number
  readonly quota?: AppQuota
}

/** How much of this gateway one app may use, so that it cannot crowd out the others. Absent: no bound of its own. */
export interface AppQuota {
  /** Commands accepted. Above: `429`, and NDJSON is read more slowly. */
  readonly commandsPerSecond?: number
  /** Events kept. Above: its links are read more slowly. */
  readonly eventsPerSecond?: number
  /** Links attached, and sources that stay. Above: `overloaded` for the further one. */
  readonly sessions?: number
}

export const scopes = ['devices', 'commands', 'events', 'payloads', 'admin'] as const
/** `payloads`: see them in traces. `admin` may do everything in its own app, and manage apps, their keys and backups of all. */
export type Scope = (typeof scopes)[number]

export interface KeyRecord {
  readonly app: AppId
  readonly name: KeyName
  /** SHA-256 of the key, hex. */
  readonly hash: string
  readonly scopes: readonly Scope[]
  readonly createdAtMs: number
}
