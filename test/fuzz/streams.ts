import { connect, type Socket } from 'node:net'
import { turn } from '../support/turns.ts'
import { type Case, caseOf } from './case.ts'
import type { Grammar, Who } from './grammar.ts'
import type { Talk } from './talks/talk.ts'

/** A protocol over streams, and who speaks it. */
export interface StreamTarget {
  readonly grammar: Grammar
  readonly port: number
  readonly whos: readonly Who[]
  /** An honest conversation, or one with a first packet of somebody else's making. */
  talk(who: Who, write: (bytes: Buffer) => void, hello?: Buffer): Talk
}

/** @param along cases on the same connection, up to this one. */
export type Found = (what: string, one: Case, along?: readonly number[]) => void

/** What came of cases. */
export interface Tally {
  cases: number
  /** Packets, requests or datagrams in them. */
  packets: number
  before: number
  /** Read to its end, and the connection still good. */
  survived: number
  /** The gateway ended the connection. */
  closed: number
  /** It waited for more, and went when we did. */
  waited: number
  logins: number
  refused: number
}

export const tally = (): Tally => ({
  cases: 0,
  packets: 0,
  before: 0,
  survived: 0,
  closed: 0,
  waited: 0,
  logins: 0,
  refused: 0,
})

/** Who can be read to the end is answered, or cut off, within this time. */
const answerMaxMs = 15_000
/** Others may be waited for. How long says how long the gateway takes at present. */
const quietMinMs = 15
const quietMaxMs = 1_000
const quietTimes = 4
/** After our end, for theirs. HTTP may hold a poll as long as it waits. */
const closeMaxMs = 20_000
const loginMaxMs = 20_000

/** A socket, and what is said on it. */
class Line {
  readonly socket: Socket
  talk!: Talk
  closed = false
  /** What it carried so far: some things only go wrong together. */
  readonly cases: number[] = []
  #wake: (() => void) | undefined

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.socket.on('data', (chunk) => {
      this.talk.hear(chunk)
      this.#wake?.()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
      this.#wake?.()
    })
  }

  /** @returns false: not in that time. */
  until(isSo: () => boolean, maxMs: number): Promise<boolean> {
    if (isSo()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (so: boolean): void => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve(so)
      }
      const timer = setTimeout(end, maxMs, false)
      this.#wake = () => {
        if (isSo()) end(true)
      }
    })
  }
}

/** Sends cases over many connections at once, several over each as long as it lasts. */
export class StreamFuzzer {
  readonly #target: StreamTarget
  readonly #seed: number
  readonly #found: Found
  readonly tally = tally()
  #answerMs = quietMinMs
  /** What is on its way, for who finds the gateway dead. */
  readonly underWay = new Map<number, Case>()

  constructor(target: StreamTarget, seed: number, found: Found) {
    this.#target = target
    this.#seed = seed
    this.#found = found
  }

  /** @param numbers shared by all lanes: each takes the next. */
  async run(numbers: Iterator<number>, lanes: number, goesOn: () => boolean): Promise<void> {
    await Promise.all(Array.from({ length: lanes }, (_, lane) => this.#lane(numbers, lane, goesOn)))
  }

  async #lane(numbers: Iterator<number>, lane: number, goesOn: () => boolean): Promise<void> {
    const { whos } = this.#target
    const who = whos[lane % whos.length]!
    let line: Line | undefined
    while (goesOn()) {
      const next = numbers.next()
      if (next.done === true) break
      const one = caseOf(
        this.#target.grammar,
        this.#seed,
        next.value,
        whos[next.value % whos.length]!,
      )
      this.underWay.set(lane, one)
      this.tally.cases++
      this.tally.packets += one.packets.length
      if (one.stage === 'before') {
        this.tally.before++
        await this.#before(one)
        continue
      }
      line ??= await this.#logIn(who, goesOn)
      if (line === undefined) break
      if (!(await this.#send(line, one))) line = undefined
    }
    this.underWay.delete(lane)
    line?.socket.destroy()
  }

  /** In by honest means; undefined: the run is over. */
  async #logIn(who: Who, goesOn: () => boolean): Promise<Line | undefined> {
    while (goesOn()) {
      const line = new Line(this.#target.port)
      const { socket } = line
      line.talk = this.#target.talk(who, (bytes) => socket.write(bytes))
      if (line.talk.hello === undefined) return line
      this.tally.logins++
      socket.write(line.talk.hello)
      await line.until(() => line.talk.isIn || line.closed, loginMaxMs)
      if (line.talk.isIn && !line.closed) return line
      this.tally.refused++
      socket.destroy()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return undefined
  }

  /** A connection of its own, ended after it. */
  async #before(one: Case): Promise<void> {
    const { whos } = this.#target
    const line = new Line(this.#target.port)
    const { socket } = line
    // What proves us may be wrong as well.
    const spoilt = one.random.chance(0.4)
    const write = (bytes: Buffer): void => {
      const proof = Buffer.from(bytes)
      if (spoilt) proof[one.random.int(0, proof.length - 1)]! ^= 1 << one.random.int(0, 7)
      socket.write(proof)
    }
    line.talk = this.#target.talk(whos[one.number % whos.length]!, write, one.packets[0])
    line.cases.push(one.number)
    await this.#say(line, one)
    await line.until(() => line.closed, this.#quietMs)
    await this.#end(line, one)
  }

  get #quietMs(): number {
    return Math.min(quietMaxMs, Math.max(quietMinMs, quietTimes * this.#answerMs))
  }

  /** @returns whether the connection is still good. */
  async #send(line: Line, one: Case): Promise<boolean> {
    const { talk, socket } = line
    const { answers } = talk
    line.cases.push(one.number)
    const startMs = performance.now()
    const whole = this.#target.grammar.endsWhole?.(Buffer.concat(one.packets))
    await this.#say(line, one)
    if (!line.closed) socket.write(talk.probe)
    const maxMs = whole ? answerMaxMs : this.#quietMs
    const heard = await line.until(() => line.closed || talk.answers > answers, maxMs)
    if (heard) this.#answerMs += (performance.now() - startMs - this.#answerMs) / 32
    else if (whole)
      this.#found(`neither answered nor cut off in ${answerMaxMs} ms`, one, line.cases)
    // Of one that is half our probe is a part now, whatever was answered before it.
    const good = !line.closed && talk.answers > answers && whole !== false
    if (good && talk.nonsense === undefined) {
      this.tally.survived++
      return true
    }
    await this.#end(line, one)
    return false
  }

  async #say({ socket }: Line, { pieces }: Case): Promise<void> {
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) await turn()
      if (!socket.writable) return
      socket.write(piece)
    }
  }

  async #end(line: Line, one: Case): Promise<void> {
    const { socket, talk } = line
    if (line.closed) this.tally.closed++
    else if (one.random.chance(0.1)) {
      this.tally.waited++
      socket.resetAndDestroy()
    } else {
      this.tally.waited++
      socket.end()
      if (!(await line.until(() => line.closed, closeMaxMs)))
        this.#found(`not closed ${closeMaxMs} ms after we ended it`, one, line.cases)
      socket.destroy()
    }
    if (talk.nonsense !== undefined)
      this.#found(`was told nonsense: ${talk.nonsense}`, one, line.cases)
  }
}
