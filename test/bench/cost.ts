import { join } from 'node:path'
import { type OurSide, removeFolder } from './bench.ts'
import type { BenchGateway } from './gateway.ts'
import { cores } from './machine.ts'
import type { Step } from './mirror.ts'
import type { Kept, StoreAnswers } from './store.ts'
import { Worker } from './worker.ts'

/** A command with 100 bytes of payload, where none is left in the store to look at. */
const openCommandBytes = 150

/** What the gateway's store has done so far. */
export interface Commits {
  readonly commits: number
  readonly operations: number
  readonly seconds: number
}

export async function commitsOf(gateway: BenchGateway): Promise<Commits> {
  const metrics = await gateway.metrics()
  const of = (name: string): number => metrics.get(`pike_engine_${name}`) ?? Number.NaN
  return {
    commits: of('commits_total'),
    operations: of('commit_ops_total'),
    seconds: of('commit_seconds_sum'),
  }
}

export const commitsBetween = (from: Commits, to: Commits): Commits => ({
  commits: to.commits - from.commits,
  operations: to.operations - from.operations,
  seconds: to.seconds - from.seconds,
})

/** What lies in the gateway's store, by kind of record. */
export async function recordsOf(
  side: Pick<OurSide, 'folder'>,
): Promise<Readonly<Record<string, Kept>>> {
  const worker = new Worker<StoreAnswers>('store.ts', cores.load)
  try {
    return await worker.ask('look', join(side.folder, 'level'))
  } finally {
    await worker.stop()
  }
}

export function averageBytes(kept: Readonly<Record<string, Kept>>): number {
  let count = 0
  let bytes = 0
  for (const one of Object.values(kept)) {
    count += one.count
    bytes += one.count * one.bytes
  }
  return bytes / count
}

/** What the store writes for each command, when it wrote so many records for one. */
export function stepsOf(
  kept: Readonly<Record<string, Kept>>,
  perCommand: number,
  fate: 'ended' | 'waiting',
): readonly Step[] {
  const step = (letter: string, at: Step['at'], count = 1, removed = false): Step => {
    const sample = kept[letter]?.sample
    return { letter, at, count, removed, sample, bytes: openCommandBytes }
  }
  const command = step('m', 'channel', 1, fate === 'ended')
  // Command and its removal, outcome event, pointer to it; what is left over is the channel's record.
  return fate === 'ended'
    ? [command, step('e', 'log'), step('h', 'channel'), step('c', 'same', perCommand - 4)]
    : [command, step('c', 'same', perCommand - 1)]
}

/** LevelDB alone on the servers' core, in a folder that is gone afterwards. */
export async function storeAlone<T>(
  folder: string,
  run: (worker: Worker<StoreAnswers>) => Promise<T>,
): Promise<T> {
  const worker = new Worker<StoreAnswers>('store.ts', cores.server)
  try {
    return await run(worker)
  } finally {
    await worker.stop()
    removeFolder(folder)
  }
}
