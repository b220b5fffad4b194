import { makeFolder, progress, removeFolder } from './bench.ts'
import type { CommandsRun } from './commands-load.ts'
import { fixed, median, medianOf, printTable, spread, whole } from './figures.ts'
import { type BenchGateway, startGateway } from './gateway.ts'
import type { LoadAnswers } from './load.ts'
import { cores } from './machine.ts'
import type { Options } from './options.ts'
import { verdict } from './verdict.ts'
import { Worker } from './worker.ts'

const warmupSeconds = 2
const quietDevices = 100
const quietPerSecond = 200
const noisyDevices = 200
const noisyApp = 'noisy'
/** What an operator would grant a tenant of a gateway of this size. */
const quota = { commandsPerSecond: 500, eventsPerSecond: 500, sessions: noisyDevices }
const movedMax = 1.2

interface Noise {
  readonly commandsPerSecond: number
  readonly eventsPerSecond: number
  readonly arrivedPerSecond: number
  readonly refusedPerSecond: number
}

/**
 * One app at a steady, modest rate; another that does all it can at once: NDJSON without end, events
 * without end, devices that come and go, a webhook whose receiver never answers.
 */
export async function noisyPart(options: Options): Promise<void> {
  const folder = makeFolder(options)
  const gateway = await startGateway(folder, [], { PIKE_WEBHOOK_ALLOW: 'loopback' })
  const { ports, key, pid } = gateway
  const quiet = new Worker<LoadAnswers>('load.ts', cores.load)
  const noisy = new Worker<LoadAnswers>('load.ts', cores.load)
  await quiet.ask('register', { port: ports.api, key, count: quietDevices })
  await quiet.ask('connectDevices', { port: ports.pike, count: quietDevices })
  await quiet.ask('connectBackEnds', { port: ports.api, key, count: 32 })
  const noisyKey = await makeNoisyApp(gateway, await noisy.ask('blackHole'))
  await noisy.ask('registerMany', { port: ports.api, key: noisyKey, count: noisyDevices + 8 })
  await noisy.ask('connectDevices', { port: ports.pike, count: noisyDevices - 8, app: noisyApp })

  const steady = (): Promise<CommandsRun> =>
    quiet.ask('commands', {
      ...{ seconds: options.seconds, warmupSeconds, rate: quietPerSecond, serverPid: pid },
    })
  const noise = async (): Promise<Noise> => {
    const seconds = options.seconds + warmupSeconds
    const [lines, events, churned] = await Promise.all([
      noisy.ask('lines', {
        ...{ port: ports.api, key: noisyKey, devices: noisyDevices - 8, connections: 4 },
        ...{ seconds, warmupSeconds: 0, serverPid: pid },
      }),
      noisy.ask('events', { seconds, warmupSeconds: 0, outstanding: 16, serverPid: pid }),
      noisy.ask('churn', { port: ports.pike, app: noisyApp, from: noisyDevices, seconds }),
    ])
    return {
      commandsPerSecond: lines.perSecond,
      eventsPerSecond: events.perSecond,
      arrivedPerSecond: churned.arrived / seconds,
      refusedPerSecond: churned.refused / seconds,
    }
  }
  await steady()
  const alone: CommandsRun[] = []
  const held: CommandsRun[] = []
  const free: CommandsRun[] = []
  const heldNoise: Noise[] = []
  const freeNoise: Noise[] = []
  await setQuota(gateway, quota)
  for (let round = 0; round < options.rounds; round++) {
    progress(`round ${round + 1} of ${options.rounds}: alone`)
    alone.push(await steady())
    progress(`round ${round + 1} of ${options.rounds}: beside a noisy app with a quota`)
    const [one, its] = await Promise.all([steady(), noise()])
    held.push(one)
    heldNoise.push(its)
  }
  // Last, since what it leaves behind (a long log for the webhook, tables to compact) would be felt.
  await setQuota(gateway, null)
  for (let round = 0; round < options.rounds; round++) {
    progress(`round ${round + 1} of ${options.rounds}: beside a noisy app without one`)
    const [other, theirs] = await Promise.all([steady(), noise()])
    free.push(other)
    freeNoise.push(theirs)
  }
  progress('')
  await quiet.stop()
  await noisy.stop()
  await gateway.stop()
  removeFolder(folder)

  const ms = (value: number): string => fixed(value, 2)
  const ratios = (of: readonly CommandsRun[]): number[] =>
    of.map((run, i) => run.receiptMs.p99 / alone[i]!.receiptMs.p99)
  const row = (name: string, of: readonly CommandsRun[], by: readonly Noise[]): string[] => [
    name,
    by.length === 0
      ? ''
      : `${whole(medianOf(by, (one) => one.commandsPerSecond))} commands, ${whole(medianOf(by, (one) => one.eventsPerSecond))} events, ${whole(medianOf(by, (one) => one.arrivedPerSecond))} arrivals (${whole(medianOf(by, (one) => one.refusedPerSecond))} refused)`,
    spread(
      of.map((run) => run.receiptMs.p50),
      ms,
    ),
    spread(
      of.map((run) => run.receiptMs.p99),
      ms,
    ),
    spread(
      of.map((run) => run.answerMs.p99),
      ms,
    ),
    spread(ratios(of), ms),
    fixed(
      medianOf(of, (run) => run.server.percent),
      0,
    ),
    `${of.reduce((sum, run) => sum + run.lost, 0)}/${of.reduce((sum, run) => sum + run.repeated, 0)}`,
  ]
  printTable(
    `noisy: an app at ${quietPerSecond} commands/s beside one that floods with lines, events, connects and a webhook nobody answers, ms`,
    [
      '',
      'the noise gets, a second',
      'device p50',
      'device p99',
      'answer p99',
      'p99 / alone',
      'server CPU %',
      'lost/repeated',
    ],
    [
      row('alone', alone, []),
      row(`beside one with a quota of ${quota.commandsPerSecond}/s each`, held, heldNoise),
      row('beside one without a quota', free, freeNoise),
    ],
  )
  console.log()
  verdict('times its p99 alone, with a quota', median(ratios(held)), movedMax, undefined, 2, 'less')
}

async function makeNoisyApp(gateway: BenchGateway, receiverPort: number): Promise<string> {
  await gateway.put(`/v1/apps/${noisyApp}`, {})
  const path = `/v1/apps/${noisyApp}/keys/bench`
  const scopes = ['devices', 'commands', 'events']
  const { key } = (await gateway.put(path, { scopes })) as { key: string }
  await gateway.put('/v1/webhooks/hole', { url: `http://127.0.0.1:${receiverPort}/` }, key)
  return key
}

const setQuota = (gateway: BenchGateway, quota: object | null): Promise<unknown> =>
  gateway.put(`/v1/apps/${noisyApp}`, { quota })
