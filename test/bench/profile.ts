import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, ourSide, removeFolder, warmUp } from './bench.ts'
import { fixed, printTable, whole } from './figures.ts'
import { absentRound, connections as lineConnections } from './lines.ts'
import type { CpuUse } from './machine.ts'
import type { Options } from './options.ts'

const warmupSeconds = 2
const everyUs = 200
const listed = 45

/** Source: the .cpuprofile format, `Profiler.Profile` of the Chrome DevTools protocol. */
interface CpuProfile {
  readonly startTime: number
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: {
      readonly functionName: string
      readonly url: string
      readonly lineNumber: number
    }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** What can be profiled: saturated, so that all of it is busy. */
type Profiled = 'commands' | 'lines' | 'absent'

/** Part of a profiled run. */
interface Stretch {
  readonly name: string
  readonly perSecond: number
  readonly count: number
  readonly server: CpuUse
  /** When, as `performance.timeOrigin + performance.now()`, in µs of the system's monotonic clock. */
  readonly window: readonly [number, number]
}

/**
 * Where the gateway's main thread spends its time. Samples are of the wall clock, in which
 * others may use the core; so shares are what counts, and µs are shares of the thread's CPU time.
 */
export async function profilePart(options: Options): Promise<void> {
  const wanted = (['commands', 'lines', 'absent'] as const).filter((part) =>
    options.only.includes(part),
  )
  // Without --only: the commands part.
  for (const part of wanted.length === 3 ? (['commands'] as const) : wanted) {
    await profileOf(part, options)
  }
}

async function profileOf(part: Profiled, options: Options): Promise<void> {
  const folder = makeFolder(options)
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${everyUs}`]
  const stretches =
    part === 'absent'
      ? await runAbsent(options, nodeArgs)
      : await runConnected(part, options, nodeArgs)
  const file = readdirSync(folder).find((name) => name.endsWith('.cpuprofile'))
  if (file === undefined) throw new Error('the gateway left no profile')
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile
  removeFolder(folder)
  for (const { name, perSecond, count, server, window } of stretches) {
    console.log(
      `\nprofiled: ${name}, ${whole(perSecond)} commands/s, ${fixed(server.totalUs / count, 1)} µs CPU a command, main thread ${fixed(server.mainUs / count, 1)} (the profiler costs some of it)`,
    )
    print(name, profile, window, server.mainUs / count)
  }
}

async function runConnected(
  part: 'commands' | 'lines',
  options: Options,
  nodeArgs: readonly string[],
): Promise<Stretch[]> {
  const { seconds, devices } = options
  const backEnds = part === 'commands' ? options.connections : 0
  const ours = await ourSide(options, { backEnds, nodeArgs })
  const asked = { seconds, warmupSeconds, serverPid: ours.pid }
  if (part === 'commands') {
    await warmUp([ours])
    const run = await ours.load.ask('commands', { ...asked, rate: undefined })
    await ours.stop()
    return [{ ...run, name: part, count: run.done }]
  }
  const { ports, key } = ours.gateway
  const lines = { port: ports.api, key, devices, connections: lineConnections }
  const run = await ours.load.ask('lines', { ...asked, ...lines })
  await ours.stop()
  return [{ ...run, name: part, count: run.done }]
}

/** A fresh gateway: the first thousands of commands are of code that is not compiled yet. */
async function runAbsent(options: Options, nodeArgs: readonly string[]): Promise<Stretch[]> {
  const { stored, drained } = await absentRound(options, nodeArgs)
  return [
    { ...stored, name: 'stored', count: stored.done },
    { ...drained, name: 'drained', count: drained.received },
  ]
}

function print(
  what: string,
  profile: CpuProfile,
  [fromUs, toUs]: readonly [number, number],
  mainUs: number,
): void {
  const parents = new Map<number, number>()
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  for (const { id, children } of profile.nodes)
    for (const child of children ?? []) parents.set(child, id)
  /** `file:function`; native code is told apart by who called it. */
  const name = (id: number): string => {
    const { functionName, url, lineNumber } = nodes.get(id)!.callFrame
    if (url !== '') return `${short(url)}:${functionName || `line ${lineNumber + 1}`}`
    if (functionName.startsWith('(')) return functionName
    const parent = parents.get(id)
    return `native ${functionName} < ${parent === undefined ? '' : name(parent)}`
  }
  const groupOf = (id: number): string => {
    const { functionName, url } = nodes.get(id)!.callFrame
    if (url !== '') return group(short(url))
    if (functionName.startsWith('(')) return functionName
    const parent = parents.get(id)
    return parent === undefined
      ? functionName
      : `native code called by ${groupOf(parent).replace(/^native code called by /, '')}`
  }

  const selfUs = new Map<number, number>()
  let atUs = profile.startTime
  let busyUs = 0
  for (const [index, id] of profile.samples.entries()) {
    atUs += profile.timeDeltas[index]!
    if (atUs < fromUs || atUs > toUs) continue
    const us = profile.timeDeltas[index + 1] ?? 0
    selfUs.set(id, (selfUs.get(id) ?? 0) + us)
    if (nodes.get(id)!.callFrame.functionName !== '(idle)') busyUs += us
  }
  const self = new Map<string, number>()
  const groups = new Map<string, number>()
  const total = new Map<string, number>()
  for (const [id, us] of selfUs) {
    if (nodes.get(id)!.callFrame.functionName === '(idle)') continue
    add(self, name(id), us)
    add(groups, groupOf(id), us)
    const seen = new Set<string>()
    for (let up: number | undefined = id; up !== undefined; up = parents.get(up)) seen.add(name(up))
    for (const one of seen) if (/^(src|adapters)\//.test(one)) add(total, one, us)
  }
  const show = (title: string, sums: Map<string, number>, max: number): void => {
    const sorted = [...sums].sort((a, b) => b[1] - a[1]).slice(0, max)
    printTable(
      title,
      ['where', '% of busy', 'µs/command'],
      sorted.map(([where, us]) => [
        where,
        fixed((us * 100) / busyUs, 1),
        fixed((us * mainUs) / busyUs, 2),
      ]),
    )
  }
  show(`profile, ${what}: self time by place`, groups, 40)
  show(`profile, ${what}: self time by function`, self, listed)
  show(`profile, ${what}: our functions with all they call (they hold one another)`, total, listed)
}

const add = (sums: Map<string, number>, name: string, us: number): void => {
  sums.set(name, (sums.get(name) ?? 0) + us)
}

/** `file:///…/dist/src/hub/hub.js` -> `src/hub/hub`; `…/node_modules/x/lib/y.js` -> `x/lib/y.js` */
function short(url: string): string {
  const foreign = url.lastIndexOf('/node_modules/')
  if (foreign >= 0) return `npm ${url.slice(foreign + '/node_modules/'.length)}`
  return url
    .replace(/^file:\/\/.*?\/(?:dist\/)?(?=src\/|adapters\/|cli\/|devices\/)/, '')
    .replace(/\.[jt]s$/, '')
}

function group(file: string): string {
  if (file.startsWith('npm ')) return file.split('/', file.startsWith('npm @') ? 2 : 1).join('/')
  if (/^node:(_http|internal\/http)/.test(file)) return 'node http'
  if (/^node:(net|internal\/(stream|js_stream|streams))/.test(file)) return 'node net and streams'
  if (file.startsWith('node:')) return 'node, other'
  return file
    .split('/')
    .slice(0, file.startsWith('src/engine') ? 3 : 2)
    .join('/')
}
