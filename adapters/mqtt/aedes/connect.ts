import type { AppId, DeviceId, Reason } from '../../../src/contract/index.ts'
import type { Incoming, Published, Who } from '../said.ts'

/** What aedes says of a CONNECT. */
export interface Connect {
  readonly clientId: string
  readonly clean: boolean
  readonly keepalive: number
  readonly will:
    | { readonly topic: string; readonly payload: Uint8Array; readonly qos: 0 | 1 | 2 }
    | undefined
  /** Called once the password has been looked at. */
  forget(): void
}

/** @param token names a client that has no name: each is one of its own [MQTT-3.1.3-6]. */
export const whoOf = (
  { clientId, clean, keepalive, will }: Connect,
  { app, device }: { readonly app: AppId; readonly device: DeviceId },
  token: string,
): Who => ({
  app,
  device,
  clientId: clientId === '' ? `auto-${token}` : clientId,
  isClean: clean,
  keepaliveMs: keepalive * 1000,
  will: will === undefined ? undefined : incomingWill(will),
})

const incomingWill = (will: NonNullable<Connect['will']>): Incoming => ({
  topic: will.topic,
  payload: will.payload,
  qos: will.qos,
  messageId: 0,
  dup: false,
})

/** What a publish that is not kept does to its connection: 3.x can say nothing else (§3.3.5). */
export const endOf: Readonly<Record<Published, Reason | undefined>> = {
  kept: undefined,
  stale: undefined,
  // It would not become known by being sent again.
  unknown: undefined,
  // Its secret is right; its trace names the topic.
  'foreign-topic': 'protocol-error',
  'bad-name': 'protocol-error',
  'too-large': 'too-large',
  'unknown-channel': 'unknown-channel',
  unavailable: 'unavailable',
}
