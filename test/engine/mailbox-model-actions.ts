import fc from 'fast-check'

/** What may happen to mailboxes; numbers pick among what is there at that moment. */
export type Action =
  | {
      readonly kind: 'append'
      readonly channel: number
      readonly overflow: 'reject' | 'drop-oldest'
      readonly collapse: number | undefined
      readonly key: number | undefined
      readonly hash: number
      readonly bytes: number
      readonly ttlMs: number
      readonly expect: 'ack' | 'reply'
      readonly delivery: 'queue' | 'now'
      readonly intend: 'no' | 'near' | 'always'
      readonly ended: boolean
      readonly wait: boolean
    }
  | {
      readonly kind: 'send'
      readonly channel: number
      readonly count: number
      readonly slack: number
    }
  | ChangeAction
  | { readonly kind: 'uplink'; readonly channel: number; readonly wait: boolean }
  | { readonly kind: 'takeover' | 'release'; readonly channel: number }
  | { readonly kind: 'read'; readonly channel: number; readonly pick: number; readonly max: number }
  | { readonly kind: 'expire'; readonly ms: number; readonly max: number }
  | { readonly kind: 'tick' | 'restart' | 'crash' | 'backup' | 'cold-backup' | 'restore' }

export interface ChangeAction {
  readonly kind: 'change'
  readonly how: 'ack' | 'ackUpTo' | 'unheard' | 'reply' | 'cancel' | 'again' | 'untrue'
  readonly channel: number
  readonly pick: number
  readonly wait: boolean
}

const channel = fc.nat({ max: 3 })
const pick = fc.nat({ max: 9 })
const wait = fc.boolean()

const append = fc.record({
  kind: fc.constant('append' as const),
  channel,
  overflow: fc.constantFrom('reject' as const, 'drop-oldest' as const),
  collapse: fc.option(fc.nat({ max: 1 }), { nil: undefined, freq: 2 }),
  key: fc.option(fc.nat({ max: 2 }), { nil: undefined, freq: 2 }),
  hash: fc.nat({ max: 1 }),
  bytes: fc.nat({ max: 60 }),
  ttlMs: fc.constantFrom(500, 5_000, 600_000, 100_000_000),
  expect: fc.constantFrom('ack' as const, 'reply' as const),
  delivery: fc.constantFrom('queue' as const, 'queue' as const, 'now' as const),
  intend: fc.constantFrom('no' as const, 'near' as const, 'always' as const),
  ended: fc.integer({ min: 0, max: 7 }).map((n) => n === 7),
  wait,
})

const change = fc.record({
  kind: fc.constant('change' as const),
  how: fc.constantFrom(
    'ack' as const,
    'ack' as const,
    'ackUpTo' as const,
    'unheard' as const,
    'reply' as const,
    'cancel' as const,
    'again' as const,
    'untrue' as const,
  ),
  channel,
  pick,
  wait,
})

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 12, arbitrary: append },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      channel,
      count: fc.integer({ min: 1, max: 4 }),
      slack: fc.nat({ max: 4 }),
    }),
  },
  { weight: 8, arbitrary: change },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('uplink' as const), channel, wait }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('takeover' as const, 'release' as const),
      channel,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('read' as const), channel, pick, max: pick }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('expire' as const),
      ms: fc.constantFrom(0, 1_000, 30_000, 120_000, 90_000_000),
      max: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'tick' as const,
        'tick' as const,
        'restart' as const,
        'crash' as const,
        'crash' as const,
        'backup' as const,
        'cold-backup' as const,
        'restore' as const,
      ),
    }),
  },
)

export const actions = fc.array(action, { minLength: 1, maxLength: 40, size: 'max' })
