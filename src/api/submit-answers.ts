import type { Broadcasted, Submitted } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { fieldRefusal, type Refusal, type Said } from './problems.ts'
import { depthView } from './views.ts'

const retryAfterMs = apiBounds.retryAfterSeconds * 1000

/** Why a command was not accepted, in the words of HTTP. */
export function refusalOf(submitted: Exclude<Submitted, { kind: 'accepted' }>): Refusal {
  switch (submitted.kind) {
    case 'unknown-device':
    case 'unknown-alias':
    case 'device-disabled':
      return { problem: submitted.kind }
    case 'unknown-channel':
      return fieldRefusal('body', '/channel', 'this device has no such channel')
    case 'limited':
      return { problem: 'over-quota', retryAfterMs: submitted.retryAfterMs }
    case 'schedule-full': {
      const { max, retryAfterMs } = submitted
      return { problem: 'schedule-full', said: { max }, retryAfterMs }
    }
    case 'full': {
      const { depth, retryAfterMs } = submitted
      return { problem: 'mailbox-full', said: { mailbox: depthView(depth) }, retryAfterMs }
    }
    case 'conflict':
      return { problem: 'idempotency-conflict', said: standsFor(submitted.id) }
    case 'forgotten':
      return { problem: 'command-forgotten', said: standsFor(submitted.id) }
    case 'unavailable':
      return unavailable(submitted.full)
  }
}

/** Why a broadcast was not accepted. */
export function refusalOfBroadcast(said: Exclude<Broadcasted, { kind: 'accepted' }>): Refusal {
  switch (said.kind) {
    case 'unknown-tag':
      return { problem: 'unknown-tag' }
    case 'too-many':
      return { problem: 'too-many-devices', said: { max: said.max } }
    case 'busy':
      return {
        problem: 'too-many-broadcasts',
        said: { max: said.max },
        retryAfterMs: said.retryAfterMs,
      }
    case 'limited':
      return { problem: 'over-quota', retryAfterMs: said.retryAfterMs }
    case 'conflict':
      return { problem: 'idempotency-conflict', said: standsFor(said.id) }
    case 'forgotten':
      return {
        problem: 'unknown-broadcast',
        said: {
          detail:
            'It was accepted when it was first asked for, and is forgotten by now. Nothing was sent again; use a new key to send it once more.',
          broadcast: said.id,
        },
      }
    case 'unavailable':
      return unavailable(said.full)
  }
}

export const unavailable = (full: boolean): Refusal => ({
  problem: full ? 'store-full' : 'store-unavailable',
  retryAfterMs,
})

/** One key space for both: only a command's id has a colon. */
const standsFor = (id: string): Said => (id.includes(':') ? { command: id } : { broadcast: id })
