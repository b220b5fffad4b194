import { deriveKeys } from '../../src/secrets/secrets.ts'
import { DatagramFuzzer } from './datagrams.ts'
import { type Gateway, secretOf } from './gateway.ts'
import type { Grammar, Who } from './grammar.ts'
import { apiGrammar } from './grammars/api.ts'
import { coapGrammar } from './grammars/coap.ts'
import { deviceHttpGrammar } from './grammars/device-http.ts'
import { mqttGrammar } from './grammars/mqtt.ts'
import { pikeGrammar } from './grammars/pike.ts'
import { type Found, StreamFuzzer, type StreamTarget } from './streams.ts'
import { HttpTalk } from './talks/http.ts'
import { MqttTalk } from './talks/mqtt.ts'
import { PikeTalk } from './talks/pike.ts'

export const protocols = ['pike', 'mqtt', 'mqtt5', 'coap', 'http', 'api'] as const
export type Protocol = (typeof protocols)[number]

export const grammars: Readonly<Record<Protocol, Grammar>> = {
  pike: pikeGrammar,
  mqtt: mqttGrammar(4),
  mqtt5: mqttGrammar(5),
  coap: coapGrammar,
  http: deviceHttpGrammar,
  api: apiGrammar,
}

/** The app of those who do what they should not. */
export const madApp = 'mad'
const devicesCount = 256

export const whosOf = (protocol: Protocol, key: string): readonly Who[] =>
  protocol === 'api'
    ? [{ app: madApp, device: 'api', secret: key, session: '' }]
    : Array.from({ length: devicesCount }, (_, i) => {
        const device = `${protocol}${i}`
        return { app: madApp, device, secret: secretOf(device), session: '' }
      })

/** @param key of the mad app. */
export async function fuzzerOf(
  protocol: Protocol,
  gateway: Gateway,
  key: string,
  seed: number,
  found: Found,
): Promise<StreamFuzzer | DatagramFuzzer> {
  await gateway.register(protocol, devicesCount, key)
  const whos = whosOf(protocol, key)
  if (protocol === 'coap') return new DatagramFuzzer(gateway.port('coap'), whos, seed, found)
  return new StreamFuzzer(await targetOf(protocol, gateway, whos), seed, found)
}

async function targetOf(
  protocol: Exclude<Protocol, 'coap'>,
  gateway: Gateway,
  whos: readonly Who[],
): Promise<StreamTarget> {
  const grammar = grammars[protocol]
  switch (protocol) {
    case 'pike': {
      const keys = new Map(
        await Promise.all(
          whos.map(
            async (who) =>
              [who, await deriveKeys(who.secret, who.app, who.device, 'hkdf')] as const,
          ),
        ),
      )
      return {
        grammar,
        whos,
        port: gateway.port('pike'),
        talk: (who, write, hello) => new PikeTalk(who, keys.get(who)!, write, hello),
      }
    }
    case 'mqtt':
    case 'mqtt5': {
      const version = protocol === 'mqtt' ? 4 : 5
      return {
        grammar,
        whos,
        port: gateway.port('mqtt'),
        talk: (who, _write, hello) => new MqttTalk(who, version, hello === undefined),
      }
    }
    case 'http': {
      const talk = ({ app, device, secret }: Who): HttpTalk =>
        new HttpTalk('/device/v1/nothing', `Authorization: Bearer ${app}/${device}:${secret}`)
      return { grammar, whos, port: gateway.port('http'), talk }
    }
    case 'api': {
      const talk = ({ secret }: Who): HttpTalk =>
        new HttpTalk('/v1/nothing', `Authorization: Bearer ${secret}`)
      return { grammar, whos, port: gateway.port('api'), talk }
    }
  }
}
