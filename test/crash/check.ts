import { runPike } from '../support/pike-process.ts'

let isThere: Promise<boolean> | undefined

/**
 * What `pike check` says of a store nobody has open.
 * @returns undefined when it finds nothing; `not tried` where there is no such command.
 */
export async function storeIsSound(dataDir: string): Promise<string | undefined> {
  isThere ??= runPike(['--help']).then(({ stdout }) => /^\s+check\b/m.test(stdout))
  if (!(await isThere)) return 'not tried'
  const { code, stdout, stderr } = await runPike(['check', '--data-dir', dataDir])
  return code === 0 ? undefined : `ended with ${code}: ${`${stdout}${stderr}`.slice(0, 2_000)}`
}
