import type { Reason } from '../../../src/contract/index.ts'
import { reasons } from '../../../src/contract/index.ts'
import { networkOf } from '../../../src/listen/network.ts'
import { logIn } from '../auth.ts'
import { MqttClient } from '../client.ts'
import type { House } from '../house.ts'
import { wordsFor } from '../reasons.ts'
import type { Incoming } from '../said.ts'
import type { Wire } from '../wire.ts'
import type { Connack } from './encode.ts'
import { type Code, type ConnectPacket, code, type Will } from './packets.ts'

export type Opened =
  | {
      readonly kind: 'client'
      readonly client: MqttClient
      readonly connack: Connack
      /** Said for it, so long after it went, unless it is back by then. */
      readonly lateWill: { readonly message: Incoming; readonly delayMs: number } | undefined
    }
  | { readonly kind: 'refused'; readonly code: Code; readonly text: string }

const refused = (why: Code, text: string): Opened => ({ kind: 'refused', code: why, text })
const refusedFor = (reason: Reason, retryAfterMs?: number): Opened => {
  // CONNACK has no field for it (§3.2.2.3): words for people, and for whoever reads them.
  const after =
    retryAfterMs === undefined ? '' : `; come back in ${Math.ceil(retryAfterMs / 1000)} s`
  return refused(wordsFor[reason].connack5 as Code, reasons[reason].text + after)
}

/**
 * From CONNECT to a client, or to what CONNACK says instead.
 *
 *     CONNECT ─▶ what it asks for ─▶ who it is ─▶ enter ─▶ CONNACK: what it was granted
 */
export async function openClient(
  house: House,
  wire: Wire,
  packet: ConnectPacket,
  sessionS: number,
  token: string,
  isOver: () => boolean,
): Promise<Opened> {
  const { properties, will } = packet
  const { limits } = house.core
  if (properties.authMethod !== undefined) {
    return refused(code.badAuthenticationMethod, 'user name and password are all there is') // §4.12
  }
  if (will?.retain === true) return refused(code.retainNotSupported, 'nothing is retained here')
  if (Buffer.byteLength(packet.clientId) > limits.mqttClientIdMaxBytes) {
    return refused(
      code.clientIdNotValid,
      `a client id has at most ${limits.mqttClientIdMaxBytes} bytes`,
    )
  }
  if (will !== undefined && will.payload.length > limits.payloadMaxBytes) {
    return refusedFor('too-large')
  }
  house.counts.loginsTotal++
  const login = await logIn(house, wire.peer, packet.username, packet.password)
  if (login.kind === 'refused') {
    house.counts.loginsFailedTotal++
    return refusedFor(login.reason)
  }
  if (isOver()) return refusedFor('normal')
  if (will !== undefined && house.topics.meaning(login, will.topic)?.kind !== 'event') {
    house.counts.foreignTotal++
    return refused(code.topicNameInvalid, 'a will is an event of the device')
  }
  // A dot stands in no name of ours, so nobody else has it [MQTT-3.1.3-6].
  const clientId = packet.clientId === '' ? `pike.${token}` : packet.clientId
  const keepaliveS = keepaliveFor(packet.keepaliveS, house)
  const message = will === undefined ? undefined : incoming(will)
  // It is due when the session ends at the latest (§3.1.3.2.2).
  const delayMs = 1000 * Math.min(will?.properties.willDelayS ?? 0, sessionS)
  const client = new MqttClient(
    house,
    wire,
    {
      app: login.app,
      device: login.device,
      clientId,
      isClean: packet.cleanStart,
      lasts: sessionS > 0,
      keepaliveMs: keepaliveS * 1000,
      will: delayMs === 0 ? message : undefined,
    },
    token,
  )
  const not = await client.enter()
  if (not !== undefined) return refusedFor(not.reason, not.retryAfterMs)
  const askedMs = keepaliveS * 1000
  const pulse = await house.core.pulse(login.app, login.device, {
    network: networkOf(wire.peer),
    ...(packet.keepaliveS > 0 && {
      startMs: askedMs,
      minMs: Math.min(askedMs, limits.keepaliveStartMs),
    }),
    // Most libraries wait another interval for the answer to a PINGREQ.
    patience: 1,
  })
  const grantedS = pulse === undefined ? keepaliveS : Math.floor(client.silence.learn(pulse) / 1000)
  const lateWill = delayMs === 0 || message === undefined ? undefined : { message, delayMs }
  const connack = granted(packet, clientId, grantedS, sessionS, token, house)
  return { kind: 'client', client, connack, lateWill }
}

/** 0 asks for none; but a device that nobody would miss for ever is none. */
function keepaliveFor(askedS: number, { core }: House): number {
  const { keepaliveMinMs, keepaliveMaxMs } = core.limits
  const wantedMs = askedS === 0 ? keepaliveMaxMs : askedS * 1000
  return Math.ceil(Math.min(keepaliveMaxMs, Math.max(keepaliveMinMs, wantedMs)) / 1000)
}

/** What it gets, where that is not what it asked for or what holds by itself (§3.2.2.3). */
function granted(
  { properties, clientId: asked, keepaliveS: askedS }: ConnectPacket,
  clientId: string,
  keepaliveS: number,
  sessionS: number,
  token: string,
  { core }: House,
): Connack {
  const { limits } = core
  return {
    receiveMaximum: limits.uplinkMaxPending,
    maximumPacketSize: limits.mqttPacketMaxBytes,
    topicAliasMaximum: limits.mqttTopicAliasesMax,
    retainAvailable: false,
    sharedSubscriptionAvailable: false,
    // By which it reads when its commands expire, whatever its own clock says (rule 2).
    userProperties: {
      'pike-time': new Date(core.clock.nowMs()).toISOString(),
      // By which it can be traced.
      'pike-connection': token,
    },
    ...((properties.sessionExpiryS ?? 0) !== sessionS && { sessionExpiryInterval: sessionS }),
    ...(asked === '' && { assignedClientIdentifier: clientId }),
    ...(askedS !== keepaliveS && { serverKeepAlive: keepaliveS }),
  }
}

const incoming = ({ topic, payload, qos, properties }: Will): Incoming => ({
  topic,
  payload: new Uint8Array(payload),
  qos,
  messageId: 0,
  dup: false,
  contentType: properties.contentType,
})
