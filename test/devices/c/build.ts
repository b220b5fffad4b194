import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../..', import.meta.url))
export const source = path.join(root, 'devices/c')

/** What firmware is built with; a warning is an error. */
export const warnings = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror']
/** What would read or write beside its memory, or overflow, ends the process. */
export const sanitized = ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all']

let folder: string | undefined

/** A folder for this process, removed when it ends. */
export function outDir(): string {
  if (folder === undefined) {
    const made = mkdtempSync(path.join(tmpdir(), 'pike-c-'))
    process.on('exit', () => rmSync(made, { recursive: true, force: true }))
    folder = made
  }
  return folder
}

/** Compiles with gcc and says where the result is; throws with what gcc said. */
export function compile(name: string, args: readonly string[]): string {
  const out = path.join(outDir(), name)
  execFileSync('gcc', [...args, '-I', source, '-o', out], { stdio: ['ignore', 'pipe', 'pipe'] })
  return out
}

/** `size`'s octets of code (with constants) and of memory. */
export function sizeOf(object: string): { code: number; memory: number } {
  const table = execFileSync('size', [object], { encoding: 'utf8' })
  const [text, data, bss] = table.split('\n')[1]!.trim().split(/\s+/).map(Number)
  return { code: text!, memory: data! + bss! }
}

/** One of the programs beside this file, built once under the sanitizers: what it printed, line by line. */
export function run(name: string, args: readonly string[] = [], input = ''): string[] {
  const program = path.join(outDir(), name)
  const file = path.join(root, 'test/devices/c', `${name}.c`)
  if (!existsSync(program))
    compile(name, ['-std=c99', '-Wall', '-Wextra', '-Werror', ...sanitized, file])
  const ran = spawnSync(program, args, {
    input,
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 1 << 26,
  })
  assert.equal(ran.status, 0, `${ran.stderr}\n${ran.stdout.slice(-2_000)}`)
  return ran.stdout.split('\n').slice(0, -1)
}

/** Runs pike.h on lines: see wire.c. */
export const wire = (...lines: readonly string[]): string[] =>
  run('wire', [], `${lines.join('\n')}\n`)
