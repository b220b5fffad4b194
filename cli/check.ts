import { resolve } from 'node:path'
import { Command } from 'commander'
import type { CheckReport, Code, Finding } from '../src/engine/level/check/index.ts'
import { Failure } from './failure.ts'
import { offlineFolder } from './offline.ts'
import { print, printJson, table } from './print.ts'
import { Progress } from './progress.ts'

interface Options {
  readonly dataDir?: string
  readonly copy?: string
  readonly json?: true
}

/** Of one code so many are printed; the rest is counted. */
const printedMax = 100

export const checkCommand = (): Command =>
  new Command('check')
    .summary('look for damage in the store of a data folder, while nothing runs on it')
    .description(
      'Looks at every record of a store, and at every file by its checksums. Changes nothing. Exit code 0: nothing was found; 1: something was, or it could not be looked at.',
    )
    .option('--data-dir <folder>', 'of the gateway (PIKE_DATA_DIR)')
    .option(
      '--copy <folder>',
      'look at a copy made there; needed only where the data folder cannot be written or knows no links',
    )
    .option(
      '--json',
      'for a script: a line {"code", "where", "detail"} for each finding, and a last one with "findings", "kinds"',
    )
    .addHelpText(
      'after',
      `
Examples:
  pike check --data-dir /var/lib/pike
  pike check --data-dir /var/lib/pike --json | jq -c 'select(.code)'

While a gateway runs: take a backup, restore it into another folder, and check that.`,
    )
    .action(async (options: Options) => {
      const { CheckRefused, checkStore, meanings } = await import(
        '../src/engine/level/check/index.ts'
      )
      const folder = offlineFolder(options.dataDir)
      const counts = new Map<Code, number>()
      const progress = new Progress('records')
      const found = (finding: Finding): void => {
        const count = (counts.get(finding.code) ?? 0) + 1
        counts.set(finding.code, count)
        if (options.json) printJson(finding)
        else if (count <= printedMax) print(lineOf(finding))
      }
      let report: CheckReport
      try {
        report = await checkStore({
          folder,
          ...(options.copy !== undefined && { copyTo: resolve(options.copy) }),
          found,
          progress: (records) => progress.add(records),
        })
      } catch (error) {
        progress.break()
        if (!(error instanceof CheckRefused)) throw error
        throw new Failure(`${error.message};\n      ${error.advice}`)
      }
      progress.end()
      if (options.json) printJson({ ...report, findings: Object.fromEntries(counts) })
      else say(report, counts, meanings)
      if (counts.size > 0) process.exitCode = 1
    })

const lineOf = ({ code, where, detail }: Finding): string =>
  `${code}  ${where}${detail === '' ? '' : `: ${detail}`}`

function say(
  report: CheckReport,
  counts: ReadonlyMap<Code, number>,
  meanings: Readonly<Record<Code, string>>,
): void {
  const { kinds, files, fileBytes, isWhole, upgradedFrom } = report
  const rows = kinds.map(({ kind, records, bytes }) => [kind, String(records), String(bytes)])
  if (counts.size > 0) print()
  print(table(['WHAT', 'RECORDS', 'BYTES'], [...rows, ['files', String(files), String(fileBytes)]]))
  print()
  if (upgradedFrom !== undefined) {
    print(`The store has format ${upgradedFrom}; this is what it will be after the next start.`)
  }
  if (!isWhole) print('Files are damaged, so the records were not looked at: there may be more.')
  if (counts.size === 0) {
    print('Nothing was found: every record is readable and true of the others.')
    return
  }
  const found = [...counts].sort(([, a], [, b]) => b - a)
  print(
    table(
      ['FOUND', 'TIMES', 'WHAT IT MEANS'],
      found.map(([code, count]) => [code, String(count), meanings[code]]),
    ),
  )
  print()
  print('Keep this folder as it is, and restore the newest backup that is good.')
}
