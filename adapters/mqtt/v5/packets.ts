/**
 * MQTT 5 as we speak it: what a client may send, read; what we send, to be written. OASIS MQTT 5.0.
 */

/** Reason codes that occur here (§2.4), under the names of the specification. */
export const code = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noSubscriptionExisted: 0x11,
  unspecified: 0x80,
  malformed: 0x81,
  protocolError: 0x82,
  implementationSpecific: 0x83,
  unsupportedVersion: 0x84,
  clientIdNotValid: 0x85,
  badUserOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  sharedNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
} as const

export type Code = (typeof code)[keyof typeof code]

export type Qos = 0 | 1 | 2

/** Properties a client's packets may carry, as far as they mean something here. */
export interface Properties {
  readonly payloadIsText?: boolean
  readonly messageExpiryS?: number
  readonly contentType?: string
  /** A view of what was read. */
  readonly correlation?: Uint8Array
  readonly subscriptionId?: number
  readonly sessionExpiryS?: number
  readonly authMethod?: string
  readonly wantsProblems?: boolean
  readonly wantsResponseInfo?: boolean
  readonly willDelayS?: number
  readonly receiveMaximum?: number
  readonly topicAliasMaximum?: number
  readonly topicAlias?: number
  readonly packetMaxBytes?: number
  /** User property `pike-stamp`: `epoch.sequence`. */
  readonly stamp?: string
  /** User properties `pike-status` and `pike-reason` of a reply. */
  readonly status?: string
  readonly reason?: string
  /** `pike-name` of an event, where its topic cannot say it. */
  readonly name?: string
}

export interface Will {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  readonly properties: Properties
}

export interface ConnectPacket {
  readonly type: 'connect'
  readonly cleanStart: boolean
  readonly keepaliveS: number
  readonly properties: Properties
  readonly clientId: string
  readonly will: Will | undefined
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
}

export interface PublishPacket {
  readonly type: 'publish'
  readonly dup: boolean
  readonly qos: Qos
  readonly retain: boolean
  /** Empty where a topic alias stands for it. */
  readonly topic: string
  /** 0 with QoS 0. */
  readonly id: number
  readonly properties: Properties
  /** A view of what was read. */
  readonly payload: Uint8Array
}

export interface AckPacket {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
  readonly id: number
  readonly code: number
}

export interface Subscription {
  readonly filter: string
  readonly qos: Qos
}

export interface SubscribePacket {
  readonly type: 'subscribe'
  readonly id: number
  readonly properties: Properties
  readonly subscriptions: readonly Subscription[]
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe'
  readonly id: number
  readonly filters: readonly string[]
}

export interface DisconnectPacket {
  readonly type: 'disconnect'
  readonly code: number
  readonly properties: Properties
}

export type Packet =
  | ConnectPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | UnsubscribePacket
  | { readonly type: 'pingreq' }
  | DisconnectPacket
  | { readonly type: 'auth' }

/** Why a packet cannot be taken, in the words of the protocol. */
export interface Fault {
  readonly type: 'fault'
  readonly code: Code
  readonly text: string
}
