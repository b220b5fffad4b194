import { randomBytes } from 'node:crypto'
import type { SendFailure } from '../outbox.ts'
import type { Uplink } from '../storage.ts'
import type { Lane } from './lane.ts'
import { type Answer, type Asking, uintBytes } from './requests.ts'

const octets = 42
const json = 50
/** What a datagram may hold with node-coap: 1,280 bytes. */
const messageMaxBytes = 1_280
/** 1,024 and 512 bytes, RFC 7959 §2.2. */
const szxMax = 6
const blockBytes = (szx: number): number => 2 ** (szx + 4)
/** Bodies begun anew because a block was not known any more. */
const bodiesMax = 3

/** A report as a request; its body is sent by {@link post}. */
export function reportOf(lane: Lane, session: string, device: string, uplink: Uplink): Asking {
  const stamp = `stamp=${lane.channel.outbox.uplinkEpoch}.${uplink.sequence}`
  if (uplink.kind === 'event')
    return eventOf(lane, session, uplink.name, uplink.payload, uplink.binary, [stamp])
  const { epoch, offset, status, reason, payload, binary } = uplink
  const id = lane.nameOf(device, epoch, offset)
  const query = [`status=${status}`, stamp]
  if (reason !== undefined && reason !== '') query.push(`reason=${reason}`)
  return {
    ...{ method: 'POST', path: ['s', session, 'replies', id], query, payload },
    options: { 'Content-Format': uintBytes(binary ? octets : json) },
  }
}

export function eventOf(
  { channel }: Lane,
  session: string,
  name: string,
  payload: Uint8Array,
  binary: boolean,
  query: readonly string[],
): Asking {
  const where = channel.name === 'main' ? [] : ['channels', channel.name]
  return {
    ...{ method: 'POST', path: ['s', session, ...where, 'events', name], query, payload },
    options: { 'Content-Format': uintBytes(binary ? octets : json) },
  }
}

/**
 * In blocks where it is larger than one, RFC 7959 §2.5, each a request of its own: so nothing of it hangs on
 * how the library tells blocks apart. The tag tells this body from one before it (RFC 9175 §3).
 *
 * @returns undefined: no answer.
 */
export async function post(
  asking: Asking,
  ask: (asking: Asking) => Promise<Answer | undefined>,
): Promise<Answer | undefined> {
  const { payload = new Uint8Array(0), options } = asking
  const room = messageMaxBytes - headMaxBytes(asking)
  const szx = room >= blockBytes(szxMax) ? szxMax : szxMax - 1
  const size = blockBytes(szx)
  if (payload.length <= size) return ask(asking)
  for (let bodies = 1; ; bodies++) {
    const tag = randomBytes(4)
    let answer: Answer | undefined
    for (let from = 0; from < payload.length; from += size) {
      const more = from + size < payload.length
      answer = await ask({
        ...asking,
        payload: payload.subarray(from, from + size),
        options: {
          ...options,
          // By number: by name the library would cut it up itself.
          27: uintBytes(((from / size) << 4) | (more ? 8 : 0) | szx),
          292: tag,
        },
      })
      if (answer === undefined || (more && answer.code !== '2.31')) break
    }
    // The gateway lost what it had of it, e.g. by a restart.
    if (answer?.code !== '4.08' || bodies >= bodiesMax) return answer
  }
}

/** A gateway that wants a report later than this is left until then. */
const pauseMaxMs = 60_000
const pauseMinMs = 1_000

/**
 * What becomes of a report by its answer. 'over': the gateway has it, or knows nothing it could belong to.
 * `never`: it could not be taken, and why. A number: in so many ms again. 'refused': not it, but who sends it.
 */
export function verdictOf(
  kind: Uplink['kind'],
  { code, maxAgeMs = 0 }: Answer,
): Verdict | 'refused' | number {
  if (code === '2.04') return 'over'
  // Blocks forgotten time and again, by restarts: it is none the worse for that.
  if (code === '4.08') return pauseMinMs
  if (code === '5.03' || code === '4.29')
    return maxAgeMs <= pauseMaxMs ? Math.max(pauseMinMs, maxAgeMs) : 'refused'
  // A stamp of long ago, or a reply to what nobody knows, must not be sent for ever.
  if (kind === 'reply' && (code === '4.09' || code === '4.04')) return 'over'
  if (!code.startsWith('4.') || code === '4.01') return 'refused'
  return { never: failures.get(code) ?? 'refused' }
}

/** What a report is done with. */
export type Verdict = 'over' | { readonly never: SendFailure }

/** Of an event; of a reply the first two are no failure. */
const failures: ReadonlyMap<string, SendFailure> = new Map([
  ['4.04', 'unknown-channel'],
  ['4.09', 'stale-stamp'],
  ['4.13', 'too-large'],
])

/** Head, token, each option at its longest, and the marker. */
function headMaxBytes({ path, query = [], options = {} }: Asking): number {
  let bytes = 4 + 8 + 1 + 2 * 9
  for (const text of [...path, ...query]) bytes += 3 + Buffer.byteLength(text)
  for (const value of Object.values(options)) bytes += 5 + value.length
  return bytes
}
