import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { ScheduledCommand } from '../../src/contract/index.ts'
import { endStatuses } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { end, settle } from '../support/engine-words.ts'
import { findById, place, plan } from './mailbox-schedule.exam.ts'

const channels = ['shop/ab/main', 'shop/abc/main', 'shop/ab/urgent'] as const

type Action =
  | { readonly kind: 'plan'; readonly channel: number; readonly inMs: number }
  | { readonly kind: 'place' | 'cancel' | 'both' | 'settle'; readonly which: number }
  | { readonly kind: 'ripe' | 'restart' | 'crash' }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('plan' as const),
      channel: fc.nat(2),
      inMs: fc.integer({ min: -5, max: 50 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'place' as const,
        'cancel' as const,
        'both' as const,
        'settle' as const,
      ),
      which: fc.nat(50),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('ripe' as const, 'ripe' as const, 'restart' as const, 'crash' as const),
    }),
  },
)

interface Known {
  readonly command: ScheduledCommand
  state: 'waiting' | 'placed' | 'ended'
  offset: number
}

/** Whatever the order of scheduling, placing, canceling and dying: each is somewhere, once. */
export function mailboxScheduleOrdersExam(subject: EngineSubject, runs: number): void {
  test('in whatever order, what is scheduled waits, is placed or has ended, once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const rig = await Rig.begin(subject)
        const all: Known[] = []
        try {
          for (const each of actions) await step(rig, all, each)
          await compare(rig, all)
          await rig.crash()
          await compare(rig, all)
        } finally {
          await rig.remove()
        }
      }),
      { numRuns: runs },
    )
  })
}

async function step(rig: Rig, all: Known[], action: Action): Promise<void> {
  rig.clock.advance(1)
  switch (action.kind) {
    case 'plan': {
      const notBeforeMs = rig.clock.nowMs() + action.inMs
      const name = `c${all.length}`
      const channel = channels[action.channel]!
      all.push({
        command: await plan(rig, channel, { name, notBeforeMs }),
        state: 'waiting',
        offset: 0,
      })
      return
    }
    case 'ripe': {
      const nowMs = rig.clock.nowMs()
      const due = all.filter(
        ({ state, command }) => state === 'waiting' && command.notBeforeMs <= nowMs,
      )
      const found = await rig.engine.mailbox.ripe(nowMs, 3)
      assert.equal(found.length, Math.min(3, due.length))
      const times = due.map(({ command }) => command.notBeforeMs).sort((a, b) => a - b)
      assert.deepEqual(
        found.map(({ notBeforeMs }) => notBeforeMs),
        times.slice(0, 3),
      )
      return
    }
    case 'restart':
      return rig.restart()
    case 'crash':
      return rig.crash()
  }
  const known = all[action.which % Math.max(1, all.length)]
  if (known === undefined) return
  const ended = { status: 'canceled', reason: 'requested' } as const
  const { kind } = action
  if (kind === 'settle') {
    if (known.state !== 'placed') return
    const { channel } = known.command
    await settle(rig, channel, { changes: [end(known.offset, 'canceled', rig.clock.nowMs())] })
    known.state = 'ended'
    return
  }
  const tries = kind === 'both' ? [{}, { ended }] : [kind === 'cancel' ? { ended } : {}]
  const answers = await Promise.all(tries.map((options) => place(rig, known.command, options)))
  for (const [index, answer] of answers.entries()) {
    const first: boolean = known.state === 'waiting'
    assert.equal(answer.kind, first ? 'kept' : 'repeat')
    if (answer.kind !== 'kept') continue
    known.state = tries[index]!.ended === undefined ? 'placed' : 'ended'
    known.offset = answer.command.offset
  }
}

async function compare(rig: Rig, all: readonly Known[]): Promise<void> {
  const { mailbox } = rig.engine
  const named = (state: Known['state'], id?: string) =>
    all.filter(
      ({ command, state: its }) =>
        its === state && (id === undefined || command.channel.startsWith(id)),
    )
  for (const { command, state, offset } of all) {
    const found = await findById(rig, command.id)
    assert.equal(found?.command.id, command.id)
    assert.equal(found?.kind, state === 'ended' ? 'ended' : 'open')
    assert.equal(found?.command.offset, state === 'waiting' ? command.scheduled : offset)
  }
  for (const device of ['shop/ab', 'shop/abc']) {
    const waiting = await mailbox.scheduled(device)
    assert.deepEqual(
      waiting.map(({ id }) => id).sort(),
      named('waiting', `${device}/`)
        .map(({ command }) => command.id)
        .sort(),
    )
    const { items } = await mailbox.history(device, { limit: 1_000 })
    const mine = all.filter(({ command }) => command.channel.startsWith(`${device}/`))
    assert.deepEqual(
      items.map(({ command }) => command.name),
      mine.map(({ command }) => command.name).reverse(),
    )
  }
  const due = named('waiting').map(({ command }) => command.notBeforeMs)
  assert.equal(mailbox.nextRipeMs(), Math.min(Number.POSITIVE_INFINITY, ...due))
  const counts = await mailbox.counts('shop')
  const ended = endStatuses.reduce((sum, status) => sum + (counts.ended[status] ?? 0), 0)
  assert.deepEqual(
    [counts.accepted, counts.open, ended],
    [all.length, named('waiting').length + named('placed').length, named('ended').length],
  )
}
