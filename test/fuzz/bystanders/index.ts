import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Gateway, listenerNames, secretOf } from '../gateway.ts'
import type { Answer, Question } from './process.ts'
import type { Fared, Watched } from './watch.ts'

export type { Fared, Watched } from './watch.ts'

/** For what is on its way when they are to rest. */
const patienceMs = 15_000

/**
 * An honest device on each protocol, in a process of their own, so that what they wait for is the
 * gateway and not whoever attacks it.
 */
export class Bystanders {
  readonly #child: ChildProcess
  readonly #harms: string[] = []
  readonly #fared = new Map<string, Fared>()
  #answered: ((answer: Answer) => void) | undefined

  private constructor() {
    this.#child = fork(fileURLToPath(new URL('process.ts', import.meta.url)), {
      execArgv: ['--import', import.meta.resolve('tsx')],
    })
    process.once('exit', () => this.#child.kill('SIGKILL'))
    this.#child.on('message', (answer) => this.#answered?.(answer as Answer))
    this.#child.once('exit', () => this.#answered?.({ error: 'the honest are gone' }))
  }

  /** @param everyMs each gets a command and posts an event that often. */
  static async start(gateway: Gateway, everyMs = 1_000, lateMs = 15_000): Promise<Bystanders> {
    for (const device of ['by-pike', 'by-mqtt', 'by-mqtt5', 'by-coap', 'by-http'])
      await gateway.api('PUT', `/v1/devices/${device}`, { secret: secretOf(device) })
    const bystanders = new Bystanders()
    const ports = Object.fromEntries(listenerNames.map((name) => [name, gateway.port(name)]))
    const place = { ports, apiKey: gateway.apiKey }
    await bystanders.#ask({ kind: 'start', place, everyMs, lateMs })
    return bystanders
  }

  /** Everything that went wrong for them so far. */
  get harms(): readonly string[] {
    return this.#harms
  }

  /** Over the whole time. */
  get fared(): readonly Fared[] {
    return [...this.#fared.values()]
  }

  /** How they fared, all they waited for over. They do nothing more until `go`. */
  async rest(): Promise<Watched> {
    return this.#count((await this.#ask({ kind: 'rest', patienceMs })).watched!)
  }

  async go(): Promise<void> {
    await this.#ask({ kind: 'go' })
  }

  /** At once; without a word where it went well before. */
  end(): void {
    this.#child.kill('SIGKILL')
  }

  async stop(): Promise<Watched> {
    const watched = this.#count((await this.#ask({ kind: 'stop', patienceMs })).watched!)
    this.#child.disconnect()
    return watched
  }

  #count(watched: Watched): Watched {
    this.#harms.push(...watched.harms)
    for (const one of watched.fared) {
      const before = this.#fared.get(one.protocol)
      this.#fared.set(one.protocol, before === undefined ? one : joined(before, one))
    }
    return watched
  }

  async #ask(question: Question): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve) => {
      this.#answered = resolve
      if (this.#child.connected) this.#child.send(question)
      else resolve({ error: 'the honest are gone' })
    })
    this.#answered = undefined
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }
}

/** Whose longest wait it was. */
export const worstFared = (fared: readonly Fared[]): Fared =>
  fared.reduce((worst, one) => (one.worstMs > worst.worstMs ? one : worst))

const joined = (before: Fared, one: Fared): Fared => {
  if (one.rounds === 0) return before
  if (before.rounds === 0) return one
  const rounds = before.rounds + one.rounds
  const { worstMs, worstOf } = one.worstMs > before.worstMs ? one : before
  return {
    protocol: one.protocol,
    rounds,
    // Of medians, not of all: near enough, and nothing has to be kept.
    medianMs: (before.medianMs * before.rounds + one.medianMs * one.rounds) / rounds,
    worstMs,
    worstOf,
  }
}
