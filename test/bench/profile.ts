import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, ourSide, removeFolder, warmUp } from './bench.ts'
import { fixed, printTable, whole } from './figures.ts'
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

/**
 * Where the gateway's main thread spends the commands part. Samples are of the wall clock, in which
 * others may use the core; so shares are what counts, and µs are shares of the thread's CPU time.
 */
export async function profilePart(options: Options): Promise<void> {
  const folder = makeFolder(options)
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${everyUs}`]
  const ours = await ourSide(options, { backEnds: options.connections, nodeArgs })
  const { seconds } = options
  await warmUp([ours])
  const run = await ours.load.ask('commands', {
    seconds,
    warmupSeconds,
    rate: undefined,
    serverPid: ours.pid,
  })
  await ours.stop()
  const file = readdirSync(folder).find((name) => name.endsWith('.cpuprofile'))
  if (file === undefined) throw new Error('the gateway left no profile')
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile
  removeFolder(folder)
  console.log(
    `\nprofiled: ${whole(run.perSecond)} commands/s, ${fixed(run.server.totalUs / run.done, 1)} µs CPU a command, main thread ${fixed(run.server.mainUs / run.done, 1)} (the profiler costs some of it)`,
  )
  print(profile, run.window, run.server.mainUs / run.done)
}

function print(
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
  show('profile: self time by place', groups, 40)
  show('profile: self time by function', self, listed)
  show('profile: our functions with all they call (they hold one another)', total, listed)
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
