import { cp, rm } from 'node:fs/promises'
import { Level } from 'level'
import { type Quantiles, Samples } from './figures.ts'
import { type CpuUse, cpuBetween, cpuOf } from './machine.ts'
import { answerQuestions } from './worker.ts'

/** LevelDB alone: what keeping costs when nobody asks anything of what is kept. */
export interface StoreAsked {
  readonly folder: string
  readonly seconds: number
  readonly warmupSeconds: number
  readonly valueBytes: number
  /** Records of one synced batch, the next one after it; or records a second at fixed times. */
  readonly group: number | undefined
  readonly rate: number | undefined
}

export interface StoreRun {
  readonly perSecond: number
  readonly commitsPerSecond: number
  readonly recordsPerCommit: number
  /** ms of one synced batch. */
  readonly commitMs: Quantiles
  /** ms from when a record came to when it was durable; only at fixed times. */
  readonly keptMs: Quantiles
  readonly cpu: CpuUse
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
let made = 0
/** Each is a new key, in order, as those of a log are. */
const key = (): string => `e:default:${(++made).toString(36).padStart(12, '0')}`

async function run(asked: StoreAsked): Promise<StoreRun> {
  const store = new Level<string, Buffer>(asked.folder, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
  })
  await store.open()
  const value = Buffer.alloc(asked.valueBytes)
  for (let i = 0; i < value.length; i++) value[i] = 32 + ((i * 7919) % 95)
  const commitMs = new Samples()
  const keptMs = new Samples()
  let records = 0
  let commits = 0
  const startMs = performance.now()
  const fromMs = startMs + asked.warmupSeconds * 1000
  const toMs = fromMs + asked.seconds * 1000
  let cpu = cpuOf(process.pid)
  let counting = false
  let dueMs = startMs
  const everyMs = asked.rate === undefined ? 0 : 1000 / asked.rate
  for (let nowMs = startMs; nowMs < toMs; nowMs = performance.now()) {
    if (!counting && nowMs >= fromMs) {
      counting = true
      cpu = cpuOf(process.pid)
    }
    const firstDueMs = dueMs
    let count = asked.group ?? 0
    for (; everyMs > 0 && dueMs <= nowMs; dueMs += everyMs) count++
    if (count === 0) {
      await turn()
      continue
    }
    const batch = store.batch()
    for (let i = 0; i < count; i++) batch.put(key(), value)
    const writeMs = performance.now()
    await batch.write({ sync: true })
    const keptAtMs = performance.now()
    if (counting) {
      commits++
      records += count
      commitMs.add(keptAtMs - writeMs)
      for (let i = 0; everyMs > 0 && i < count; i++) keptMs.add(keptAtMs - firstDueMs - i * everyMs)
    }
    await turn()
  }
  const elapsedMs = performance.now() - fromMs
  const use = cpuBetween(cpu, cpuOf(process.pid))
  await store.close()
  return {
    perSecond: (records * 1000) / elapsedMs,
    commitsPerSecond: (commits * 1000) / elapsedMs,
    recordsPerCommit: records / commits,
    commitMs: commitMs.summary(),
    keptMs: keptMs.summary(),
    cpu: use,
  }
}

export interface Kept {
  readonly count: number
  /** Of key and value together, on average. */
  readonly bytes: number
  /** The value of one of them, base64. */
  readonly sample: string
}

const copyTries = 5

/** What lies in a store, by the first letter of its keys; read from a copy, since its owner runs. */
async function look(folder: string): Promise<Readonly<Record<string, Kept>>> {
  const copy = `${folder}-copy`
  // Its owner may remove a table while it is copied; the next try finds it so.
  for (let tries = 0; ; tries++) {
    try {
      await rm(copy, { recursive: true, force: true })
      await cp(folder, copy, { recursive: true })
      break
    } catch (error) {
      if (tries === copyTries) throw error
    }
  }
  const store = new Level<string, Buffer>(copy, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
  await store.open()
  const sums = new Map<string, { count: number; bytes: number; last: Buffer }>()
  for await (const [key, value] of store.iterator()) {
    const letter = key[0]!
    const { count, bytes } = sums.get(letter) ?? { count: 0, bytes: 0 }
    sums.set(letter, { count: count + 1, bytes: bytes + key.length + value.length, last: value })
  }
  await store.close()
  await rm(copy, { recursive: true })
  return Object.fromEntries(
    [...sums].map(([letter, { count, bytes, last }]) => [
      letter,
      { count, bytes: bytes / count, sample: last.toString('base64') },
    ]),
  )
}

const answers = { run, look }

export type StoreAnswers = typeof answers

answerQuestions(answers)
