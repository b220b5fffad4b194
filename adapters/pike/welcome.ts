import type { Hello, Limits, LinkId, Session } from '../../src/contract/index.ts'
import { isIdentifier } from '../../src/contract/index.ts'
import { networkOf } from '../../src/listen/network.ts'
import { type HelloFrame, type WelcomeFrame, welcomeTag } from './frames.ts'
import type { Refused } from './gate.ts'

/** WELCOME itself and CLOSE must fit. */
export const peerFrameMinBytes = 256

/** What is wrong with a HELLO before anybody is asked. */
export function refusalOf(hello: HelloFrame, first: boolean, secure: boolean): Refused | undefined {
  const { app, device, channel, nonce, frameMaxBytes, extensions } = hello
  // An odd tag is critical, and this version knows none.
  const critical = extensions.find(({ tag }) => tag % 2 === 1)
  if (critical !== undefined) return refused('unsupported', `extension ${critical.tag}`)
  if (!isIdentifier(device) || !isIdentifier(channel) || (app !== '' && !isIdentifier(app))) {
    return refused('protocol-error', 'app, device or channel is no identifier')
  }
  if (first !== (hello.channelNumber === 0)) {
    return refused('protocol-error', 'the first channel is number 0, and only the first')
  }
  if (first && nonce.length === 0 && !secure) {
    return refused('protocol-error', 'a nonce is needed outside TLS')
  }
  if (frameMaxBytes !== 0 && frameMaxBytes < peerFrameMinBytes) {
    return refused('protocol-error', `frames of ${peerFrameMinBytes} bytes must be taken`)
  }
  return undefined
}

const refused = (reason: Refused['reason'], text: string): Refused => ({
  kind: 'refused',
  reason,
  text,
})

/** HELLO in the words of the core. */
export function helloOf(frame: HelloFrame, app: string, peer: string): Hello {
  const { keepaliveMinS, keepaliveMaxS } = frame
  return {
    app,
    device: frame.device,
    channel: frame.channel,
    silence: {
      network: networkOf(peer),
      ...(keepaliveMinS > 0 && { minMs: keepaliveMinS * 1000 }),
      ...(keepaliveMaxS > 0 && { maxMs: keepaliveMaxS * 1000 }),
    },
    ...(frame.windowMax > 0 && { windowMaxCommands: frame.windowMax }),
    ...(frame.resume !== undefined && { resumeFrom: frame.resume }),
    ...(frame.uplinkEpoch > 0 && { uplinkEpoch: frame.uplinkEpoch }),
  }
}

/** As it is told. Rounded down: better a beat too early than one too late. */
export const inSeconds = (keepaliveMs: number): number =>
  Math.max(1, Math.floor(keepaliveMs / 1000))

const independent = [{ tag: welcomeTag.independent, value: new Uint8Array(0) }]

/** What WELCOME says besides what the session does. */
export interface WelcomeTerms {
  readonly capabilities: number
  readonly bindingsMax: number
  readonly proof: Uint8Array
  readonly nowMs: number
}

export const welcomeOf = (
  channel: { readonly number: number; readonly id: LinkId; readonly independent: boolean },
  session: Session,
  limits: Limits,
  { capabilities, bindingsMax, proof, nowMs }: WelcomeTerms,
): WelcomeFrame => ({
  type: 'welcome',
  channelNumber: channel.number,
  capabilities,
  proof,
  resumed: session.resumed,
  epoch: session.position.epoch,
  offset: session.position.offset,
  uplinkKept: session.uplinkKept,
  keepaliveS: inSeconds(session.keepaliveMs),
  frameMaxBytes: limits.frameMaxBytes,
  windowMax: session.windowMaxCommands,
  uplinkWindowMax: limits.uplinkMaxPending,
  bindingsMax,
  timeMs: Math.floor(nowMs),
  connection: channel.id,
  reconnectBaseMs: 0,
  reconnectMaxMs: 0,
  extensions: channel.independent ? independent : [],
})
