import assert from 'node:assert/strict'
import type { Appended, Change, Head, Position, Settlement } from '../../src/contract/index.ts'
import { channelParts, commandId } from '../../src/contract/index.ts'
import type { Rig } from '../support/engine-subject.ts'
import { command as makeCommand } from '../support/engine-words.ts'
import type { Action, ChangeAction } from './mailbox-model-actions.ts'
import { channels, compare, learnPlaces, payloadOf } from './mailbox-model-compare.ts'
import type { ModelAppend, ModelCommand } from './mailbox-model-state.ts'
import { bounds, Model, type Places } from './mailbox-model-state.ts'

/** One call whose answer may be outstanding, and the model as it is once the call has its effect. */
interface Step {
  readonly model: Model
  answered: boolean
}

interface Backup {
  readonly restore: () => Promise<void>
  readonly model: Model
}

type Of<K extends Action['kind']> = Extract<Action, { readonly kind: K }>

/**
 * Does each action to the engine and to the model, and compares them.
 *
 * Calls take effect in their order, so a crash leaves what some first part of the outstanding
 * calls makes; at least that part which was answered.
 */
export class MailboxRun {
  readonly #rig: Rig
  readonly #places: Places = new Map()
  /** Where devices may stand, as links told them; and what a restored backup has never heard of. */
  readonly #told = new Map<string, Set<string>>()
  readonly #lost = new Map<string, Set<string>>()
  /** Per channel: every epoch ever, and whether the next append must begin another. */
  readonly #epochs = new Map<string, { ever: Set<number>; current: number | undefined }>()
  readonly #used = new Set<string>()
  #model: Model
  #settled: Model
  #steps: Step[] = []
  #outstanding: Promise<void>[] = []
  #life = 0
  #names = 0
  #backup: Backup | undefined

  constructor(rig: Rig) {
    this.#rig = rig
    this.#model = new Model(this.#places)
    this.#settled = this.#model
    for (const channel of channels) {
      this.#epochs.set(channel, { ever: new Set(), current: undefined })
      this.#told.set(channel, new Set())
      this.#lost.set(channel, new Set())
    }
  }

  async do(action: Action): Promise<void> {
    const { kind } = action
    if (kind === 'append') return this.#append(action)
    if (kind === 'change') return this.#change(action)
    if (kind === 'send') return this.#send(action)
    if (kind === 'read') return this.#read(action)
    if (kind === 'uplink') return this.#uplink(action)
    if (kind === 'expire') return this.#expire(action)
    if (kind === 'takeover' || kind === 'release') return this.#hold(action)
    if (kind === 'tick') return new Promise((resolve) => setImmediate(resolve))
    if (kind === 'restart') return this.#restart()
    if (kind === 'crash') return this.#crash()
    if (kind === 'backup' || kind === 'cold-backup') return this.#takeBackup(action)
    if (kind === 'restore') return this.#restore()
  }

  /** All is answered; engine and model hold the same. */
  async finish(): Promise<void> {
    await this.#settle()
    await compare(this.#rig, this.#model, this.#places)
    for (const channel of channels) this.#checkPositions(channel, await this.#open(channel))
  }

  // --- calls whose answers may be outstanding ---

  async #append(action: Of<'append'>): Promise<void> {
    this.#rig.clock.advance(1)
    const channel = channels[action.channel]!
    const nowMs = this.#rig.clock.nowMs()
    const command: ModelCommand = {
      name: `c${++this.#names}`,
      channel,
      bytes: action.bytes,
      expect: action.expect,
      collapse: action.collapse === undefined ? undefined : ['__proto__', 'door'][action.collapse],
      acceptedAtMs: nowMs,
      expiresAtMs: nowMs + action.ttlMs,
      replyTimeoutMs: 40_000,
      deliveredAtMs: undefined,
      ended: undefined,
    }
    const given: ModelAppend = {
      command,
      overflow: action.overflow,
      intend: action.intend && !action.ended,
      ended: action.ended ? 'undeliverable(no-link)' : undefined,
      idempotency:
        action.key === undefined
          ? undefined
          : { key: ['constructor', 'a', 'ab'][action.key]!, hash: `${action.hash}` },
    }
    const next = this.#model.clone()
    const expected = next.append(structuredClone(given))
    const asked = this.#rig.engine.mailbox.append(
      channel,
      makeCommand(this.#rig.clock, {
        name: command.name,
        payload: payloadOf(command.name, command.bytes),
        expect: command.expect,
        expiresAtMs: command.expiresAtMs,
        replyTimeoutMs: command.replyTimeoutMs,
        ...(command.collapse !== undefined && { collapse: command.collapse }),
      }),
      {
        ...bounds,
        overflow: given.overflow,
        intend: given.intend,
        ...(given.ended && { ended: { status: 'undeliverable', reason: 'no-link' } }),
        ...(given.idempotency && { idempotency: given.idempotency }),
      },
    )
    const life = this.#life
    const answer = asked.then((appended) => {
      if (life === this.#life) this.#appended(command, expected, appended)
    })
    await this.#step(next, answer, action.wait)
  }

  #appended(
    command: ModelCommand,
    expected: { readonly kind: string; readonly name: string },
    appended: Appended,
  ): void {
    assert.equal(appended.kind, expected.kind, `answer to ${command.name}`)
    if (appended.kind === 'kept') {
      const { epoch, offset } = appended.command
      this.#places.set(command.name, { epoch, offset })
      this.#numbered(command.channel, { epoch, offset })
    } else if (appended.kind === 'repeat' || appended.kind === 'conflict') {
      const channel = this.#channelOf(expected.name)
      const { epoch, offset } = this.#places.get(expected.name)!
      assert.equal(appended.id, commandId(channel, epoch, offset))
    }
  }

  async #change(action: ChangeAction): Promise<void> {
    const channel = channels[action.channel]!
    if (this.#model.open(channel).some((command) => this.#model.offset(command) === undefined)) {
      await this.#settle()
    }
    const next = this.#model.clone()
    const open = next.open(channel)
    const waiting = next.undelivered(channel).filter((command) => next.maybeSent(command))
    const among = {
      ack: waiting,
      ackUpTo: waiting,
      reply: open.filter((command) => next.maybeSent(command)),
      cancel: open.filter((command) => !next.maybeSent(command)),
      again: next.channel(channel).commands.filter(({ ended }) => ended !== undefined),
    }[action.how]
    if (among.length === 0) return
    const at = action.pick % among.length
    const chosen = action.how === 'ackUpTo' ? among.slice(0, at + 1) : [among[at]!]
    const atMs = this.#rig.clock.nowMs()
    const changes = chosen.flatMap((command) => {
      const offset = next.offset(command)
      // What ended unanswered before a crash that took it back: nobody can name it.
      if (offset === undefined) return []
      if (action.how === 'reply') return [end(command, offset, 'done', atMs, '', next)]
      if (action.how === 'cancel')
        return [end(command, offset, 'canceled', atMs, 'requested', next)]
      if (action.how === 'again') return [end(command, offset, 'failed', atMs, 'late', next)]
      return [acknowledge(command, offset, atMs, next)]
    })
    await this.#settlement(channel, next, { changes }, action.wait)
  }

  async #uplink({ channel: at, wait }: Of<'uplink'>): Promise<void> {
    const channel = channels[at]!
    const next = this.#model.clone()
    const state = next.channel(channel)
    const name = `u${++this.#names}`
    const { app, device, channel: channelName } = channelParts(channel)
    next.log(app).push(name)
    state.uplinks = `after ${name}`
    const tried = next.undelivered(channel).find((command) => next.maybeSent(command))
    const offset = tried && next.offset(tried)
    if (offset !== undefined) state.attempts = { offset, sessions: this.#names }
    await this.#settlement(
      channel,
      next,
      {
        changes: [],
        events: [
          {
            ...{ kind: 'event', app, device, channel: channelName, name },
            ...{ payload: new Uint8Array(3), contentType: 'text/plain' },
            atMs: this.#rig.clock.nowMs(),
          },
        ],
        uplinks: state.uplinks,
        ...(offset !== undefined && { attempts: { offset, sessions: this.#names } }),
      },
      wait,
    )
  }

  #settlement(channel: string, next: Model, settlement: Settlement, wait: boolean): Promise<void> {
    const answer = new Promise<void>((resolve, reject) => {
      this.#rig.engine.mailbox.settle(channel, settlement, (outcome) =>
        outcome === 'kept' ? resolve() : reject(new Error(`settled as ${outcome}`)),
      )
    })
    return this.#step(next, answer, wait)
  }

  async #step(next: Model, answer: Promise<void>, wait: boolean): Promise<void> {
    const step: Step = { model: next, answered: false }
    this.#steps.push(step)
    this.#model = next
    const done = answer.then(() => {
      step.answered = true
    })
    done.catch(() => {})
    this.#outstanding.push(done)
    if (wait) await this.#settle()
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#outstanding)
    this.#outstanding = []
    this.#steps = []
    this.#settled = this.#model
  }

  // --- what a hub does with a link ---

  /** As the pump does: an intent where needed, then write what is read. */
  async #send({ channel: at, count, slack }: Of<'send'>): Promise<void> {
    await this.#settle()
    const channel = channels[at]!
    const { mailbox } = this.#rig.engine
    const { sentUpTo } = this.#model.channel(channel)
    const expected = this.#model
      .undelivered(channel)
      .filter((command) => this.#model.offset(command)! > sentUpTo)
      .slice(0, count)
    const read = await mailbox.read(channel, sentUpTo, count)
    assert.deepEqual(
      read.map(({ name }) => name),
      expected.map(({ name }) => name),
    )
    const last = read.at(-1)
    if (last === undefined) return
    const state = this.#model.channel(channel)
    if (this.#model.intended(channel) < last.offset) {
      assert.equal(await mailbox.intend(channel, last.offset + slack), true)
      state.intended = last.offset + slack
    }
    mailbox.sent(channel, last.offset, this.#rig.clock.nowMs())
    state.sentUpTo = last.offset
    for (const { epoch, offset } of read) this.#told.get(channel)?.add(`${epoch}:${offset}`)
  }

  /** Whatever is outstanding: nothing ended or delivered, all that is kept, in order. */
  async #read({ channel: at, pick, max }: Of<'read'>): Promise<void> {
    const channel = channels[at]!
    const kept = new Set(this.#settled.undelivered(channel).map(({ name }) => name))
    const wanted = this.#model.undelivered(channel)
    const offsets = wanted.map((command) => this.#model.offset(command) ?? 0)
    const after = pick === 0 ? 0 : (offsets[pick % Math.max(1, offsets.length)] ?? 0)
    const read = await this.#rig.engine.mailbox.read(channel, after, max)
    assert.ok(read.length <= max, 'a page is as long as asked for at most')
    const names = read.map(({ name }) => name)
    const all = wanted.map(({ name }) => name)
    assert.deepEqual(
      names,
      all.filter((name) => names.includes(name)),
      'in order, and nothing that has ended',
    )
    const sure = wanted.filter(
      (command) => kept.has(command.name) && this.#model.offset(command)! > after,
    )
    for (const { name } of sure.slice(0, max)) {
      assert.ok(names.includes(name) || names.length === max, `${name} is not read`)
    }
  }

  /** Another link takes the channel, or the last one has gone. */
  async #hold({ kind, channel: at }: Of<'takeover' | 'release'>): Promise<void> {
    const channel = channels[at]!
    const { directory, mailbox } = this.#rig.engine
    if (kind === 'release') {
      mailbox.release(channel)
      return
    }
    await this.#settle()
    const older = await directory.claim(channel, 'older')
    const newer = await directory.claim(channel, 'newer')
    assert.ok(newer.term > older.term, 'terms grow')
    assert.equal(await directory.renew(older), false)
    this.#checkPositions(channel, await this.#open(channel))
  }

  async #open(channel: string): Promise<Head> {
    const head = await this.#rig.engine.mailbox.open(channel)
    const named = head.epochs.at(-1)
    if (named !== undefined) this.#epochIs(channel, named.epoch)
    return head
  }

  /** Rule 13: what a device was told is understood, what was lost with a backup is not. */
  #checkPositions(channel: string, head: Head): void {
    const knows = (told: string) => {
      const [epoch, offset] = told.split(':').map(Number) as [number, number]
      return head.epochs.some((span) => span.epoch === epoch && offset <= span.last)
    }
    const oldest = new Set(head.epochs.map(({ epoch }) => epoch))
    for (const told of this.#told.get(channel)!) {
      const forgotten = head.epochs.length === 16 && !oldest.has(Number(told.split(':')[0]))
      assert.ok(knows(told) || forgotten, `${told} was told on ${channel} and is unknown`)
    }
    for (const lost of this.#lost.get(channel)!) {
      assert.ok(!knows(lost), `${lost} was lost on ${channel} and is believed`)
    }
  }

  async #expire({ ms, max }: Of<'expire'>): Promise<void> {
    await this.#settle()
    this.#rig.clock.advance(ms)
    const nowMs = this.#rig.clock.nowMs()
    const due = await this.#rig.engine.mailbox.due(nowMs, max)
    const all = channels.flatMap((channel) => this.#model.open(channel))
    const expected = all.filter((command) => this.#model.dueAtMs(command) <= nowMs)
    assert.equal(due.length, Math.min(max, expected.length), 'as many as are due')
    for (const { name, channel, offset } of due) {
      const next = this.#model.clone()
      const command = next.open(channel).find((other) => other.name === name)
      assert.ok(command && next.dueAtMs(command) <= nowMs, `${name} is not due`)
      const how = next.maybeSent(command) ? 'in-doubt' : 'expired'
      const status = command.deliveredAtMs === undefined ? how : 'unanswered'
      const changes = [end(command, offset, status, nowMs, '', next)]
      await this.#settlement(channel, next, { changes }, false)
    }
  }

  // --- what befalls the store ---

  async #restart(): Promise<void> {
    await this.#settle()
    await this.#rig.restart()
    await compare(this.#rig, this.#model, this.#places)
  }

  async #crash(): Promise<void> {
    const answered = this.#steps.findLastIndex((step) => step.answered) + 1
    const candidates = [this.#settled, ...this.#steps.map(({ model }) => model)].slice(answered)
    this.#abandon()
    await this.#rig.crash()
    await this.#begin(candidates)
  }

  async #takeBackup({ kind }: Action): Promise<void> {
    await this.#settle()
    if (kind === 'cold-backup') await this.#rig.stop()
    else await this.#rig.engine.flushed()
    this.#backup = { restore: await this.#rig.store.backup(), model: this.#model.clone() }
    if (kind === 'cold-backup') await this.#rig.start()
  }

  async #restore(): Promise<void> {
    const backup = this.#backup
    if (backup === undefined) return
    await this.#settle()
    await this.#rig.stop()
    await backup.restore()
    await this.#rig.start()
    for (const channel of channels) {
      const there = new Set(
        backup.model.channel(channel).commands.map(({ name }) => {
          const { epoch, offset } = this.#places.get(name)!
          return `${epoch}:${offset}`
        }),
      )
      const told = this.#told.get(channel)!
      for (const position of told) {
        if (there.has(position)) continue
        told.delete(position)
        this.#lost.get(channel)?.add(position)
      }
    }
    this.#abandon()
    await this.#begin([backup.model])
  }

  #abandon(): void {
    this.#life += 1
    this.#outstanding = []
    this.#steps = []
  }

  /** Another life begins; it must be the continuation of one of these. */
  async #begin(candidates: readonly Model[]): Promise<void> {
    for (const epochs of this.#epochs.values()) epochs.current = undefined
    await learnPlaces(this.#rig, this.#places)
    let refusal: unknown
    for (const candidate of candidates) {
      const model = candidate.clone()
      model.forgetSent()
      try {
        await compare(this.#rig, model, this.#places)
      } catch (error) {
        refusal = error
        continue
      }
      this.#model = model
      this.#settled = model
      for (const channel of channels) await this.#open(channel)
      return
    }
    throw refusal
  }

  // --- epochs ---

  #numbered(channel: string, { epoch, offset }: Position): void {
    this.#epochIs(channel, epoch)
    const position = `${channel} ${epoch}:${offset}`
    assert.ok(!this.#used.has(position), `${position} is used twice`)
    this.#used.add(position)
  }

  #epochIs(channel: string, epoch: number): void {
    const epochs = this.#epochs.get(channel)!
    if (epochs.current === undefined) {
      assert.ok(!epochs.ever.has(epoch), `rule 13: epoch ${epoch} of ${channel} goes on`)
      epochs.current = epoch
      epochs.ever.add(epoch)
    }
    assert.equal(epoch, epochs.current, `rule 13: epoch of ${channel}`)
  }

  #channelOf(name: string): string {
    for (const channel of channels) {
      if (this.#model.channel(channel).commands.some((other) => other.name === name)) return channel
    }
    assert.fail(`nobody knows ${name}`)
  }
}

function end(
  command: ModelCommand,
  offset: number,
  status: 'done' | 'canceled' | 'failed' | 'expired' | 'in-doubt' | 'unanswered' | 'delivered',
  atMs: number,
  reason: string,
  model: Model,
): Change {
  model.end(command, `${status}(${reason})`)
  return { kind: 'ended', offset, status, atMs, ...(reason !== '' && { reason }) }
}

function acknowledge(command: ModelCommand, offset: number, atMs: number, model: Model): Change {
  if (command.expect === 'ack') return end(command, offset, 'delivered', atMs, '', model)
  command.deliveredAtMs = atMs
  return { kind: 'delivered', offset, atMs }
}
