import fc from 'fast-check'
import { limits } from './limits.ts'
import type { Fault } from './lives.ts'
import type { Story } from './story.ts'

const second = 1_000
const minute = 60 * second

/** Time, and what befalls processes and stores. */
export const fateMoves = {
  pass: fc.record({
    do: fc.constant('pass' as const),
    ms: fc.constantFrom(0, 1, second, 4 * second, 10 * second, 31 * second, 2 * minute),
  }),
  /** To the next moment at which something ends or begins by itself, or just before it. */
  next: fc.record({ do: fc.constant('next' as const), early: fc.boolean() }),
  later: fc.record({
    do: fc.constant('later' as const),
    ms: fc.constantFrom(10 * minute, 65 * minute, 5 * 60 * minute, 11 * 60 * minute),
    leaps: fc.boolean(),
  }),
  crash: fc.record({
    do: fc.constant('crash' as const),
    fresh: fc.constantFrom(false, false, false, true),
  }),
  restart: fc.record({ do: fc.constant('restart' as const) }),
  fault: fc.record({
    do: fc.constant('fault' as const),
    why: fc.constantFrom<Fault[]>('full', 'down'),
  }),
  mend: fc.record({ do: fc.constant('mend' as const) }),
  space: fc.record({ do: fc.constant('space' as const) }),
}

type Of<K extends keyof typeof fateMoves> =
  (typeof fateMoves)[K] extends fc.Arbitrary<infer T> ? T : never

export const fates = {
  pass: (story: Story, { ms }: Of<'pass'>) => story.pass(ms),

  async next(story: Story, { early }: Of<'next'>) {
    const ms = story.system.nextMs() - story.nowMs - (early ? 1 : 0)
    if (ms > 0 && ms < 60 * minute) await story.pass(ms)
  },

  async later(story: Story, { ms, leaps }: Of<'later'>) {
    if (!leaps) return story.pass(ms)
    // Not so far that events would be forgotten before we have read them.
    await story.system.leap(Math.min(ms, limits.eventsMaxAgeMs / 2))
    await story.settle()
  },

  async crash(story: Story, { fresh }: Of<'crash'>) {
    await crash(story, fresh)
  },

  /** A planned stop; links are told, and what was sent is known exactly afterwards. */
  async restart(story: Story, _: Of<'restart'>) {
    if (story.failing || story.broken) return
    await story.settle()
    for (const { line } of story.lockers.values()) if (line !== undefined) line.dead = true
    await story.system.restart()
    story.began()
    await story.recover()
  },

  async fault(story: Story, { why }: Of<'fault'>) {
    if (story.failing) return
    story.failing = true
    story.broken = true
    story.system.fail(why)
  },

  mend: (story: Story, _: Of<'mend'>) => mend(story),

  /** The disk is nearly full, or has room again. */
  async space(story: Story, _: Of<'space'>) {
    const { space } = story.system
    if (space === undefined || story.failing) return
    space.low = !space.low
    // It is looked at beside the calls, four times a second: the next call may still not know.
    story.spaceDoubt = true
  },
}

export async function crash(story: Story, busy: boolean): Promise<void> {
  for (const { line } of story.lockers.values()) if (line !== undefined) line.dead = true
  story.lose()
  await story.system.crash(busy)
  story.failing = false
  story.broken = false
  story.began()
  await story.recover()
}

export async function mend(story: Story): Promise<void> {
  if (!story.failing) return
  const { engine } = story.system.life
  story.failing = false
  story.system.mend()
  // It may not have noticed: then nothing was lost. It tries again every two seconds.
  for (let turns = 0; turns < 20 && engine.state !== 'ready'; turns++) {
    story.system.clock.advance(second)
    await story.system.quiet()
  }
}
