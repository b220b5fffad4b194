import assert from 'node:assert/strict'
import type { Appended, Change, Settlement } from '../../src/contract/index.ts'
import { channelParts, commandId } from '../../src/contract/index.ts'
import type { Rig } from '../support/engine-subject.ts'
import { command as makeCommand } from '../support/engine-words.ts'
import { turn } from '../support/turns.ts'
import type { Action, ChangeAction } from './mailbox-model-actions.ts'
import { channels, payloadOf } from './mailbox-model-compare.ts'
import { Lives } from './mailbox-model-lives.ts'
import type { ModelAppend, ModelCommand } from './mailbox-model-state.ts'
import { bounds, type Model } from './mailbox-model-state.ts'

type Of<K extends Action['kind']> = Extract<Action, { readonly kind: K }>

/** Does each action to the engine and to the model, and compares what they say. */
export class MailboxRun {
  readonly #lives: Lives
  #names = 0

  constructor(rig: Rig) {
    this.#lives = new Lives(rig)
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
    if (kind === 'tick') return turn()
    if (kind === 'restart') return this.#lives.restart()
    if (kind === 'crash') return this.#lives.crash()
    if (kind === 'backup' || kind === 'cold-backup')
      return this.#lives.takeBackup(kind === 'cold-backup')
    if (kind === 'restore') return this.#lives.restore()
  }

  /** All is answered; engine and model hold the same. */
  finish(): Promise<void> {
    return this.#lives.finish()
  }

  // --- calls whose answers may be outstanding ---

  async #append(action: Of<'append'>): Promise<void> {
    this.#lives.rig.clock.advance(1)
    const channel = channels[action.channel]!
    const nowMs = this.#lives.rig.clock.nowMs()
    const command: ModelCommand = {
      name: `c${++this.#names}`,
      channel,
      bytes: action.bytes,
      delivery: action.delivery,
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
      intendUpTo: this.#intendUpTo(channel, action),
      ended: action.ended ? 'undeliverable(no-link)' : undefined,
      idempotency:
        action.key === undefined
          ? undefined
          : { key: ['constructor', 'a', 'ab'][action.key]!, hash: `${action.hash}` },
    }
    // Who has to go is told by offsets where a link may be about to take some.
    const replaces = action.overflow === 'drop-oldest' || action.collapse !== undefined
    if (replaces && this.#lives.model.attached.has(channel)) await this.#lives.settle()
    await this.#lives.inTurn(channel, replaces)
    const next = this.#lives.model.clone()
    const expected = next.append(structuredClone(given))
    const asked = this.#lives.rig.engine.mailbox.append(
      channel,
      makeCommand(this.#lives.rig.clock, {
        name: command.name,
        payload: payloadOf(command.name, command.bytes),
        delivery: command.delivery,
        expect: command.expect,
        expiresAtMs: command.expiresAtMs,
        replyTimeoutMs: command.replyTimeoutMs,
        ...(command.collapse !== undefined && { collapse: command.collapse }),
      }),
      {
        ...bounds,
        overflow: given.overflow,
        intendUpTo: given.intendUpTo,
        ...(given.ended && { ended: { status: 'undeliverable', reason: 'no-link' } }),
        ...(given.idempotency && { idempotency: given.idempotency }),
      },
    )
    const life = this.#lives.count
    const answer = asked.then((appended) => {
      if (life === this.#lives.count) this.#appended(command, expected, appended)
    })
    await this.#lives.step(next, answer, action.wait)
  }

  #intendUpTo(channel: string, { intend }: Of<'append'>): number {
    if (intend === 'no') return 0
    return intend === 'near' ? this.#lives.model.top(channel) + 2 : Number.MAX_SAFE_INTEGER
  }

  #appended(
    command: ModelCommand,
    expected: { readonly kind: string; readonly name: string },
    appended: Appended,
  ): void {
    assert.equal(appended.kind, expected.kind, `answer to ${command.name}`)
    if (appended.kind === 'kept') {
      const { epoch, offset } = appended.command
      this.#lives.places.set(command.name, { epoch, offset })
      this.#lives.positions.numbered(command.channel, { epoch, offset })
    } else if (appended.kind === 'repeat' || appended.kind === 'conflict') {
      const channel = this.#channelOf(expected.name)
      const { epoch, offset } = this.#lives.places.get(expected.name)!
      assert.equal(appended.id, commandId(channel, epoch, offset))
    }
  }

  async #change(action: ChangeAction): Promise<void> {
    const channel = channels[action.channel]!
    if (
      this.#lives.model
        .open(channel)
        .some((command) => this.#lives.model.offset(command) === undefined)
    ) {
      await this.#lives.settle()
    }
    const next = this.#lives.model.clone()
    const open = next.open(channel)
    const waiting = next.undelivered(channel).filter((command) => next.maybeSent(command))
    const among = {
      ack: waiting,
      ackUpTo: waiting,
      // Just written to a link that tells nothing (rule 23).
      unheard: waiting.filter(({ expect }) => expect === 'ack'),
      reply: open.filter((command) => next.maybeSent(command)),
      cancel: open.filter((command) => !next.maybeSent(command)),
      untrue: open.filter((command) => next.maybeSent(command)),
      again: next.channel(channel).commands.filter(({ ended }) => ended !== undefined),
    }[action.how]
    if (among.length === 0) return
    const at = action.pick % among.length
    const chosen = action.how === 'ackUpTo' ? among.slice(0, at + 1) : [among[at]!]
    const atMs = this.#lives.rig.clock.nowMs()
    const changes = chosen.flatMap((command) => {
      const offset = next.offset(command)
      // What ended unanswered before a crash that took it back: nobody can name it.
      if (offset === undefined) return []
      if (action.how === 'reply') return [end(command, offset, 'done', atMs, '', next)]
      if (action.how === 'cancel')
        return [end(command, offset, 'canceled', atMs, 'requested', next)]
      if (action.how === 'unheard') {
        return [end(command, offset, 'in-doubt', atMs, 'no-acknowledgement', next)]
      }
      if (action.how === 'untrue') return [untrue(command, offset, atMs)]
      if (action.how === 'again') return [end(command, offset, 'failed', atMs, 'late', next)]
      return [acknowledge(command, offset, atMs, next)]
    })
    await this.#settlement(channel, next, { changes }, action.wait)
  }

  async #uplink({ channel: at, wait }: Of<'uplink'>): Promise<void> {
    const channel = channels[at]!
    const next = this.#lives.model.clone()
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
            atMs: this.#lives.rig.clock.nowMs(),
          },
        ],
        uplinks: state.uplinks,
        ...(offset !== undefined && { attempts: { offset, sessions: this.#names } }),
      },
      wait,
    )
  }

  async #settlement(
    channel: string,
    next: Model,
    settlement: Settlement,
    wait: boolean,
  ): Promise<void> {
    await this.#lives.inTurn(channel, settlement.changes.length > 0)
    const answer = new Promise<void>((resolve, reject) => {
      this.#lives.rig.engine.mailbox.settle(channel, settlement, (outcome) =>
        outcome === 'kept' ? resolve() : reject(new Error(`settled as ${outcome}`)),
      )
    })
    await this.#lives.step(next, answer, wait)
  }

  // --- what a hub does with a link ---

  /** As the pump does: an intent where needed, then write what is read. */
  async #send({ channel: at, count, slack }: Of<'send'>): Promise<void> {
    await this.#lives.settle()
    const channel = channels[at]!
    const { mailbox } = this.#lives.rig.engine
    const { sentUpTo } = this.#lives.model.channel(channel)
    const expected = this.#lives.model
      .undelivered(channel)
      .filter((command) => this.#lives.model.offset(command)! > sentUpTo)
      .slice(0, count)
    const { commands: read } = await mailbox.read(channel, sentUpTo, count)
    assert.deepEqual(
      read.map(({ name }) => name),
      expected.map(({ name }) => name),
    )
    const last = read.at(-1)
    if (last === undefined) return
    const state = this.#lives.model.channel(channel)
    if (this.#lives.model.intended(channel) < last.offset) {
      assert.equal(await mailbox.intend(channel, last.offset + slack), true)
      state.intended = last.offset + slack
    }
    mailbox.sent(channel, last.offset, this.#lives.rig.clock.nowMs())
    state.sentUpTo = last.offset
    for (const position of read) this.#lives.positions.tell(channel, position)
  }

  /** Whatever is outstanding: nothing ended or delivered, all that is kept, in order. */
  async #read({ channel: at, pick, max }: Of<'read'>): Promise<void> {
    const channel = channels[at]!
    const kept = new Set(this.#lives.sure.undelivered(channel).map(({ name }) => name))
    const wanted = this.#lives.model.undelivered(channel)
    const offsets = wanted.map((command) => this.#lives.model.offset(command) ?? 0)
    const after = pick === 0 ? 0 : (offsets[pick % Math.max(1, offsets.length)] ?? 0)
    const reading = await this.#lives.rig.engine.mailbox.read(channel, after, max)
    const { commands: read, lookedUpTo } = reading
    assert.ok(read.length <= max, 'a page is as long as asked for at most')
    assert.ok(lookedUpTo >= (read.at(-1)?.offset ?? 0), 'what was read was looked at')
    const names = read.map(({ name }) => name)
    const all = wanted.map(({ name }) => name)
    assert.deepEqual(
      names,
      all.filter((name) => names.includes(name)),
      'in order, and nothing that has ended',
    )
    const sure = wanted.filter(
      (command) => kept.has(command.name) && this.#lives.model.offset(command)! > after,
    )
    for (const command of sure) {
      const looked = this.#lives.model.offset(command)! <= lookedUpTo
      assert.ok(!looked || names.includes(command.name), `${command.name} is not read`)
    }
    assert.ok(names.length > 0 || sure.length === 0 || max === 0, 'nothing is read')
  }

  /** Another link takes the channel, or the last one has gone. */
  async #hold({ kind, channel: at }: Of<'takeover' | 'release'>): Promise<void> {
    const channel = channels[at]!
    const { directory, mailbox } = this.#lives.rig.engine
    if (kind === 'release') {
      this.#lives.model.attached.delete(channel)
      mailbox.release(channel)
      return
    }
    await this.#lives.settle()
    const older = await directory.claim(channel, 'older')
    const newer = await directory.claim(channel, 'newer')
    assert.ok(newer.term > older.term, 'terms grow')
    assert.equal(await directory.renew(older), false)
    this.#lives.positions.check(channel, await this.#lives.open(channel))
  }

  async #expire({ ms, max }: Of<'expire'>): Promise<void> {
    await this.#lives.settle()
    this.#lives.rig.clock.advance(ms)
    const nowMs = this.#lives.rig.clock.nowMs()
    const due = await this.#lives.rig.engine.mailbox.due(nowMs, max)
    const all = channels.flatMap((channel) => this.#lives.model.open(channel))
    const expected = all.filter((command) => this.#lives.model.dueAtMs(command) <= nowMs)
    assert.equal(due.length, Math.min(max, expected.length), 'as many as are due')
    for (const { name, channel, offset } of due) {
      const next = this.#lives.model.clone()
      const command = next.open(channel).find((other) => other.name === name)
      assert.ok(command && next.dueAtMs(command) <= nowMs, `${name} is not due`)
      const how = next.maybeSent(command) ? 'in-doubt' : 'expired'
      const status = command.deliveredAtMs === undefined ? how : 'unanswered'
      const changes = [end(command, offset, status, nowMs, '', next)]
      await this.#settlement(channel, next, { changes }, false)
    }
  }

  #channelOf(name: string): string {
    for (const channel of channels) {
      if (this.#lives.model.channel(channel).commands.some((other) => other.name === name))
        return channel
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

/** Decided on what was true before it was sent, or before it was delivered. */
const untrue = ({ deliveredAtMs }: ModelCommand, offset: number, atMs: number): Change =>
  deliveredAtMs === undefined
    ? { kind: 'ended', offset, status: 'canceled', atMs }
    : { kind: 'ended', offset, status: 'in-doubt', atMs }

function acknowledge(command: ModelCommand, offset: number, atMs: number, model: Model): Change {
  if (command.expect === 'ack') return end(command, offset, 'delivered', atMs, '', model)
  command.deliveredAtMs = atMs
  return { kind: 'delivered', offset, atMs }
}
