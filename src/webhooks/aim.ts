import {
  callbacksName,
  type EventKind,
  type EventQuery,
  type KeptEvent,
  type WebhookRecord,
} from '../contract/index.ts'
import { laneOf } from './match.ts'

/** Which lane an event goes to, and where it is posted. */
export interface Aimed {
  readonly lane: number
  /** Of a callback; a webhook's is in its record. */
  readonly url: string | undefined
}

/** What a webhook takes, as one who reads the log may ask for it; tags come on top. */
export type Filter = Pick<EventQuery, 'kinds' | 'device'>

export interface Aim {
  readonly filter: Filter
  /** undefined: not for this webhook. Says nothing of tags. */
  at(event: KeptEvent): Aimed | undefined
}

/** Callbacks are the ends of commands that ask for one, lane by receiver; webhooks go lane by device. */
export const aimOf = (record: WebhookRecord, lanes: number): Aim =>
  record.name === callbacksName ? atCallbacks(lanes) : atWebhook(record, lanes)

function atWebhook({ kinds, device }: WebhookRecord, lanes: number): Aim {
  const wanted = kinds === undefined ? undefined : new Set<EventKind>(kinds)
  return {
    filter: { ...(kinds !== undefined && { kinds }), ...(device !== undefined && { device }) },
    at(event) {
      if (device !== undefined && event.device !== device) return undefined
      if (wanted?.has(event.kind) === false) return undefined
      return { lane: laneOf(event.device, lanes), url: undefined }
    },
  }
}

const atCallbacks = (lanes: number): Aim => ({
  filter: { kinds: ['command.ended'] },
  at(event) {
    const url = event.kind === 'command.ended' ? event.ended.callback : undefined
    return url === undefined ? undefined : { lane: callbackLane(url, lanes), url }
  },
})

/** One receiver, one lane: who is slow or silent holds up nobody but those few who share it. */
export const callbackLane = (url: string, lanes: number): number =>
  laneOf(URL.canParse(url) ? new URL(url).origin : url, lanes)

/** Does this change mean that other events are to be sent than before? */
export const aimsElsewhere = (a: WebhookRecord, b: WebhookRecord): boolean =>
  a.device !== b.device ||
  a.tag !== b.tag ||
  [...(a.kinds ?? ['*'])].sort().join() !== [...(b.kinds ?? ['*'])].sort().join()
