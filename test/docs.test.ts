import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { httpBounds } from '../adapters/http/bounds.ts'
import { apiBounds } from '../src/api/bounds.ts'
import { limits } from '../src/contract/index.ts'
import { webhookBounds } from '../src/webhooks/index.ts'

const root = path.join(import.meta.dirname, '..')
const page = (name: string) => readFileSync(path.join(root, name), 'utf8')
const pages = [
  'README.md',
  ...readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join('docs', name)),
]

test('docs/limits.md names every limit with its default', () => {
  const text = page('docs/limits.md')
  const all = [limits, apiBounds, webhookBounds, httpBounds]
  for (const [name, value] of all.flatMap((bounds) => Object.entries<number>(bounds))) {
    assert.ok(text.includes(`| \`${name}\` | ${value.toLocaleString('en-US')} |`), name)
  }
})

test('docs/dependencies.md gives a reason for every dependency, and for no other', () => {
  const { dependencies, devDependencies } = JSON.parse(page('package.json'))
  const named = [...page('docs/dependencies.md').matchAll(/^\| `([^`]+)` \|/gm)].map(
    (row) => row[1]!,
  )
  assert.deepEqual(named.sort(), Object.keys({ ...dependencies, ...devDependencies }).sort())
})

test('every page a page links to is there', () => {
  for (const name of pages) {
    for (const [, target] of page(name).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      const to = path.join(root, path.dirname(name), target!)
      assert.doesNotThrow(() => readdirOrRead(to), `${name} links to ${target}`)
    }
  }
})

test('the project speaks only of itself', () => {
  for (const name of pages) {
    assert.doesNotMatch(page(name), /\.\.\/shared|\/work\//, name)
  }
})

function readdirOrRead(file: string): void {
  try {
    readFileSync(file)
  } catch {
    readdirSync(file)
  }
}
