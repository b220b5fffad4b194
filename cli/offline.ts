import { resolve } from 'node:path'
import { Failure } from './failure.ts'

/** The data folder that a command works on by itself, without a gateway. */
export function offlineFolder(named: string | undefined): string {
  const folder = named ?? process.env.PIKE_DATA_DIR
  if (folder === undefined || folder === '') {
    throw new Failure('name the data folder: --data-dir <folder>, or PIKE_DATA_DIR')
  }
  return resolve(folder)
}
