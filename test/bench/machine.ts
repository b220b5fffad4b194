import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'

/** What a process has used so far. */
export interface Cpu {
  readonly atMs: number
  /** All threads, µs. */
  readonly totalUs: number
  /** The thread that runs JavaScript, µs. */
  readonly mainUs: number
}

/** What it used between two looks. */
export interface CpuUse {
  /** Of one core; several threads can use more than 100. */
  readonly percent: number
  readonly totalUs: number
  readonly mainUs: number
}

/** Linux counts in hundredths of a second. Source: proc(5), sysconf(_SC_CLK_TCK). */
const tickUs = 10_000

/** @param of one process, or several that do the work together. */
export function cpuOf(of: Pids): Cpu {
  const pids = typeof of === 'number' ? [of] : of
  const ticks = (file: (pid: number) => string): number =>
    pids.reduce((sum, pid) => sum + ticksOf(file(pid)), 0)
  return {
    atMs: performance.now(),
    totalUs: ticks((pid) => `/proc/${pid}/stat`) * tickUs,
    mainUs: ticks((pid) => `/proc/${pid}/task/${pid}/stat`) * tickUs,
  }
}

export type Pids = number | readonly number[]

/** The clock that every process of a machine shares, µs; a profile is in its terms. */
export const sharedUs = (): number => Number(process.hrtime.bigint() / 1000n)

export const cpuBetween = (from: Cpu, to: Cpu): CpuUse => ({
  percent: (to.totalUs - from.totalUs) / 10 / (to.atMs - from.atMs),
  totalUs: to.totalUs - from.totalUs,
  mainUs: to.mainUs - from.mainUs,
})

function ticksOf(file: string): number {
  try {
    // The name in parentheses may hold blanks; utime and stime are the 14th and 15th field.
    const text = readFileSync(file, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(fields[11]) + Number(fields[12])
  } catch {
    return Number.NaN
  }
}

/** Resident memory, bytes; NaN where the system does not say. 'RssAnon': without the files it has mapped. */
export function rssOf(pid: number, which: 'VmRSS' | 'RssAnon' = 'VmRSS'): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(new RegExp(`^${which}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024
  } catch {
    return Number.NaN
  }
}

/** For a Node process that is to collect its garbage when it is told to by {@link collectGarbage}. */
export const collectableArgs = [
  '--expose-gc',
  '--import',
  'data:text/javascript,process.on("SIGUSR2",()=>globalThis.gc())',
] as const

/** The same by the environment, for one that is started by a command of its own. */
export const collectableEnv = {
  NODE_OPTIONS:
    "--import=data:text/javascript,import{setFlagsFromString}from'node:v8';import{runInNewContext}from'node:vm';setFlagsFromString('--expose-gc');let%20gc=runInNewContext('gc');process.on('SIGUSR2',()=>gc())",
} as const

/** Now, not some time after it has fallen silent. @param pid of one started with {@link collectableArgs} or {@link collectableEnv}. */
export async function collectGarbage(pid: number): Promise<void> {
  for (let i = 0; i < 3; i++) {
    process.kill(pid, 'SIGUSR2')
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
}

/** Descriptors a process of ours may have open. */
export function descriptorsMax(): number {
  try {
    const text = readFileSync('/proc/self/limits', 'latin1')
    return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? 1_024)
  } catch {
    return 1_024
  }
}

const pinnable = (() => {
  try {
    execFileSync('taskset', ['-c', '0,1', 'true'], { stdio: 'ignore' })
    return availableParallelism() >= 2
  } catch {
    return false
  }
})()

export const cores = { server: 0, load: 1 } as const

/** The command line that runs a program on one core, with all its threads; unpinned where we cannot. */
export const pinned = (core: number, program: string): readonly [string, ...string[]] =>
  pinnable ? ['taskset', '-c', String(core), program] : [program]

export const pinnedNode = (core: number): readonly [string, ...string[]] =>
  pinned(core, process.execPath)

/** Above it the figures are not the program's alone. */
const busyLoad = 0.7

export function describeMachine(): string {
  const pinning = pinnable
    ? `servers pinned to core ${cores.server}, load to core ${cores.load}, the same for both sides`
    : 'nothing pinned (no taskset, or one core): servers and load share cores'
  const load = loadavg()[0]!
  const busy =
    load > busyLoad
      ? '\nOthers are at work here: rates and times are worse than they could be; ratios, above all those by CPU, hold better.'
      : ''
  return `Node ${process.versions.node}, ${availableParallelism()} cores, ${pinning}; load average before: ${load.toFixed(1)}${busy}`
}
