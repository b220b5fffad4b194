import { Bystanders, type Fared, worstFared } from '../fuzz/bystanders/index.ts'
import { Gateway, type ListenerName } from '../fuzz/gateway.ts'
import { attacks } from './attacks.ts'
import { type Attack, Stage, sleep } from './stage.ts'

export interface RunOptions {
  readonly listeners: readonly ListenerName[]
  /** Attacks whose name has one of these words; none: all. */
  readonly words: readonly string[]
  /** The honest may wait so long, or four times what they wait in calm. */
  readonly lateMs: number
  readonly calmMs: number
  readonly progress: (text: string) => void
}

export interface Row {
  readonly attack: string
  readonly happened: readonly string[]
  readonly seconds: number
  readonly medianMs: number
  readonly worstMs: number
  /** Of the worst in calm. */
  readonly ratio: number
  readonly heapBytes: readonly [before: number, during: number, after: number]
}

export interface RunResult {
  readonly rows: readonly Row[]
  readonly calmWorstMs: number
  readonly findings: readonly string[]
}

/** While the attackers hold what they can, and after they went. */
const grownMaxBytes = 16 * 1_048_576
/** So often that none of what an attack does falls between two. */
const everyMs = 100
const lateTimes = 4
const settleMs = 1_500
const madDevices = 64

export const chosen = ({ listeners, words }: RunOptions): readonly Attack[] =>
  attacks.filter(
    (attack) =>
      attack.listeners.some((one) => listeners.includes(one)) &&
      (words.length === 0 || words.some((word) => attack.name.includes(word))),
  )

export async function run(options: RunOptions): Promise<RunResult> {
  const findings: string[] = []
  const rows: Row[] = []
  const gateway = await Gateway.start()
  let calmWorstMs = Number.NaN
  let bystanders: Bystanders | undefined
  try {
    await gateway.api('PUT', '/v1/apps/mad', {})
    const key = await gateway.makeApp('mad')
    await gateway.register('mad', madDevices, key)
    bystanders = await Bystanders.start(gateway, everyMs)
    await sleep(options.calmMs)
    calmWorstMs = worstOf(await bystanders.rest())
    for (const attack of chosen(options)) {
      if (gateway.ended !== undefined) break
      const row = await play(attack, options, gateway, key, bystanders, calmWorstMs, findings)
      rows.push(row)
      options.progress(`${attack.name}: ${row.happened.join('; ')}`)
    }
    await bystanders.stop()
    for (const harm of bystanders.harms.slice(0, 10))
      findings.push(`an honest device was harmed: ${harm}`)
  } finally {
    bystanders?.end()
    await gateway.stop()
    findings.push(...gateway.complaints)
  }
  return { rows, calmWorstMs, findings }
}

async function play(
  attack: Attack,
  { listeners, lateMs }: RunOptions,
  gateway: Gateway,
  key: string,
  bystanders: Bystanders,
  calmWorstMs: number,
  findings: string[],
): Promise<Row> {
  // Nobody honest waits while memory is looked at: that collects the heap, three times.
  const before = (await gateway.memory()).heapBytes
  await bystanders.go()
  await sleep(everyMs)
  const harmedBefore = bystanders.harms.length
  const startMs = performance.now()
  const stages = attack.listeners
    .filter((one) => listeners.includes(one))
    .map((listener) => new Stage(gateway, listener, key))
  const happened: string[] = []
  const runOn = async (stage: Stage): Promise<void> => {
    happened.push(`${stage.listener} ${await attack.run(stage)}`)
  }
  // Those that wait do so side by side; of floods one is enough at a time.
  if (attack.waits === true) await Promise.all(stages.map(runOn))
  else for (const stage of stages) await runOn(stage)
  const watched = await bystanders.rest()
  const during = (await gateway.memory()).heapBytes
  const seconds = (performance.now() - startMs) / 1000
  for (const stage of stages) stage.leave()
  await sleep(settleMs)
  const after = (await gateway.memory()).heapBytes
  const said = (what: string): number => findings.push(`${attack.name}: ${what}`)
  for (const stage of stages) for (const what of stage.findings) said(what)
  // A datagram that finds no room is lost, and sent again after seconds: floods of them are allowed that.
  const judged = attack.mayLose === true ? watched.fared.filter(isStream) : watched.fared
  const worstMs = worstOf({ fared: judged })
  const lost = watched.fared.find((one) => !isStream(one))?.worstMs ?? 0
  if (attack.mayLose === true) happened.push(`the honest CoAP device waited ${lost.toFixed(0)} ms`)
  if (worstMs > Math.max(lateMs, lateTimes * calmWorstMs))
    said(
      `an honest device waited ${worstMs.toFixed(0)} ms (${worstFared(judged).worstOf}), in calm ${calmWorstMs.toFixed(0)}`,
    )
  const harms = bystanders.harms.length - harmedBefore
  if (harms > 0) said(`${harms} times an honest device was harmed, below`)
  for (const [when, bytes] of [
    ['held', during],
    ['left behind', after],
  ] as const)
    if (bytes - before > grownMaxBytes)
      said(`${((bytes - before) / 1_048_576).toFixed(1)} MB ${when}`)
  const medians = watched.fared.map(({ medianMs }) => medianMs).sort((a, b) => a - b)
  return {
    attack: attack.name,
    happened,
    seconds,
    medianMs: medians[medians.length >> 1]!,
    worstMs,
    ratio: worstMs / calmWorstMs,
    heapBytes: [before, during, after],
  }
}

const isStream = ({ protocol }: Fared): boolean => protocol !== 'coap'

const worstOf = ({ fared }: { readonly fared: readonly Fared[] }): number =>
  Math.max(...fared.map(({ worstMs }) => worstMs))
