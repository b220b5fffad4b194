import { readdirSync } from 'node:fs'
import path from 'node:path'
import { run } from 'node:test'
import { spec as Spec } from 'node:test/reporters'

/**
 * Runs every test file, or those whose path contains one of the words given:
 *
 *     npm test               all
 *     npm test -- pike hub   those with `pike` or `hub` in their path
 *
 * Node 20's own runner takes no patterns, hence this.
 */
const words = process.argv.slice(2)
const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => words.length === 0 || words.some((word) => name.includes(word)))
  .map((name) => path.join(import.meta.dirname, name))
  .sort()

if (files.length === 0) {
  process.stderr.write(`no test file has ${words.join(' or ')} in its path\n`)
  process.exitCode = 1
} else {
  const tests = run({ files, concurrency: 2, timeout: 300_000 })
  tests.on('test:fail', () => {
    process.exitCode = 1
  })
  tests.compose(new Spec()).pipe(process.stdout)
}
