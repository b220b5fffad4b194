import { execFile } from 'node:child_process'

export interface Ran {
  readonly code: number
  readonly output: string
}

/** One line of a page, as a person would type it. */
export const run = (line: string, env: Record<string, string>): Promise<Ran> =>
  new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 30_000 }
    execFile('bash', ['-euc', line], options, (error, out, err) =>
      resolve({ code: error === null ? 0 : 1, output: out + err }),
    )
  })
