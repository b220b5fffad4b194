import { resolve } from 'node:path'
import { Command } from 'commander'
import { Failure } from './failure.ts'
import { offlineFolder } from './offline.ts'
import { print, printJson } from './print.ts'
import { Progress } from './progress.ts'

interface Options {
  readonly dataDir?: string
  readonly force?: true
  readonly json?: true
}

const mebibyte = 1_048_576

export const restoreCommand = (): Command =>
  new Command('restore')
    .summary('make the store of a data folder from a backup, while nothing runs on it')
    .description(
      'Verifies the whole backup, writes a new store beside, and puts it in place when all of it is durable. What is cut leaves nothing that starts; the same again finishes it.',
    )
    .argument('<file>', 'what "pike backup" wrote')
    .option('--data-dir <folder>', 'of the gateway that shall start from it (PIKE_DATA_DIR)')
    .option('--force', 'where there is a store already: it is put aside, not removed')
    .option('--json', 'for a script: {"dataDir", "records", "taken", "aside"}')
    .addHelpText(
      'after',
      `
Examples:
  pike restore pike-2026-11-21.backup --data-dir /var/lib/pike
  pike restore latest.backup --data-dir /var/lib/pike --force

The gateway then starts as after a crash at the moment the backup was taken: commands that have
ended since may be handed over again, and those accepted since are not there.`,
    )
    .action(async (name: string, options: Options) => {
      const { BackupRefused, RestoreRefused, restoreStore } = await import(
        '../src/engine/level/index.ts'
      )
      const folder = offlineFolder(options.dataDir)
      const lines = new Map<string, Progress>()
      const line = (what: string, ofBytes: number): Progress => {
        let one = lines.get(what)
        if (one === undefined) {
          for (const before of lines.values()) before.end()
          const title = what === 'verified' ? 'MiB verified' : 'MiB restored'
          one = new Progress(title, ofBytes, (bytes) => (bytes / mebibyte).toFixed(1))
          lines.set(what, one)
        }
        return one
      }
      try {
        const { head, records, aside } = await restoreStore({
          file: resolve(name),
          folder,
          force: options.force === true,
          progress: (bytes, ofBytes, what) => line(what, ofBytes).add(bytes),
        })
        lines.get('restored')?.end()
        const taken = new Date(head.takenAtMs).toISOString()
        if (options.json) {
          printJson({ dataDir: folder, records, taken, aside: aside ?? null })
          return
        }
        print(`${folder}  ${records} records, as of ${taken}`)
        if (aside !== undefined) print(`The store that was there: ${aside}`)
        print(
          'API keys are as they were then; the file api-key, a copy of the first, is in no backup.',
        )
      } catch (error) {
        for (const one of lines.values()) one.break()
        if (error instanceof BackupRefused || error instanceof RestoreRefused)
          throw new Failure(`${error.message};\n      ${error.advice}`)
        throw failureOf(error, name)
      }
    })

function failureOf(error: unknown, name: string): unknown {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException
  if (code === 'ENOENT' && path === resolve(name)) return new Failure(`there is no file ${name}`)
  if (code !== undefined && path !== undefined) {
    return new Failure(`${path} cannot be read or written (${code})`)
  }
  return error
}
