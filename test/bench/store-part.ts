import { makeFolder, progress } from './bench.ts'
import { storeAlone } from './cost.ts'
import { fixed, medianOf, printTable, whole } from './figures.ts'
import type { Options } from './options.ts'
import type { StoreRun } from './store.ts'

const valueBytes = 150
const groups = [1, 8, 64, 512]

/** What the disk and LevelDB give at best: synced batches, one after the other. */
export async function storePart(options: Options): Promise<void> {
  const rows: string[][] = []
  for (const group of groups) {
    const runs: StoreRun[] = []
    for (let round = 0; round < options.rounds; round++) {
      progress(`store: batches of ${group}, round ${round + 1} of ${options.rounds}`)
      const folder = makeFolder(options)
      const asked = {
        folder,
        seconds: options.seconds / 4,
        warmupSeconds: 0.5,
        valueBytes,
        group,
        rate: undefined,
      }
      runs.push(await storeAlone(folder, (worker) => worker.ask('run', asked)))
    }
    rows.push([
      String(group),
      whole(medianOf(runs, (run) => run.commitsPerSecond)),
      whole(medianOf(runs, (run) => run.perSecond)),
      fixed(
        medianOf(runs, (run) => run.commitMs.p50),
        2,
      ),
      fixed(
        medianOf(runs, (run) => run.commitMs.p99),
        2,
      ),
      fixed(
        medianOf(runs, (run) => run.cpu.totalUs / ((run.perSecond * options.seconds) / 4)),
        1,
      ),
    ])
  }
  progress('')
  printTable(
    `store: LevelDB alone, records of ${valueBytes} B, synced batches one after the other`,
    ['records a batch', 'commits/s', 'records/s', 'commit p50 ms', 'p99 ms', 'CPU µs/record'],
    rows,
  )
}
