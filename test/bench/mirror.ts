import { randomBytes } from 'node:crypto'
import { Level } from 'level'
import { Samples } from './figures.ts'
import { cpuBetween, cpuOf } from './machine.ts'
import type { StoreRun } from './store.ts'
import { answerQuestions } from './worker.ts'

/** LevelDB alone, doing for each command what the gateway's store does for it. */
export interface MirrorAsked {
  readonly folder: string
  readonly seconds: number
  readonly warmupSeconds: number
  readonly channels: number
  readonly commandsPerCommit: number
  readonly steps: readonly Step[]
}

/**
 * What becomes of one kind of record for each command.
 *
 * `at` is where its key lies: with its channel's others and one higher each time, at the end of one
 * log, or always the same of its channel.
 */
export interface Step {
  readonly letter: string
  readonly at: 'channel' | 'log' | 'same'
  /** How often for each command. */
  readonly count: number
  /** Of the value; a value is like {@link sample} where there is one. */
  readonly bytes: number
  /** A record of this kind, base64. */
  readonly sample: string | undefined
  /** Removed again, a commit later. */
  readonly removed: boolean
}

const digits = (value: number): string => value.toString(36).padStart(11, '0')
const varied = 8

/** Of a size and kind, each one different: as much of it as ids and times make of a record. */
class Values {
  readonly #value: Buffer
  #made = 0

  constructor({ bytes, sample }: Step) {
    this.#value = sample === undefined ? randomBytes(bytes) : Buffer.from(sample, 'base64')
  }

  next(): Buffer {
    const value = Buffer.from(this.#value)
    const number = (++this.#made * 7919).toString(36).padStart(varied, '0')
    for (const part of [0.2, 0.5, 0.8])
      value.write(number, Math.floor(value.length * part), 'latin1')
    return value
  }
}

async function run(asked: MirrorAsked): Promise<StoreRun> {
  const store = new Level<string, Buffer>(asked.folder, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
  })
  await store.open()
  const channels = Array.from({ length: asked.channels }, (_, i) => `default/device-${i}/main`)
  const kinds = asked.steps.map((step) => ({ step, values: new Values(step), owed: 0 }))
  const commitMs = new Samples()
  let made = 0
  let commands = 0
  let records = 0
  let commits = 0
  let old: string[] = []
  const startMs = performance.now()
  const fromMs = startMs + asked.warmupSeconds * 1000
  const toMs = fromMs + asked.seconds * 1000
  let cpu = cpuOf(process.pid)
  let counting = false
  for (let nowMs = startMs; nowMs < toMs; nowMs = performance.now()) {
    if (!counting && nowMs >= fromMs) {
      counting = true
      cpu = cpuOf(process.pid)
    }
    const batch = store.batch()
    let count = old.length
    for (const key of old) batch.del(key)
    old = []
    for (let i = 0; i < asked.commandsPerCommit; i++) {
      const channel = channels[++made % channels.length]!
      for (const kind of kinds) {
        const { letter, at, removed } = kind.step
        for (kind.owed += kind.step.count; kind.owed >= 1; kind.owed--) {
          const key =
            at === 'channel'
              ? `${letter}/${channel}/${digits(Math.ceil(made / channels.length))}`
              : at === 'log'
                ? `${letter}/default/${digits(made)}`
                : `${letter}/${channel}`
          batch.put(key, kind.values.next())
          if (removed) old.push(key)
          count++
        }
      }
    }
    const writeMs = performance.now()
    await batch.write({ sync: true })
    if (counting) {
      commits++
      records += count
      commands += asked.commandsPerCommit
      commitMs.add(performance.now() - writeMs)
    }
  }
  const elapsedMs = performance.now() - fromMs
  const use = cpuBetween(cpu, cpuOf(process.pid))
  await store.close()
  return {
    perSecond: (commands * 1000) / elapsedMs,
    commitsPerSecond: (commits * 1000) / elapsedMs,
    recordsPerCommit: records / commits,
    commitMs: commitMs.summary(),
    keptMs: new Samples().summary(),
    cpu: use,
  }
}

const answers = { run }

export type MirrorAnswers = typeof answers

answerQuestions(answers)
