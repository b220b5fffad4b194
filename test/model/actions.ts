import fc from 'fast-check'
import { aliasAsks, aliases } from './asks/aliases.ts'
import { appAsks, apps } from './asks/apps.ts'
import { broadcastAsks, broadcasts } from './asks/broadcasts.ts'
import { commandAsks, commands } from './asks/commands.ts'
import { cutAsks, cuts } from './asks/cut.ts'
import { deviceAsks, devices } from './asks/devices.ts'
import { eventAsks, events } from './asks/events.ts'
import { lineAsks, lines } from './asks/lines.ts'
import { strange, strangeAsks } from './asks/strange.ts'
import { webhookAsks, webhooks } from './asks/webhooks.ts'
import { fateMoves, fates } from './fates.ts'
import { deviceMoves, moves } from './moves.ts'
import type { Story } from './story.ts'

const arbitraries = {
  ...commandAsks,
  ...deviceAsks,
  ...aliasAsks,
  ...appAsks,
  ...broadcastAsks,
  ...lineAsks,
  ...eventAsks,
  ...webhookAsks,
  ...strangeAsks,
  ...cutAsks,
  ...deviceMoves,
  ...fateMoves,
}
const doers = {
  ...commands,
  ...devices,
  ...aliases,
  ...apps,
  ...broadcasts,
  ...lines,
  ...events,
  ...webhooks,
  ...strange,
  ...cuts,
  ...moves,
  ...fates,
}

type Name = keyof typeof arbitraries
export type Action = {
  [K in Name]: (typeof arbitraries)[K] extends fc.Arbitrary<infer T> ? T : never
}[Name]

/** How often each comes; 1 where nothing is said. */
const weights: Partial<Record<Name, number>> = {
  send: 34,
  cut: 5,
  cast: 6,
  many: 4,
  repeat: 4,
  look: 7,
  cancel: 5,
  history: 2,
  attach: 26,
  acknowledge: 24,
  reply: 14,
  report: 3,
  leave: 4,
  drain: 3,
  say: 2,
  put: 3,
  bind: 3,
  grant: 2,
  tag: 2,
  register: 2,
  events: 4,
  resecret: 2,
  pass: 8,
  next: 8,
  crash: 4,
  mend: 3,
}

export const action: fc.Arbitrary<Action> = fc.oneof(
  ...(Object.keys(arbitraries) as Name[]).map((name) => ({
    weight: weights[name] ?? 1,
    arbitrary: arbitraries[name] as fc.Arbitrary<Action>,
  })),
)

/** Do one, on both sides, and compare. */
export async function take(story: Story, one: Action): Promise<void> {
  story.step++
  story.figures.moved(one.do)
  const act = doers[one.do] as (story: Story, action: Action) => Promise<void>
  await act(story, one)
  await story.settle()
}
