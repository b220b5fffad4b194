import { generate, type Packet } from 'mqtt-packet'
import { commandIds, type Grammar, nameOf, oddNames, payloadOf, type Who } from '../grammar.ts'
import { endsWhole, reframeBySevens } from '../mutate.ts'
import type { Random } from '../random.ts'

const topicsOf = (who: Who, random: Random): string => {
  const id = random.pick(commandIds(who.device))
  if (random.chance(0.6)) return random.pick(['events/door-opened', 'channels/urgent/events/a'])
  return random.pick([
    `events/${nameOf(random)}`,
    `events/${nameOf(random)}`,
    `channels/urgent/events/${nameOf(random)}`,
    `channels/media/events/a`,
    `replies/${id}`,
    `replies/${id}/failed/jammed`,
    `replies/${id}/${nameOf(random)}`,
    'commands/x',
    'a/'.repeat(40),
    'x'.repeat(600),
  ])
}
const filters = [
  'commands/#',
  'commands/#',
  '#',
  '+/+/+',
  'commands/+',
  'commands/+/open',
  'detailed/commands/#',
  'channels/urgent/commands/#',
  'channels/media/commands/#',
  '$share/a/commands/#',
  '$SYS/#',
]

/** What mqtt-packet would not write is left out: the bytes are made wrong afterwards. */
function written(packet: object, protocolVersion: 4 | 5): Buffer {
  try {
    return generate(packet as Packet, { protocolVersion })
  } catch {
    return Buffer.from([0xc0, 0])
  }
}

/** Of MQTT 3.1, 3.1.1, or 5. */
export function mqttGrammar(version: 4 | 5): Grammar {
  const five = version === 5
  const made = (packet: object): Buffer => written(packet, version)
  const properties = (random: Random, some: Record<string, unknown>): object => {
    if (!five || random.chance(0.3)) return {}
    const chosen = Object.entries(some).filter(() => random.chance(0.4))
    return { properties: Object.fromEntries(chosen) }
  }
  return {
    words: [
      'MQTT',
      'MQIsdp',
      'commands/#',
      'events/',
      'replies/',
      'channels/urgent/',
      'pike-stamp',
      '/',
      ...oddNames,
    ]
      .map((word) => Buffer.from(word))
      .concat([
        Buffer.from('c000', 'hex'),
        Buffer.from('e000', 'hex'),
        Buffer.from('000444', 'hex'),
      ]),
    reframe: reframeBySevens,
    endsWhole,
    opening: (who, random) => [
      made({
        cmd: 'connect',
        protocolId: !five && random.chance(0.2) ? 'MQIsdp' : 'MQTT',
        protocolVersion: five ? 5 : 4,
        clientId: random.chance(0.8) ? `c-${who.device}` : random.pick(oddNames),
        clean: random.chance(0.5),
        keepalive: random.pick([0, 1, 60, 65_535]),
        username: random.chance(0.9) ? `${who.app}/${who.device}` : random.pick(oddNames),
        password: Buffer.from(who.secret),
        ...(random.chance(0.5) && {
          will: {
            topic: topicsOf(who, random),
            payload: payloadOf(random),
            qos: random.int(0, 2),
            retain: random.chance(0.2),
            ...properties(random, { willDelayInterval: 1, contentType: 'a/b' }),
          },
        }),
        ...properties(random, {
          sessionExpiryInterval: random.pick([0, 30, 2 ** 32 - 1]),
          receiveMaximum: random.pick([1, 3, 65_535]),
          maximumPacketSize: random.pick([1, 400, 2 ** 32 - 1]),
          topicAliasMaximum: 10,
          requestProblemInformation: true,
          userProperties: { a: 'b' },
        }),
      }),
    ],
    session: (who, random) =>
      Array.from({ length: random.int(1, 5) }, () => {
        const messageId = random.chance(0.8) ? random.int(1, 9) : random.pick([65_535, 256])
        switch (random.int(0, 9)) {
          case 0:
          case 1:
          case 2:
          case 3: {
            const qos = random.int(0, 2)
            return made({
              cmd: 'publish',
              topic: topicsOf(who, random),
              payload: payloadOf(random),
              qos,
              messageId,
              dup: qos > 0 && random.chance(0.3),
              retain: random.chance(0.2),
              ...properties(random, {
                topicAlias: random.pick([1, 2, 16, 17]),
                contentType: random.pick(['text/plain', '']),
                correlationData: Buffer.from(random.pick(commandIds(who.device))),
                messageExpiryInterval: 9,
                payloadFormatIndicator: random.chance(0.5),
                responseTopic: 'a/b',
                userProperties: {
                  'pike-stamp': random.pick(['7.1', '7.2', '0.0', '9.99999999999', 'x']),
                  'pike-status': random.pick(['done', 'failed', 'x']),
                  'pike-reason': 'jammed',
                },
              }),
            })
          }
          case 4:
            return made({ cmd: 'pubrel', messageId, ...(five && { reasonCode: 0 }) })
          case 5:
            return made({
              cmd: 'puback',
              messageId,
              ...(five && { reasonCode: random.pick([0, 0x10, 0x80, 0x97]) }),
            })
          case 6:
            return made({ cmd: random.pick(['pubrec', 'pubcomp']), messageId })
          case 7:
            return made({
              cmd: 'subscribe',
              messageId,
              subscriptions: Array.from({ length: random.pick([1, 2, 17]) }, () => ({
                topic: random.pick(filters),
                qos: random.int(0, 2),
                ...(five && { nl: random.chance(0.2), rap: false, rh: random.int(0, 2) }),
              })),
              ...properties(random, { subscriptionIdentifier: random.pick([1, 268_435_455]) }),
            })
          case 8:
            return made({ cmd: 'unsubscribe', messageId, unsubscriptions: [random.pick(filters)] })
          default:
            return random.chance(0.5)
              ? made({ cmd: 'pingreq' })
              : made({
                  cmd: 'disconnect',
                  ...(five && { reasonCode: random.pick([0, 4, 0x81]) }),
                  ...properties(random, { sessionExpiryInterval: random.pick([0, 9]) }),
                })
        }
      }),
  }
}
