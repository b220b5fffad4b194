import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

/**
 * Who may import whom: the picture in docs/architecture.md, kept true.
 *
 * The first place that holds a file is its home. A home may import itself and the places named.
 */
const homes: readonly (readonly [home: string, may: readonly string[]])[] = [
  ['src/contract', []],
  ['src/secrets', ['src/contract']],
  ['src/channel', ['src/contract']],
  ['src/hub', ['src/contract', 'src/channel']],
  ['src/engine/memory', ['src/contract']],
  ['src/engine/level', ['src/contract']],
  ['src/listen', ['src/contract']],
  ['src/webhooks', ['src/contract', 'src/secrets']],
  ['src/api', ['src/contract', 'src/secrets', 'src/listen']],
  ['src/node', ['src/contract', 'src/hub']],
  ['src/backend', ['src/contract', 'src/secrets', 'src/api']],
  ['adapters/pike', ['src/contract', 'src/secrets', 'src/listen']],
  ['adapters/mqtt', ['src/contract', 'src/secrets', 'src/listen']],
  ['adapters/coap', ['src/contract', 'src/secrets', 'src/listen']],
  ['adapters/http', ['src/contract', 'src/secrets', 'src/listen']],
  ['devices', ['src/contract', 'src/secrets', 'adapters/pike/codec.ts', 'adapters/pike/frames.ts']],
  ['cli', ['src', 'adapters', 'devices']],
]

/** What the core may take from outside: the platform's pure parts. No protocol, no socket, no driver. */
const coreMay = new Set(['node:crypto'])
const core = ['src/contract', 'src/channel', 'src/hub']

const root = path.join(import.meta.dirname, '..')
const inside = (file: string, place: string) => file === place || file.startsWith(`${place}/`)

function sources(folder: string): string[] {
  if (!existsSync(path.join(root, folder))) return []
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => path.posix.join(folder, name))
}

const files = ['src', 'adapters', 'devices', 'cli'].flatMap(sources)

function importsOf(file: string): { own: string[]; foreign: string[] } {
  const text = readFileSync(path.join(root, file), 'utf8')
  const named = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!)
  const own = named
    .filter((name) => name.startsWith('.'))
    .map((name) => path.posix.join(path.posix.dirname(file), name))
  return { own, foreign: named.filter((name) => !name.startsWith('.')) }
}

test('every import follows the picture in docs/architecture.md', () => {
  assert.ok(files.length > 50, 'found no sources: this test would prove nothing')
  for (const file of files) {
    const home = homes.find(([place]) => inside(file, place))
    assert.ok(home, `${file} has no home in the picture`)
    for (const to of importsOf(file).own) {
      const allowed = [home[0], ...home[1]].some((place) => inside(to, place))
      assert.ok(allowed, `${file} imports ${to}`)
    }
  }
})

test('every import names a file that is there', () => {
  for (const file of files) {
    for (const to of importsOf(file).own) {
      assert.ok(existsSync(path.join(root, to)), `${file} imports ${to}`)
    }
  }
})

test('the core holds no protocol, no socket and no clock', () => {
  for (const file of files.filter((one) => core.some((place) => inside(one, place)))) {
    for (const name of importsOf(file).foreign) {
      assert.ok(coreMay.has(name), `${file} imports ${name}`)
    }
    const text = readFileSync(path.join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    assert.doesNotMatch(text, /\bDate\.now|performance\.now|setTimeout|setInterval/, file)
  }
})

test('the client brings no server code', () => {
  for (const file of sources('src/backend')) {
    const text = readFileSync(path.join(root, file), 'utf8')
    for (const [statement] of text.matchAll(/^(?:import|export)\s[^;]*?from\s+'[^']+'/gms)) {
      if (/'\.\.\/(?:api|contract)\//.test(statement))
        assert.match(statement, /^(?:import|export) type\b/, `${file}: ${statement}`)
      assert.doesNotMatch(statement, /^(?!import type)[^']*'(?!node:|\.)/s, `${file}: ${statement}`)
    }
  }
})

/**
 * What a file needs of others when it runs: imports and exports of more than types, by name. A statement
 * ends with its name, so that none can be taken for the beginning of the next.
 */
function neededBy(text: string): string[] {
  const statements =
    /^(?:import|export)\s+(type\b(?!\s*(?:,|from\b)))?(?:[^';=()]*?\bfrom\s+)?'([^']+)'/gm
  return [...text.matchAll(statements)]
    .filter(([, type]) => type === undefined)
    .map(([, , name]) => name!)
}

test('what a file needs when it runs is read from its statements, one by one', () => {
  for (const [text, needed] of [
    ["import { a } from 'node:fs'\nimport type { B } from './b.ts'\n", ['node:fs']],
    ["import type { B } from './b.ts'\nimport { c } from './c.ts'\n", ['./c.ts']],
    ["import './effects.ts'\nimport type { B } from './b.ts'", ['./effects.ts']],
    ["import {\n  a,\n  type B,\n} from './a.ts'\n", ['./a.ts']],
    ["import a, { b } from './a.ts'\nexport * from './c.ts'", ['./a.ts', './c.ts']],
    ["export type { A } from './a.ts'\nexport type * from './b.ts'", []],
    ["export { a } from './a.ts'\nexport type B = 'x'\nexport const c = 'y'", ['./a.ts']],
    ["import type from './a.ts'", ['./a.ts']],
  ] as const) {
    assert.deepEqual(neededBy(text), needed, text)
  }
})

test('no import leads back to where it came from, save for types', () => {
  const edges = new Map<string, string[]>()
  for (const file of files) {
    const text = readFileSync(path.join(root, file), 'utf8')
    const values = neededBy(text)
      .filter((name) => name.startsWith('.'))
      .map((name) => path.posix.join(path.posix.dirname(file), name))
    edges.set(file, values)
  }
  const done = new Set<string>()
  const walk = (file: string, way: string[]): void => {
    assert.ok(!way.includes(file), `a circle: ${[...way, file].join(' → ')}`)
    if (done.has(file)) return
    for (const to of edges.get(file) ?? []) walk(to, [...way, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
})
