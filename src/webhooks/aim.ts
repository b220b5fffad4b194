import {
  callbacksName,
  type EventKind,
  type EventQuery,
  type KeptEvent,
  type WebhookRecord,
} from '../contract/index.ts'
import { webhookBounds } from './bounds.ts'
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

/**
 * Callbacks are the ends of commands that ask for one, lane by receiver; webhooks go lane by device.
 * @param lanes of a webhook; callbacks have so many receivers, each with several.
 */
export const aimOf = (record: WebhookRecord, lanes: number): Aim =>
  record.name === callbacksName ? atCallbacks(lanes) : atWebhook(record, lanes)

export const laneCountOf = (record: WebhookRecord, lanes: number): number =>
  record.name === callbacksName ? lanes * webhookBounds.callbackLanes : lanes

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

const atCallbacks = (receivers: number): Aim => ({
  filter: { kinds: ['command.ended'] },
  at(event) {
    const ended = event.kind === 'command.ended' ? event.ended : undefined
    if (ended?.callback === undefined) return undefined
    const { callbackLanes } = webhookBounds
    const first = callbackLane(ended.callback, receivers) * callbackLanes
    return { lane: first + laneOf(ended.id, callbackLanes), url: ended.callback }
  },
})

/** Which receiver: who is slow or silent holds up nobody but those few who share its lanes. */
export const callbackLane = (url: string, receivers: number): number =>
  laneOf(URL.canParse(url) ? new URL(url).origin : url, receivers)

/** Does this change mean that other events are to be sent than before? */
export const aimsElsewhere = (a: WebhookRecord, b: WebhookRecord): boolean =>
  a.device !== b.device ||
  a.tag !== b.tag ||
  [...(a.kinds ?? ['*'])].sort().join() !== [...(b.kinds ?? ['*'])].sort().join()
