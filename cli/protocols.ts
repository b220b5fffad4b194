import { httpSession, type PikeClientOptions } from '../devices/index.ts'
import type { Config, Port } from '../src/node/config.ts'

/** What a device of ours can speak, and where a gateway with this configuration listens for it. */
export interface Protocol {
  readonly title: string
  /** Its listener's name in the ready line; over TLS the other. */
  readonly listener: string
  readonly secureListener: string
  readonly session: Pick<PikeClientOptions, 'session'>
  port(config: Config, secure: boolean): Port
}

export const protocols = {
  pike: {
    title: 'Pike',
    listener: 'pike',
    secureListener: 'pike-tls',
    session: {},
    port: ({ tcpPort, tlsPort }, secure) => (secure ? tlsPort : tcpPort),
  },
  http: {
    title: 'HTTP',
    listener: 'http',
    secureListener: 'https',
    session: { session: httpSession },
    port: ({ httpPort, httpsPort }, secure) => (secure ? httpsPort : httpPort),
  },
} as const satisfies Record<string, Protocol>

export type ProtocolName = keyof typeof protocols

export const protocolNames = Object.keys(protocols) as ProtocolName[]

export const isProtocol = (name: string): name is ProtocolName => Object.hasOwn(protocols, name)
