import { closeCode } from '../../adapters/pike/frames.ts'
import { kdfFor, makeProof } from '../../src/secrets/secrets.ts'
import type { Cause } from '../lifecycle.ts'
import type { SessionParts } from '../session.ts'
import { causeOf } from './causes.ts'
import type { Answer, Asking } from './requests.ts'

/** What a device has of its session; it outlasts the connection. */
export interface Ticket {
  readonly token: string
  readonly keepaliveMs: number
}

/** Of RFC 9175; node-coap has no name for it. */
const echoOption = '252'
/** What a gateway grants at least, and unasked. */
const keepaliveMinMs = 5_000
const keepaliveDefaultMs = 240_000
/** Challenges in a row; one more, and something on the way takes our answers. */
const challengesMax = 3

/**
 * `POST /session`: who we are, proved. The secret itself is never sent, not even on this machine (rule 32).
 *
 *     POST, nothing ─▶ 4.01 with an Echo ─▶ POST, a proof over it ─▶ 2.01 s/{token}
 *
 * @returns undefined: no answer came, or nobody waits for it any more.
 */
export async function login(
  { options, keys }: SessionParts,
  ask: (asking: Asking) => Promise<Answer | undefined>,
): Promise<Ticket | Cause | undefined> {
  const { app = 'default', device, secret, keepalive } = options
  const kdf = kdfFor(secret)
  const query = [`device=${device}`, `proof=${kdf}`]
  if (app !== 'default') query.push(`app=${app}`)
  if (keepalive !== undefined) query.push(`keepalive=${keepalive.maxS}`)
  const first: Asking = { method: 'POST', path: ['session'], query }
  let answer = await ask(first)
  for (let n = 0; n < challengesMax && answer?.code === '4.01'; n++) {
    const echo = answer.option(echoOption)
    if (!Buffer.isBuffer(echo)) break
    const derived = await keys(kdf).catch(String)
    if (typeof derived === 'string') return { kind: 'local', text: derived }
    const who = Buffer.from(`pike/1 coap ${app}/${device}\0`)
    const payload = makeProof(derived, Buffer.concat([who, echo]))
    answer = await ask({ ...first, payload, options: { [echoOption]: echo } })
  }
  if (answer === undefined) return undefined
  if (answer.code !== '2.01') return refusalOf(answer)
  const token = answer.option('Location-Path')
  if (token === undefined || token.length === 0) return notOurs
  const keepaliveMs = Math.max(keepaliveMinMs, answer.maxAgeMs ?? keepaliveDefaultMs)
  return { token: token.toString(), keepaliveMs }
}

const notOurs: Cause = { kind: 'local', text: 'what answers there is no gateway of ours' }

function refusalOf(answer: Answer): Cause {
  // Any CoAP server says so of what it does not have.
  if (answer.code === '4.04' || answer.code === '4.05') return notOurs
  if (answer.code === '4.01' && answer.option(echoOption) !== undefined)
    return { kind: 'local', text: 'the gateway asks again and again who is there' }
  const cause = causeOf(answer)
  if (cause.kind === 'closed' && cause.code === closeCode.unauthorized)
    return { ...cause, text: answer.payload.toString() || 'the secret is not right' }
  return cause
}
