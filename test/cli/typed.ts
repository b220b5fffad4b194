import assert from 'node:assert/strict'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { type Ran, runPike } from '../support/pike-process.ts'

/** What a person types, at a gateway. */
export interface Typed {
  run(...args: readonly string[]): Promise<Ran>
  /** Ends well; resolves with what it printed. */
  ok(...args: readonly string[]): Promise<string>
  /** The same with --json, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever JSON came.
  json(...args: readonly string[]): Promise<any>
  /** Exit code 1, one line or two that say this, and nothing on standard output. */
  fails(says: RegExp, ...args: readonly string[]): Promise<void>
}

export function typedAt({ url, dataDir }: Pick<GatewayProcess, 'url' | 'dataDir'>): Typed {
  const run = (...args: readonly string[]) =>
    runPike(args, { PIKE_API_URL: url, PIKE_DATA_DIR: dataDir })
  const ok = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await run(...args)
    assert.equal(code, 0, `pike ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout
  }
  return {
    run,
    ok,
    json: async (...args) => JSON.parse(await ok(...args, '--json')),
    async fails(says, ...args) {
      const { code, stdout, stderr } = await run(...args)
      assert.equal(code, 1, `pike ${args.join(' ')}\n${stdout}${stderr}`)
      assert.match(stderr, says)
      assert.doesNotMatch(stderr, /\n +at /)
    },
  }
}
