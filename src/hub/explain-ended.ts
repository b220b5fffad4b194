import type { EndedCommand, EndReason, EndStatus } from '../contract/index.ts'
import { endReasons } from '../contract/index.ts'

export interface Words {
  readonly code: string
  readonly sentence: string
}

/** What each outcome means, and what to do about it. */
const outcomes: Readonly<Record<EndStatus, { readonly means: string; readonly advice: string }>> = {
  delivered: { means: "The device's end has it", advice: 'Nothing is to be done.' },
  done: {
    means: "The device's application has acted and said so",
    advice: 'Nothing is to be done.',
  },
  failed: {
    means: 'The device acted and failed',
    advice: 'Mend the cause, then send a new command if it is still wanted.',
  },
  rejected: {
    means: 'The device refused before it acted',
    advice: 'Nothing has happened there; send a new command if it is still wanted.',
  },
  unanswered: {
    means: 'The device has it, but its application may or may not have acted',
    advice: 'Look at the state of the device before you send it again.',
  },
  expired: {
    means: 'It was certainly never written to any link',
    advice: 'Send a new command if it is still wanted, with a longer ttl if it may wait.',
  },
  canceled: {
    means: 'It was taken back and certainly never written to any link',
    advice: 'Nothing is to be done.',
  },
  superseded: {
    means: 'It was certainly never written to any link',
    advice: 'Follow the newer command.',
  },
  dropped: {
    means: 'It was certainly never written to any link',
    advice: 'Send a new command if it is still wanted, or give its channel a larger mailbox.',
  },
  undeliverable: {
    means: 'The gateway gave it up',
    advice: 'Mend the cause, then send a new command if it is still wanted.',
  },
  'in-doubt': {
    means: 'It may have been written to a link, and nobody knows whether the device acted',
    advice: 'Look at the state of the device before you send it again.',
  },
}

/** Where a reason has better advice than its outcome. */
const advices: Readonly<Partial<Record<`${EndStatus}.${EndReason}`, string>>> = {
  'undeliverable.no-link':
    'It was never written. Tell your user that the device is not there, or send it with delivery "queue" if it may wait.',
  'undeliverable.too-large': 'It was never written. Send less, or pass large things by reference.',
  'undeliverable.device-removed':
    'It was never written. Register the device again if it still exists.',
  'undeliverable.device-disabled':
    'It was never written. Enable the device, then send a new command.',
  'undeliverable.unknown-channel':
    'It was never written. Mend the name of the channel, or add the channel to the device.',
  'undeliverable.damaged':
    'It was not sent from this store, whose disk may be failing. Tell your operator, then send a new command.',
  'undeliverable.attempts':
    'It may have acted. Look at the state of the device; this command seems to break its connection.',
  'dropped.mailbox-full':
    'Nobody is taking the commands of this channel. Look why its device does not, then send a new one if it is still wanted.',
  'rejected.late':
    'Nothing has happened there. Send a new command if it is still wanted, with a longer ttl if it may come later.',
  'in-doubt.damaged':
    "The store's disk may be failing: tell your operator. Look at the state of the device before you send it again.",
}

/** Reasons of ours, where they are ours; any other word is the device's own. */
function ourReason({ status, reason }: EndedCommand): EndReason | undefined {
  if (reason === undefined || !Object.hasOwn(endReasons, reason)) return undefined
  const theirs = status === 'done' || status === 'failed' || status === 'rejected'
  if (theirs && !(status === 'rejected' && reason === 'late')) return undefined
  return reason as EndReason
}

/** A sentence and a code for every outcome and reason; says so where proof came after the end. */
export function explainEnded(ended: EndedCommand): Words {
  const { status, reason } = ended
  const ours = ourReason(ended)
  const { means, advice } = outcomes[status]
  const why =
    ours !== undefined
      ? `: ${endReasons[ours]}`
      : reason === undefined
        ? ''
        : `, and says why: ${JSON.stringify(reason)}`
  const better = ours === undefined ? undefined : advices[`${status}.${ours}`]
  return {
    code: ours === undefined ? `ended.${status}` : `ended.${status}.${ours}`,
    sentence: `It has ended ${word(status)}. ${means}${why}. ${lateProof(ended) ?? better ?? advice}`,
  }
}

const word = (status: EndStatus): string => (status === 'in-doubt' ? 'in doubt' : status)

/** The outcome does not change (rule 8), but what is known by now is worth more than advice. */
function lateProof({ timeline }: EndedCommand): string | undefined {
  const late = timeline.filter((step) => step.late === true).at(-1)
  if (late === undefined) return undefined
  return late.status === 'delivered'
    ? 'Since then the device has acknowledged it: it did arrive. Whether it acted, look at the device.'
    : `Since then the device has answered it after all: ${late.status}${late.reason === undefined ? '' : ` (${late.reason})`}.`
}
