import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Names in the environment of whoever runs the tests must not steer what is tested. */
function cleanEnv(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const clean: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(process.env))
    if (!name.startsWith('PIKE_') && !name.startsWith('npm_') && name !== 'NODE_TEST_CONTEXT')
      clean[name] = value
  return { ...clean, ...env }
}

/** Every listener of a gateway at a free port, so that gateways under test do not meet. */
export const freePorts: Readonly<Record<string, string>> = {
  PIKE_API_PORT: '0',
  PIKE_TCP_PORT: '0',
  PIKE_MQTT_PORT: '0',
  PIKE_MQTT_WS_PORT: '0',
  PIKE_COAP_PORT: '0',
  PIKE_HTTP_PORT: '0',
}

let command: readonly string[] | undefined

/**
 * How to run `pike` here: the built one when it is newer than every source (it starts in a third of
 * the time), else the sources.
 */
export function pikeCommand(): readonly string[] {
  if (command === undefined) {
    const built = join(root, 'dist/cli/main.js')
    const fresh =
      (statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0) >
      Math.max(...['src', 'adapters', 'devices', 'cli'].map((name) => newestMs(join(root, name))))
    command = fresh ? [built] : ['--import', import.meta.resolve('tsx'), join(root, 'cli/main.ts')]
  }
  return command
}

function newestMs(folder: string): number {
  let newest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile())
      newest = Math.max(newest, statSync(join(entry.parentPath, entry.name)).mtimeMs)
  return newest
}

const children = new Set<ChildProcess>()
// A test that fails must leave nothing running.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Other protocols than Pike listen only where a test wants them to. */
const otherPorts = Object.fromEntries(
  ['MQTT', 'MQTTS', 'MQTT_WS', 'COAP', 'COAPS', 'HTTP', 'HTTPS'].map((name) => [
    `PIKE_${name}_PORT`,
    'off',
  ]),
)

/**
 * Starts `pike` with these arguments and nothing of our own environment's settings.
 * @param descriptors that it may have open; left out: as many as we.
 */
export function spawnPike(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  { descriptors, ...options }: SpawnOptions & { readonly descriptors?: number } = {},
): ChildProcess {
  const limit =
    descriptors === undefined ? [] : ['sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh']
  const [command, ...rest] = [...limit, process.execPath, ...pikeCommand(), ...args]
  const child = spawn(command!, rest, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    env: cleanEnv(args[0] === 'serve' ? { ...otherPorts, ...env } : env),
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `pike` to its end. */
export async function runPike(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const child = spawnPike(args, env)
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}
