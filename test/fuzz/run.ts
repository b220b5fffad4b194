import { Bystanders, type Fared, worstFared } from './bystanders/index.ts'
import { type Case, dump } from './case.ts'
import { Gateway, type Memory } from './gateway.ts'
import { Numbers } from './numbers.ts'
import type { Tally } from './streams.ts'
import { fuzzerOf, madApp, type Protocol } from './targets.ts'

export interface RunOptions {
  readonly protocols: readonly Protocol[]
  /** Of each protocol. */
  readonly cases: number
  readonly seed: number
  readonly minutes: number
  /** Only these, by number. */
  readonly only: readonly number[] | undefined
  readonly lanes: number
  /** All protocols at once in one gateway, instead of one after the other, each in its own. */
  readonly together: boolean
  readonly progress: (text: string) => void
}

/** How one protocol fared. */
export interface Row extends Tally {
  readonly protocol: Protocol
  readonly seconds: number
  /** What the gateway computed for each case. */
  readonly cpuUs: number
  /** Collected, at the first look and at the last; what it held in between at most. */
  readonly memory: readonly [before: Memory, after: Memory]
  readonly descriptors: readonly [before: number, after: number]
  readonly bystanderMedianMs: number
  readonly bystanderWorst: Fared
  readonly rounds: number
}

export interface RunResult {
  readonly rows: readonly Row[]
  readonly findings: readonly string[]
}

/** Growth beyond this, once all is calm and collected, is a leak. */
export const grownMaxBytes = 50 * 1_048_576
/** Descriptors may differ by files of the store. */
const descriptorsSlack = 24
const findingsMax = 12
const alongMax = 100
const batches = 12
const batchMin = 2_000
const calmMaxMs = 30_000
const failedMetric = 'pike_adapter_failed_total{adapter="coap"}'

/** Bounds on how often somebody may err, come or be wrong would end the run at its first minute. */
const limits = [
  'wrongSecretsPerMinute=1000000000',
  'arrivalsPerMinute=1000000000',
  'takeoversMax=1000000000',
]

export async function run(options: RunOptions): Promise<RunResult> {
  const rows: Row[] = []
  const findings: string[] = []
  const { protocols, together } = options
  for (const group of together ? [protocols] : protocols.map((one) => [one]))
    rows.push(...(await runGroup(group, options, findings)))
  return { rows, findings }
}

/** Protocols side by side, in one gateway. */
async function runGroup(
  protocols: readonly Protocol[],
  options: RunOptions,
  findings: string[],
): Promise<Row[]> {
  const { seed, cases, only, lanes, minutes } = options
  const name = protocols.join(' + ')
  const gateway = await Gateway.start(limits)
  const found = (
    protocol: string,
    what: string,
    some: readonly Case[] = [],
    along: readonly number[] = some.map(({ number }) => number),
  ): void => {
    if (findings.length >= findingsMax) return
    const about = some.map(dump).join('\n')
    const chosen = along.length === 0 ? '' : ` --only ${along.slice(-alongMax).join(',')}`
    const again = `--protocol ${protocol.replaceAll(' + ', ',')} --seed ${seed}${chosen}`
    findings.push(`${protocol}: ${what}\n  again: npm run fuzz -- ${again}\n${about}`)
  }
  let bystanders: Bystanders | undefined
  try {
    const key = await gateway.makeApp(madApp)
    const fuzzers = await Promise.all(
      protocols.map(async (protocol) => ({
        protocol,
        numbers: new Numbers(cases, only),
        fuzzer: await fuzzerOf(protocol, gateway, key, seed, (what, one, along) =>
          found(protocol, what, [one], along),
        ),
      })),
    )
    const done = (): number => fuzzers.reduce((sum, { fuzzer }) => sum + fuzzer.tally.cases, 0)
    bystanders = await Bystanders.start(gateway)
    const startMs = performance.now()
    const startUs = gateway.cpuUs
    const endMs = startMs + minutes * 60_000
    const goesOn = (): boolean => gateway.ended === undefined && performance.now() < endMs
    let before: Look | undefined
    const batch = Math.max(batchMin, Math.ceil(fuzzers[0]!.numbers.count / batches))
    while (fuzzers.some(({ numbers }) => !numbers.isOver) && goesOn()) {
      await Promise.all(
        fuzzers.map(({ fuzzer, numbers }) => {
          numbers.allow(batch)
          // Those that go together go over one connection.
          return fuzzer.run(numbers, only === undefined ? lanes : 1, goesOn)
        }),
      )
      if (gateway.ended !== undefined) {
        for (const { protocol, fuzzer } of fuzzers) {
          const underWay = [...fuzzer.underWay.values()]
          found(protocol, `the gateway died (${gateway.ended}) with these under way`, underWay)
        }
        return []
      }
      // To look collects the heap, and whoever waits meanwhile waits for us.
      const { fared } = await bystanders.rest()
      const look = await lookAt(gateway)
      await bystanders.go()
      // The first batch is the warm-up.
      before ??= look
      const { worstMs, worstOf } = worstFared(fared)
      const rate = (done() / (performance.now() - startMs)) * 1000
      options.progress(
        `${name}, seed ${seed}: ${done()} cases, ${rate.toFixed(0)}/s, heap ${megabytes(look.memory.heapBytes)}, honest waited ${worstMs.toFixed(0)} ms at most (${worstOf})`,
      )
    }
    const seconds = (performance.now() - startMs) / 1000
    const cpuUs = (gateway.cpuUs - startUs) / done()
    const calm = await settle(gateway)
    if (calm !== undefined) found(name, calm)
    const after = await lookAt(gateway)
    await bystanders.stop()
    const { harms, fared } = bystanders
    for (const harm of harms) found(name, `an honest device was harmed: ${harm}`)
    judge(before!, after, (what) => found(name, what))
    const failed = (await gateway.metrics()).get(failedMetric) ?? 0
    if (failed > 0) found(name, `${failed} datagrams tripped the gateway up (failed_total)`)
    return fuzzers.map(({ protocol, fuzzer: { tally } }) => {
      if (tally.refused > tally.logins / 20)
        found(protocol, `${tally.refused} of ${tally.logins} honest logins refused`)
      return {
        protocol,
        ...tally,
        seconds,
        cpuUs,
        memory: [before!.memory, after.memory],
        descriptors: [before!.descriptors, after.descriptors],
        bystanderMedianMs: median(fared.map(({ medianMs }) => medianMs)),
        bystanderWorst: worstFared(fared),
        rounds: fared.reduce((sum, { rounds }) => sum + rounds, 0),
      }
    })
  } finally {
    bystanders?.end()
    await gateway.stop()
    for (const complaint of gateway.complaints) found(name, complaint)
  }
}

interface Look {
  readonly memory: Memory
  readonly descriptors: number
}

function judge(before: Look, after: Look, found: (what: string) => void): void {
  const grown = after.memory.heapBytes - before.memory.heapBytes
  if (grown > grownMaxBytes) found(`memory grew by ${megabytes(grown)}, collected and calm`)
  if (after.descriptors > before.descriptors + descriptorsSlack)
    found(`descriptors grew from ${before.descriptors} to ${after.descriptors}`)
}

async function lookAt(gateway: Gateway): Promise<Look> {
  return { memory: await gateway.memory(), descriptors: gateway.descriptors }
}

/** Until only the honest are connected. */
async function settle(gateway: Gateway): Promise<string | undefined> {
  const endMs = performance.now() + calmMaxMs
  for (;;) {
    const metrics = await gateway.metrics()
    const left = ['pike', 'mqtt'].map(
      (adapter) =>
        [adapter, metrics.get(`pike_adapter_connections{adapter="${adapter}"}`) ?? 0] as const,
    )
    const tooMany = left.filter(([adapter, count]) => count > (adapter === 'mqtt' ? 2 : 1))
    if (tooMany.length === 0) return undefined
    if (performance.now() > endMs) return `connections are left over: ${JSON.stringify(tooMany)}`
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

export const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`
