import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Channel } from '../../src/channel/index.ts'
import type { Change, Head, OpenCommand, Settlement } from '../../src/contract/index.ts'
import { limits } from '../../src/contract/index.ts'

/** What this link can carry: every eleventh command is too large for it. */
const carries = ({ offset }: OpenCommand): boolean => offset % 11 !== 0

/**
 * A channel against the plainest mailbox there is, through thousands of orders of appends,
 * acknowledgements, late answers of the store, lost links and crashes, in virtual time.
 *
 * What must hold at every step is what a door depends on: order, no second writing of a `now`,
 * nothing first written after its expiry, never more out than the window, never past a kept intent.
 */
class Mail {
  open: OpenCommand[] = []
  ended = new Map<number, string>()
  readonly written = new Set<number>()
  top = 0
  sentUpTo = 0
  intended = 0
  nowMs = 1_000

  append(ttlMs: number, now: boolean, reply: boolean): void {
    const offset = ++this.top
    this.open.push({
      id: `d:main:1:${offset}`,
      channel: 'default/d/main',
      epoch: 1,
      offset,
      name: 'open',
      payload: new Uint8Array(3),
      contentType: 'application/json',
      delivery: now ? 'now' : 'queue',
      expect: reply ? 'reply' : 'ack',
      acceptedAtMs: this.nowMs,
      expiresAtMs: this.nowMs + ttlMs,
      replyTimeoutMs: 1_000,
      askedBy: 'first',
      maybeSent: false,
    })
  }

  head(): Head {
    const undelivered = this.list().filter((command) => command.deliveredAtMs === undefined)
    return {
      epochs: [{ epoch: 1, last: this.top }],
      cursor: (undelivered[0]?.offset ?? this.top + 1) - 1,
      top: this.top,
      sentUpTo: this.sentUpTo,
      intended: this.intended,
      uplinks: undefined,
      attempts: undefined,
      open: this.list(),
    }
  }

  list(): OpenCommand[] {
    return this.open.map((command) => ({ ...command, maybeSent: command.offset <= this.sentUpTo }))
  }

  settle({ changes, intendUpTo = 0 }: Settlement): void {
    this.intended = Math.max(this.intended, intendUpTo)
    for (const change of changes) this.#apply(change)
  }

  #apply(change: Change): void {
    const at = this.open.findIndex(({ offset }) => offset === change.offset)
    if (at < 0) return
    if (change.kind === 'delivered') {
      assert.ok(this.written.has(change.offset), 'delivered though it was never written')
      this.open[at] = { ...this.open[at]!, deliveredAtMs: change.atMs }
      return
    }
    const [gone] = this.open.splice(at, 1)
    const sent = gone!.offset <= this.sentUpTo
    if (change.status === 'delivered') {
      assert.ok(this.written.has(gone!.offset), 'delivered though it was never written')
    }
    if (change.status === 'expired') assert.ok(!sent, 'expired though it may have been sent')
    assert.ok(!this.ended.has(change.offset), 'ended twice')
    this.ended.set(change.offset, change.status)
  }
}

/** The link's side: what it wrote, checked as it is written. */
class Run {
  readonly mail = new Mail()
  channel: Channel | undefined
  writtenInSession: number[] = []
  acknowledgedUpTo = 0
  windowMax = 4
  /** Whether the link that is attached tells what has arrived (rule 23). */
  acknowledges = true
  reads = 0
  /** What the store has not answered yet. */
  pending: (() => void)[] = []

  attach(position: number | undefined, acknowledges = true): void {
    this.detach()
    this.acknowledges = acknowledges
    this.writtenInSession = []
    this.acknowledgedUpTo = 0
    const arrival = {
      keepaliveMs: 60_000,
      windowMaxCommands: this.windowMax,
      resumeFrom: position === undefined ? undefined : { epoch: 1, offset: position },
      uplinkEpoch: undefined,
      acknowledges: this.acknowledges,
    }
    this.channel = new Channel('default/d/main', this.mail.head(), arrival, limits, this.mail.nowMs)
    this.perform()
    this.channel.pump.start()
    this.perform()
  }

  detach(): void {
    this.channel?.pump.stop()
    this.channel = undefined
    for (const answer of this.pending.splice(0)) answer() // what was on its way is still kept
  }

  perform(): void {
    const channel = this.channel
    if (channel === undefined) return
    for (const effect of channel.effects.splice(0)) {
      if (effect.kind === 'deliver') this.write(effect.command, channel)
      else if (effect.kind === 'settle') {
        // Changes take effect in the order they are made; only the answer is late.
        const { settlement } = effect
        this.mail.settle(settlement)
        this.later(channel, () => channel.pump.settled(settlement.changes, settlement.intendUpTo))
      } else if (effect.kind === 'intend') {
        this.later(channel, () => {
          this.mail.intended = Math.max(this.mail.intended, effect.upTo)
          channel.pump.intended(effect.upTo)
        })
      } else if (effect.kind === 'read') {
        this.later(channel, () => {
          const found = this.mail
            .list()
            .filter((one) => one.offset > effect.after && one.deliveredAtMs === undefined)
          // Sometimes it cannot look as far as it could.
          const commands = found.slice(0, (++this.reads % 3) + 1).slice(0, effect.max)
          const lookedUpTo =
            commands.length < found.length
              ? (commands.at(-1)?.offset ?? effect.after)
              : this.mail.top
          channel.pump.offer({ commands, lookedUpTo }, carries, this.mail.nowMs)
        })
      }
    }
  }

  later(channel: Channel, answer: () => void): void {
    this.pending.push(() => {
      answer()
      if (this.channel === channel) this.perform()
    })
  }

  write(command: OpenCommand, channel: Channel): void {
    const { offset } = command
    const last = this.writtenInSession.at(-1) ?? 0
    assert.ok(carries(command), 'written though the link cannot carry it')
    assert.ok(offset > last, `overtaken: ${offset} after ${last}`)
    const before = this.mail.written.has(offset)
    if (command.delivery === 'now') assert.ok(!before, 'a now written twice')
    if (!this.acknowledges) assert.ok(!before, 'written again to a link that tells nothing')
    if (!this.mail.written.has(offset)) {
      assert.ok(this.mail.nowMs < command.expiresAtMs, 'first written after its expiry')
    }
    assert.ok(offset <= this.mail.intended, 'written past a kept intent')
    assert.ok(!this.mail.ended.has(offset), 'written after its end')
    this.mail.written.add(offset)
    this.writtenInSession.push(offset)
    this.mail.sentUpTo = Math.max(this.mail.sentUpTo, offset)
    assert.ok(channel.inFlight <= this.windowMax, 'more out than the window holds')
    if (!this.acknowledges) assert.equal(channel.inFlight, 0, 'out on a link that tells nothing')
  }

  answerStore(): void {
    this.pending.shift()?.()
  }

  settleAll(): void {
    while (this.pending.length > 0) this.answerStore()
  }
}

type Step =
  | { do: 'append'; ttlMs: number; now: boolean; reply: boolean; hinted: boolean }
  | { do: 'patrol' }
  | { do: 'attach'; position: 'none' | 'last' | 'behind'; acknowledges: boolean }
  | { do: 'detach' }
  | { do: 'crash' }
  | { do: 'answer' }
  | { do: 'acknowledge'; pick: number; upTo: boolean }
  /** Something ends an unsent command without telling: canceled, collapsed, dropped. */
  | { do: 'end'; pick: number }
  | { do: 'pass'; ms: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      ttlMs: fc.constantFrom(50, 500, 1e6),
      now: fc.boolean(),
      reply: fc.boolean(),
      hinted: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('attach' as const),
      position: fc.constantFrom('none' as const, 'last' as const, 'behind' as const),
      acknowledges: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'detach' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'patrol' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
  { weight: 6, arbitrary: fc.constant({ do: 'answer' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('acknowledge' as const),
      pick: fc.nat(20),
      upTo: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('end' as const), pick: fc.nat(20) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 60, 600) }),
  },
)

function take(run: Run, one: Step): void {
  const { mail, channel } = run
  switch (one.do) {
    case 'append': {
      mail.append(one.ttlMs, one.now, one.reply)
      const intend = mail.top <= (channel?.pump.takesUpTo ?? 0)
      if (intend) mail.intended = Math.max(mail.intended, mail.top)
      if (one.hinted) channel?.pump.hint(mail.top, intend)
      break
    }
    case 'attach': {
      const last = run.writtenInSession.at(-1) ?? 0
      // Who was passed over there does not know where it stands.
      const knows = run.acknowledges && one.position !== 'none'
      run.attach(
        !knows ? undefined : one.position === 'last' ? last : Math.floor(last / 2),
        one.acknowledges,
      )
      break
    }
    case 'patrol':
      channel?.pump.patrol()
      break
    case 'detach':
      run.detach()
      break
    case 'crash': // the store's answers are lost with the process, what it was told to keep is not
      run.pending = []
      run.channel?.pump.stop()
      run.channel = undefined
      mail.sentUpTo = Math.max(mail.sentUpTo, mail.intended)
      break
    case 'answer':
      run.answerStore()
      break
    case 'acknowledge': {
      if (channel === undefined || run.writtenInSession.length === 0) break
      if (!run.acknowledges) break
      const offset = run.writtenInSession[one.pick % run.writtenInSession.length]!
      const answer = one.upTo
        ? channel.acknowledgeUpTo(offset, mail.nowMs)
        : channel.acknowledge(offset, mail.nowMs)
      assert.notEqual(answer, 'unknown')
      break
    }
    case 'end': {
      const unsent = mail.open.filter(({ offset }) => offset > mail.sentUpTo)
      const picked = unsent[one.pick % Math.max(1, unsent.length)]
      if (picked === undefined) break
      const { offset } = picked
      mail.settle({ changes: [{ kind: 'ended', offset, status: 'canceled', atMs: mail.nowMs }] })
      break
    }
    case 'pass':
      mail.nowMs += one.ms
      break
  }
  run.perform()
}

test('a channel keeps its promises in any order of appends, acknowledgements, crashes and time', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const run = new Run()
      for (const one of steps) take(run, one)
    }),
    { numRuns: Number(process.env.PIKE_RUNS ?? 1_000) },
  )
})

test('whatever happened, a device that comes and acknowledges gets all that is still open', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const run = new Run()
      for (const one of steps) take(run, one)
      if (run.channel === undefined || !run.acknowledges) run.attach(undefined)
      for (let i = 0; i < 400 && run.channel !== undefined; i++) {
        run.settleAll()
        const last = run.writtenInSession.at(-1)
        if (last !== undefined) run.channel.acknowledgeUpTo(last, run.mail.nowMs)
        run.perform()
        run.channel.pump.patrol()
        run.perform()
      }
      const left = run.mail
        .list()
        .filter((one) => one.deliveredAtMs === undefined)
        .filter((one) => !(one.maybeSent && run.mail.nowMs >= one.expiresAtMs))
      assert.deepEqual(left, [], 'stuck: open, not expired, and not sent to a willing device')
    }),
    { numRuns: Number(process.env.PIKE_RUNS ?? 500) },
  )
})

test('rule 23: what a link that tells nothing was given is never given again, and ends as nobody knows', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const run = new Run()
      for (const one of steps) take(run, one)
      run.attach(undefined, false)
      for (let i = 0; i < 50; i++) {
        run.settleAll()
        run.perform()
        run.channel!.pump.patrol()
        run.perform()
      }
      const { mail } = run
      for (const command of mail.list()) {
        const { offset, expect, maybeSent, deliveredAtMs } = command
        assert.ok(maybeSent, 'stuck: not given to a willing link')
        const here = run.writtenInSession.includes(offset)
        assert.ok(!here || expect === 'reply', 'open, though nobody will ever tell of it')
        assert.equal(here && deliveredAtMs !== undefined, false, 'delivered, though nobody told')
      }
      for (const offset of run.writtenInSession) {
        if (mail.ended.has(offset)) assert.equal(mail.ended.get(offset), 'in-doubt')
      }
    }),
    { numRuns: Number(process.env.PIKE_RUNS ?? 500) },
  )
})
