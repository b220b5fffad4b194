import { execFile } from 'node:child_process'

export interface Ran {
  readonly code: number
  readonly output: string
}

/** One line of a page, as a person would type it. */
export const run = (line: string, env: Record<string, string>): Promise<Ran> =>
  new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 30_000 }
    execFile('bash', ['--norc', '-euc', line], options, (error, out, err) =>
      resolve({ code: error === null ? 0 : 1, output: out + err }),
    )
  })

/**
 * The lines of a page's ```sh blocks from a heading on, until the next of its rank. Blocks with
 * another word behind `sh` (`gateway`, `settings`) are for a person: they say what tests set.
 */
export function linesUnder(page: string, heading: string): readonly string[] {
  const from = page.indexOf(`\n${heading}\n`) + 1
  const rank = heading.slice(0, heading.indexOf(' ') + 1)
  const end = page.indexOf(`\n${rank}`, from)
  const section = page.slice(from, end < 0 ? undefined : end)
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) =>
    block!.trim().split('\n'),
  )
}
