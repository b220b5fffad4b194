import { problems } from '../../src/api/problems.ts'
import { endStatuses, eventKinds } from '../../src/contract/index.ts'
import type { Figures } from './figures.ts'

/**
 * What would be our own mistake: it must not occur. And what stories do not come to: a key is
 * forgotten before the outcome of its command is.
 */
const never = new Set(['internal', 'command-forgotten'])

/** What a run should have met, and has not. */
export function missing(figures: Figures, engines: readonly string[]): readonly string[] {
  const { statuses, problems: met } = figures
  const all = Object.keys(problems).filter((name) => !never.has(name))
  // Only a store that cannot be backed up says so.
  const reachable = all.filter((name) => name !== 'not-supported' || engines.includes('memory'))
  return [
    ...endStatuses.filter((status) => !statuses.has(status)).map((status) => `outcome ${status}`),
    ...reachable.filter((name) => !met.has(name)).map((name) => `problem ${name}`),
    ...eventKinds.filter((kind) => !figures.events.has(kind)).map((kind) => `event ${kind}`),
  ]
}

/** Calls by route and status, outcomes, events, what befell the gateway. */
export function table(figures: Figures): string {
  const lines: string[] = []
  const routes = [...figures.calls].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [route, answers] of routes) lines.push(`  ${route.padEnd(52)} ${counts(answers)}`)
  return [
    `calls: ${figures.total}, commands accepted: ${figures.accepted}`,
    ...lines,
    `lines: ${counts(figures.lines)}`,
    `outcomes: ${counts(figures.outcomes)}`,
    `events: ${counts(figures.events)}`,
    `moves: ${counts(figures.moves)}`,
  ].join('\n')
}

const counts = (all: ReadonlyMap<string, number>): string =>
  [...all]
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
