import { existsSync } from 'node:fs'
import { link, open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Command } from 'commander'
import { type ApiOptions, connect, withApi } from './api-client.ts'
import { Failure } from './failure.ts'
import { print, printJson } from './print.ts'
import { Progress } from './progress.ts'

interface Options extends ApiOptions {
  readonly force?: true
  readonly json?: true
}

const mebibyte = 1_048_576

export const backupCommand = (): Command =>
  withApi(new Command('backup'))
    .summary('copy everything that is kept into a file, while the gateway runs')
    .description(
      "Writes a backup of the whole store, as of one moment, while the gateway goes on. The file is whole or not there: it gets its name last. Needs an administrator's key. It holds what is needed to check secrets and keys: keep it like them.",
    )
    .argument('<file>', 'where to')
    .option('--force', 'over a file that is there already')
    .option('--json', 'for a script: {"file", "bytes"}')
    .addHelpText(
      'after',
      `
Examples:
  pike backup pike-$(date +%F).backup
  pike backup latest.backup --force`,
    )
    .action(async (name: string, options: Options) => {
      const file = resolve(name)
      if (existsSync(file) && !options.force)
        throw new Failure(`${name} is there already; name another, or give --force`)
      const pike = connect(options)
      const part = `${file}.${process.pid}.part`
      const progress = new Progress('MiB', undefined, (count) => (count / mebibyte).toFixed(1))
      let bytes = 0
      try {
        const out = await open(part, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
          throw new Failure(
            error.code === 'ENOENT'
              ? `there is no folder ${dirname(file)}; make it first`
              : `${part} cannot be written (${error.code})`,
          )
        })
        try {
          for await (const chunk of pike.backup()) {
            await out.writeFile(chunk)
            bytes += chunk.length
            progress.add(chunk.length)
          }
          await out.sync()
        } finally {
          await out.close()
        }
        await named(part, file, name, options.force === true)
      } catch (error) {
        progress.break()
        await rm(part, { force: true })
        throw error
      }
      progress.end()
      if (options.json) printJson({ file, bytes })
      else print(`${name}  ${bytes} bytes`)
    })

/** From here on it is there, also after a power cut. Without force never over another's file. */
async function named(part: string, file: string, name: string, force: boolean): Promise<void> {
  if (force) await rename(part, file)
  else {
    try {
      await link(part, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST')
        throw new Failure(`${name} came to be there meanwhile; name another, or give --force`)
      // Some file systems know no links; nobody took the name when we looked.
      await rename(part, file)
    }
    await rm(part, { force: true })
  }
  const folder = await open(dirname(file), 'r')
  await folder.sync().finally(() => folder.close())
}
