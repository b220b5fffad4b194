import fc from 'fast-check'
import { type Action, action, take } from './actions.ts'
import { mend } from './fates.ts'
import { Figures } from './figures.ts'
import type { EngineName } from './lives.ts'
import { Story } from './story.ts'
import { type Sabotage, System } from './system.ts'

export interface RunOptions {
  readonly engine: EngineName
  readonly seed: number
  readonly runs: number
  readonly path?: string | undefined
  readonly figures?: Figures
  readonly sabotage?: Sabotage
  readonly shrinks?: boolean
  readonly progress?: (run: number) => void
}

const hourMs = 3_600_000

/** One story: a gateway is set up, things happen to it, and in the end all that was open ends. */
export async function tell(actions: readonly Action[], options: RunOptions): Promise<void> {
  const system = await System.open(options.engine, options.sabotage)
  const story = new Story(system, options.figures ?? new Figures())
  try {
    await begin(story)
    for (const one of actions) await take(story, one)
    await mend(story)
    story.step++
    await story.settle()
    // Whatever waits ends by itself.
    for (let hours = 0; hours < 2; hours++) await story.pass(hourMs)
    await system.end()
  } catch (error) {
    await system.abandon()
    throw error
  }
}

async function begin(story: Story): Promise<void> {
  for (const one of opening) await take(story, one)
}

const device = (name: string, as = 0): Action => ({
  do: 'put',
  as,
  device: name,
  secret: undefined,
  disabled: undefined,
  tags: ['t1'],
  attributes: undefined,
  channels: { media: { maxCommands: 2, overflow: 'drop-oldest' } },
  flaw: undefined,
})

const opening: readonly Action[] = [
  device('d1'),
  device('d2'),
  { do: 'app', as: 0, app: 'other', quota: undefined, flaw: undefined },
  {
    do: 'grant',
    as: 0,
    app: 'other',
    name: 'n1',
    scopes: ['admin'],
    own: undefined,
    flaw: undefined,
  },
  device('d1', 1),
  {
    do: 'grant',
    as: 0,
    app: 'default',
    name: 'n2',
    scopes: ['commands'],
    own: undefined,
    flaw: undefined,
  },
]

/** So many stories; rejects with the smallest that fails, and how to tell it again. */
export async function run(options: RunOptions): Promise<void> {
  let count = 0
  const { seed, path, runs, shrinks = true } = options
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 1, maxLength: 120, size: 'max' }),
      async (actions) => {
        await tell(actions, options)
        options.progress?.(++count)
      },
    ),
    {
      seed,
      numRuns: runs,
      ...(path !== undefined && { path }),
      ...(shrinks ? {} : { endOnFailure: true }),
      interruptAfterTimeLimit: 3_000_000,
      markInterruptAsFailure: false,
    },
  )
}
