import type { ChannelId, Head } from '../../src/contract/index.ts'
import type { Rig } from '../support/engine-subject.ts'
import { channels, compare, learnPlaces } from './mailbox-model-compare.ts'
import { Positions } from './mailbox-model-positions.ts'
import { Model, type Places } from './mailbox-model-state.ts'

/** One call whose answer may be outstanding, and the model as it is once the call has its effect. */
interface Step {
  readonly model: Model
  answered: boolean
}

interface Backup {
  readonly restore: () => Promise<void>
  readonly model: Model
}

/**
 * The lives of one store under one model.
 *
 * Calls take effect in their order (see `inTurn`), so a crash leaves what some first part of the
 * outstanding calls makes; at least that part which was answered.
 */
export class Lives {
  readonly rig: Rig
  readonly places: Places = new Map()
  readonly positions = new Positions()
  #model: Model
  #settled: Model
  #steps: Step[] = []
  #outstanding: Promise<void>[] = []
  /** Whose open commands a call may still wait for. */
  #reading: ChannelId | undefined
  #life = 0
  #backup: Backup | undefined

  constructor(rig: Rig) {
    this.rig = rig
    this.#model = new Model(this.places)
    this.#settled = this.#model
  }

  /** How many there were; what an older one answers concerns nobody. */
  get count(): number {
    return this.#life
  }

  /** With all calls so far. */
  get model(): Model {
    return this.#model
  }

  /** With all that is certainly kept. */
  get sure(): Model {
    return this.#settled
  }

  /** All is answered; engine and model hold the same. */
  async finish(): Promise<void> {
    await this.settle()
    await compare(this.rig, this.#model, this.places)
    for (const channel of channels) this.positions.check(channel, await this.open(channel))
  }

  /**
   * Before a call to this channel. One that wants open commands that are not in memory waits until
   * they are read; the same channel's later calls wait behind it, those of another need not.
   */
  async inTurn(channel: ChannelId, wantsOpen: boolean): Promise<void> {
    if (this.#reading !== undefined && this.#reading !== channel) await this.settle()
    if (wantsOpen && !this.#model.attached.has(channel)) this.#reading = channel
  }

  async step(next: Model, answer: Promise<void>, wait: boolean): Promise<void> {
    const step: Step = { model: next, answered: false }
    this.#steps.push(step)
    this.#model = next
    const done = answer.then(() => {
      step.answered = true
    })
    done.catch(() => {})
    this.#outstanding.push(done)
    if (wait) await this.settle()
  }

  async settle(): Promise<void> {
    await Promise.all(this.#outstanding)
    this.#outstanding = []
    this.#steps = []
    this.#reading = undefined
    this.#settled = this.#model
  }

  async open(channel: string): Promise<Head> {
    const head = await this.rig.engine.mailbox.open(channel)
    this.model.attached.add(channel)
    const named = head.epochs.at(-1)
    if (named !== undefined) this.positions.named(channel, named.epoch)
    return head
  }

  async restart(): Promise<void> {
    await this.settle()
    await this.rig.restart()
    this.#started()
    await compare(this.rig, this.#model, this.places)
  }

  async crash(): Promise<void> {
    const answered = this.#steps.findLastIndex((step) => step.answered) + 1
    const candidates = [this.#settled, ...this.#steps.map(({ model }) => model)].slice(answered)
    this.#abandon()
    await this.rig.crash()
    await this.#begin(candidates)
  }

  async takeBackup(cold: boolean): Promise<void> {
    await this.settle()
    if (cold) await this.rig.stop()
    else await this.rig.engine.flushed()
    this.#backup = { restore: await this.rig.store.backup(), model: this.#model.clone() }
    if (!cold) return
    await this.rig.start()
    this.#started()
  }

  async restore(): Promise<void> {
    const backup = this.#backup
    if (backup === undefined) return
    await this.settle()
    await this.rig.stop()
    await backup.restore()
    await this.rig.start()
    for (const channel of channels) {
      const there = backup.model.channel(channel).commands
      this.positions.undo(
        channel,
        there.map(({ name }) => this.places.get(name)!),
      )
    }
    this.#abandon()
    await this.#begin([backup.model])
  }

  #started(): void {
    this.#model.attached.clear()
    this.#model.started()
  }

  #abandon(): void {
    this.#model.attached.clear()
    this.#life += 1
    this.#outstanding = []
    this.#steps = []
    this.#reading = undefined
  }

  /** Another life begins; it must be the continuation of one of these. */
  async #begin(candidates: readonly Model[]): Promise<void> {
    this.positions.begin()
    await learnPlaces(this.rig, this.places)
    let refusal: unknown
    for (const candidate of candidates) {
      const model = candidate.clone()
      model.forgetSent()
      try {
        await compare(this.rig, model, this.places)
      } catch (error) {
        refusal = error
        continue
      }
      this.#model = model
      this.#settled = model
      for (const channel of channels) await this.open(channel)
      return
    }
    throw refusal
  }
}
