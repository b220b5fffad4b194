import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type {
  Broadcasts,
  Clock,
  Drain,
  Events,
  Gateway,
  Limits,
  Listener,
  Mailbox,
  Names,
  Webhooks,
} from '../contract/index.ts'
import type { Arrivals } from '../listen/arrivals.ts'
import type { Auth } from './auth.ts'
import type { apiBounds } from './bounds.ts'
import type { Feed } from './feed.ts'
import type { Holds } from './holds.ts'
import type { ProblemName } from './problems.ts'

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression<RawServerDefault>,
  RawReplyDefaultExpression<RawServerDefault>,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** As much of a pino logger as is needed here. */
export interface ApiLog {
  error(about: object, text: string): void
  warn(about: object, text: string): void
}

export interface ApiDeps {
  readonly gateway: Gateway
  readonly names: Names
  readonly events: Events
  /** For the history of a device. */
  readonly mailbox: Pick<Mailbox, 'history' | 'counts' | 'find'>
  readonly broadcasts: Pick<Broadcasts, 'find' | 'list' | 'members' | 'purge'>
  readonly webhooks: Webhooks
  /** Where the engine can do it. */
  readonly backup?: (() => AsyncIterable<Uint8Array>) | undefined
  /** Where it runs as a node. */
  readonly drain?: Drain | undefined
  readonly clock: Clock
  readonly limits: Limits
  /** Where there are fewer descriptors than `apiBounds` asks for. */
  readonly connectionsMax?: number
  readonly version: string
  /** Where devices that speak HTTP are answered. */
  readonly deviceDoors?: readonly Pick<Listener, 'name' | 'port'>[]
  metrics(): Promise<{ contentType: string; body: string }>
  readonly log?: ApiLog | undefined
  /** Where a caller is to be given less patience than `apiBounds` has. */
  readonly times?: Partial<ApiTimes>
}

/** How long callers are waited for. */
export type ApiTimes = Pick<
  { readonly [name in keyof typeof apiBounds]: number },
  'headersTimeoutMs' | 'requestTimeoutMs' | 'lineIdleTimeoutMs' | 'timeoutsCheckMs'
>

/** What every resource's routes are given. */
export interface ApiContext extends ApiDeps {
  readonly auth: Auth
  readonly holds: Holds
  readonly feed: Feed
  readonly arrivals: Arrivals
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The problems this call may answer with, for /openapi.json. */
    problems?: readonly ProblemName[]
    /** Bodies that are read as they come, by media type, with what one item of them is; for /openapi.json. */
    takes?: Readonly<Record<string, object>>
    /** Responses that are not serialised by schema, for /openapi.json. */
    responses?: Readonly<Record<number, object>>
  }
}
