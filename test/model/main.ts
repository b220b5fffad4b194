import { parseArgs } from 'node:util'
import { Figures } from './figures.ts'
import type { EngineName } from './lives.ts'
import { missing, table } from './report.ts'
import { run } from './run.ts'
import { askBySockets } from './sockets.ts'

/** 0: all as the model has it; 1: something else; 2: asked for wrongly; 3: too little was met. */
const exitCodes = { agreed: 0, differed: 1, usage: 2, thin: 3 } as const

const usage = `Random calls against the real API, hub and engine, beside a model of the contract.

  npm run model -- [options]

  --runs N                 stories of up to 120 calls and moves (100)
  --seed N                 repeats the same draws (1)
  --engine memory|level|both   (both)
  --path P                 with the seed: the one story that failed, as it was told
  --hasty                  do not look for a smaller story that fails`

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    engine: { type: 'string', default: 'both' },
    path: { type: 'string' },
    hasty: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const engines: readonly EngineName[] =
  values.engine === 'both'
    ? ['memory', 'level']
    : values.engine === 'level'
      ? ['level']
      : ['memory']
const isNumber = (text: string) => /^\d{1,9}$/.test(text)
const isWrong =
  !isNumber(values.runs) ||
  !isNumber(values.seed) ||
  !['memory', 'level', 'both'].includes(values.engine)

if (values.help || isWrong) {
  console.log(usage)
  process.exitCode = values.help ? exitCodes.agreed : exitCodes.usage
} else {
  const figures = new Figures()
  const startedAt = performance.now()
  const seconds = () => Math.round((performance.now() - startedAt) / 1_000)
  try {
    for (const engine of engines) {
      await run({
        engine,
        figures,
        runs: Number(values.runs),
        seed: Number(values.seed),
        path: values.path,
        shrinks: !values.hasty,
        progress: (told) => {
          if (told % 10 === 0)
            process.stderr.write(
              `\r${engine}: ${told} stories, ${figures.total} calls, ${seconds()} s `,
            )
        },
      })
      process.stderr.write('\n')
    }
    await askBySockets(figures)
    const lacking = missing(figures, engines)
    console.log(table(figures))
    console.log(
      lacking.length === 0
        ? 'every outcome, problem and event was met'
        : `not met: ${lacking.join(', ')}`,
    )
    process.exitCode = lacking.length === 0 ? exitCodes.agreed : exitCodes.thin
  } catch (error) {
    console.log(table(figures))
    console.error(error)
    process.exitCode = exitCodes.differed
  }
}
