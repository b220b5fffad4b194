import type { Config, Port } from '../src/node/config.ts'

/** What a device of ours can speak, and where a gateway with this configuration listens for it. */
export interface Protocol {
  readonly title: string
  /** Its listener's name in the ready line; over TLS the other, if there is one. */
  readonly listener: string
  readonly secureListener?: string
  /** It goes by UDP. */
  readonly datagrams?: true
  port(config: Config, secure: boolean): Port
}

export const protocols = {
  pike: {
    title: 'Pike',
    listener: 'pike',
    secureListener: 'pike-tls',
    port: ({ tcpPort, tlsPort }, secure) => (secure ? tlsPort : tcpPort),
  },
  mqtt: {
    title: 'MQTT',
    listener: 'mqtt',
    secureListener: 'mqtts',
    port: ({ mqttPort, mqttsPort }, secure) => (secure ? mqttsPort : mqttPort),
  },
  mqtt5: {
    title: 'MQTT 5',
    listener: 'mqtt',
    secureListener: 'mqtts',
    port: ({ mqttPort, mqttsPort }, secure) => (secure ? mqttsPort : mqttPort),
  },
  coap: {
    title: 'CoAP',
    listener: 'coap',
    datagrams: true,
    port: ({ coapPort }) => coapPort,
  },
  http: {
    title: 'HTTP',
    listener: 'http',
    secureListener: 'https',
    port: ({ httpPort, httpsPort }, secure) => (secure ? httpsPort : httpPort),
  },
} as const satisfies Record<string, Protocol>

export type ProtocolName = keyof typeof protocols

export const protocolNames = Object.keys(protocols) as ProtocolName[]

export const isProtocol = (name: string): name is ProtocolName => Object.hasOwn(protocols, name)
