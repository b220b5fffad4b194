import {
  coapSession,
  httpSession,
  mqtt5Session,
  mqttSession,
  type PikeClientOptions,
} from '../devices/index.ts'
import type { ProtocolName } from './protocols.ts'

/** What makes a client of ours speak a protocol. It brings every protocol's library with it. */
export const sessions: Readonly<Record<ProtocolName, Pick<PikeClientOptions, 'session'>>> = {
  pike: {},
  mqtt: { session: mqttSession },
  mqtt5: { session: mqtt5Session },
  coap: { session: coapSession },
  http: { session: httpSession },
}
