/** Asked for wrongly: said with what could be asked for. */
export class Wrong extends Error {}

const usageCode = 2

/**
 * Runs a command of the tests to its exit code. Ended from outside it still ends what it started.
 * @param main its exit code. Throws {@link Wrong}, or what `parseArgs` throws, when asked for wrongly.
 */
export async function runCommand(main: () => Promise<number>, usage: string): Promise<void> {
  process.on('SIGINT', () => process.exit(130))
  process.on('SIGTERM', () => process.exit(143))
  try {
    const code = await main()
    process.stdout.write('', () => process.exit(code))
  } catch (error) {
    if (!(error instanceof Wrong) && !(error as { code?: string }).code?.startsWith('ERR_PARSE'))
      throw error
    console.error(`${(error as Error).message}\n\n${usage}`)
    process.exitCode = usageCode
  }
}
