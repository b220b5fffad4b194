import { parseArgs } from 'node:util'
import { beatsToSettle } from './simulation.ts'
import { kinds, run, table } from './table.ts'

const usage = `Devices behind NATs that forget, in virtual time: which way to choose a heartbeat is the best?

  npm run heartbeat -- [options]

  --devices N    how many (2000)
  --days N       how long (4)
  --seed N       repeats the same world (1)`

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '2000' },
    days: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})
const numbers = [values.devices, values.days, values.seed].map(Number)
const [devices, days, seed] = numbers as [number, number, number]
const isWrong =
  !numbers.every(Number.isSafeInteger) || devices < 1 || devices > 100_000 || days < 2 || days > 60

if (values.help || isWrong) {
  console.log(usage)
  process.exitCode = values.help ? 0 : 2
} else {
  for (const [what, maxMs] of [
    ['battery', 1_500_000],
    ['powered', 300_000],
  ] as const) {
    const range = { minMs: 60_000, maxMs }
    console.log(
      `\n${devices} devices (${what}: 60 to ${maxMs / 1_000} s), ${days} days, seed ${seed}; judged after ${beatsToSettle} beats\n`,
    )
    console.log(table(kinds.map((make) => run(make(), { devices, days, seed, range }))))
  }
}
