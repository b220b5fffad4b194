import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const root = path.join(import.meta.dirname, '..')

/** What `npm publish` would send, but for what is built. */
async function packed(): Promise<readonly string[]> {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline']
  const options = { cwd: root, maxBuffer: 16 * 1_048_576 }
  const { stdout } = await promisify(execFile)('npm', args, options)
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
  return files.map((file) => file.path)
}

test('the package has what its pages lead to: the clients to copy, the vectors, the examples', async () => {
  const files = await packed()
  for (const name of [
    ...['devices/c/pike.h', 'devices/c/sha256.h', 'devices/c/locker.c', 'devices/c/README.md'],
    ...['devices/python/pike.py', 'devices/README.md', 'docs/pike-protocol.md', 'LICENSE'],
  ]) {
    assert.ok(files.includes(name), `${name} is missing`)
  }
  for (const page of files.filter((name) => name.endsWith('.md'))) {
    const text = readFileSync(path.join(root, page), 'utf8')
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      const to = path.posix.join(path.posix.dirname(page), target!)
      const is = files.some((name) => name === to || name.startsWith(`${to}/`))
      assert.ok(is, `${page} leads to ${to}, which is not in the package`)
    }
  }
  const stray = files.filter((name) => /^(?:src|test\/(?!vectors\/)|cli)\//.test(name))
  assert.deepEqual(stray, [], 'sources are built into dist')
})
