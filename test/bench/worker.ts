import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { pinnedNode } from './machine.ts'

/** What a process of ours can be asked: name of the question -> the work. */
export type Answers = Readonly<Record<string, (asked: never) => unknown>>

type Asked<A extends Answers, Name extends keyof A> = Parameters<A[Name]>[0]
type Given<A extends Answers, Name extends keyof A> = Awaited<ReturnType<A[Name]>>

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

const running = new Set<ChildProcess>()
// A run that fails must leave nothing behind.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A process of this bench on a core of its own, asked over Node's channel to it. */
export class Worker<A extends Answers> {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #id = 0

  /** @param file of this folder, whose module calls {@link answerQuestions}. @param nodeArgs for Node itself. */
  constructor(file: string, core: number, nodeArgs: readonly string[] = []) {
    const [command, ...args] = pinnedNode(core)
    const path = fileURLToPath(new URL(file, import.meta.url))
    this.#child = spawn(command, [...args, ...nodeArgs, '--import', 'tsx', path], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    running.add(this.#child)
    this.#child.on('message', (message) => {
      const answer = message as Answer
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
    this.#child.once('exit', (code, signal) => {
      running.delete(this.#child)
      for (const [id, give] of this.#waiting) {
        give({ id, error: `${file} ended (code ${code}, signal ${signal})` })
      }
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  async ask<Name extends keyof A & string>(
    name: Name,
    ...[asked]: Asked<A, Name> extends undefined ? [] : [Asked<A, Name>]
  ): Promise<Given<A, Name>> {
    const id = ++this.#id
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve)
      this.#child.send({ id, name, asked })
    })
    if (answer.error !== undefined) throw new Error(`${name}: ${answer.error}`)
    return answer.value as Given<A, Name>
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await gone
  }
}

/** In the process that answers. */
export function answerQuestions(answers: Answers): void {
  process.on('message', (message) => {
    const { id, name, asked } = message as { id: number; name: string; asked: never }
    void (async () => {
      try {
        process.send!({ id, value: await answers[name]!(asked) })
      } catch (error) {
        process.send!({ id, error: error instanceof Error ? error.stack : String(error) })
      }
    })()
  })
  process.on('disconnect', () => process.exit(0))
}
