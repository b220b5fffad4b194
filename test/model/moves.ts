import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Attached, DeviceReply, Position } from '../../src/contract/index.ts'
import { deviceName, nth } from './asks/names.ts'
import { limits } from './limits.ts'
import { type Fact, hasChannel, isOpen, mailbox } from './state.ts'
import type { Story } from './story.ts'
import { type Claim, keyOf, Line, type Locker } from './wire.ts'

const channel = fc.constantFrom('main', 'main', 'main', 'main', 'main', 'urgent', 'media', 'media')
const which = fc.nat(1_000)
const appOf = fc.constantFrom('default', 'default', 'default', 'default', 'default', 'other')

/** What devices do. */
export const deviceMoves = {
  attach: fc.record({
    do: fc.constant('attach' as const),
    app: appOf,
    device: deviceName,
    channel: fc.oneof(
      { weight: 19, arbitrary: channel },
      { weight: 1, arbitrary: fc.constant('nowhere') },
    ),
    claim: fc.constantFrom<Claim[]>(
      'true',
      'true',
      'true',
      'true',
      'none',
      'older',
      'unknown',
      'ahead',
    ),
    window: fc.constantFrom(undefined, undefined, 1, 2),
    small: fc.constantFrom(false, false, false, true),
    starts: fc.constantFrom(true, true, true, false),
    stalled: fc.constantFrom(false, false, false, false, true),
    keepaliveMs: fc.constantFrom(undefined, 60_000),
  }),
  acknowledge: fc.record({
    do: fc.constant('acknowledge' as const),
    which,
    upTo: fc.boolean(),
    at: fc.constantFrom('first', 'last', 'any', 'any', 'beyond', 'old'),
    pick: which,
  }),
  reply: fc.record({
    do: fc.constant('reply' as const),
    which,
    pick: which,
    recent: fc.boolean(),
    status: fc.constantFrom(
      'done' as const,
      'done' as const,
      'failed' as const,
      'rejected' as const,
    ),
    reason: fc.constantFrom(undefined, 'jammed', 'late'),
    stamped: fc.boolean(),
  }),
  report: fc.record({
    do: fc.constant('report' as const),
    which,
    count: fc.integer({ min: 1, max: 3 }),
    stamped: fc.constantFrom(true, true, false),
    again: fc.constantFrom(false, false, true),
  }),
  leave: fc.record({ do: fc.constant('leave' as const), which, graceful: fc.boolean() }),
  drain: fc.record({ do: fc.constant('drain' as const), which, stall: fc.boolean() }),
  say: fc.record({ do: fc.constant('say' as const), which }),
}

type Of<K extends keyof typeof deviceMoves> =
  (typeof deviceMoves)[K] extends fc.Arbitrary<infer T> ? T : never

let lines = 0

const lineOf = (story: Story, which: number): Line | undefined => {
  const all = [...story.lockers.values()].flatMap(({ line }) =>
    line?.talks === undefined ? [] : [line],
  )
  return nth(all, which)
}

export const moves = {
  async attach(story: Story, fields: Of<'attach'>) {
    const { app, device, claim } = fields
    const known = story.apps.get(app)?.devices.get(device)
    const locker = story.locker(app, device, fields.channel)
    const key = keyOf(locker)
    const resumeFrom = claimed(story, locker, claim)
    const line = new Line(`line-${++lines}`, locker, {
      claim: resumeFrom === undefined && claim === 'true' ? 'true' : claim,
      windowMax: fields.window ?? limits.windowMaxCommands,
      carriesMaxBytes: fields.small ? 500 : Number.POSITIVE_INFINITY,
      nowMs: () => story.nowMs,
      write: (delivery) => story.deliveries.push(delivery),
    })
    if (fields.stalled) line.takes = 'full'
    const older = locker.line
    const before = { heldUntilMs: locker.heldUntilMs }
    const isReplacing = older !== undefined && !older.isClosed
    const isItsOwn =
      older !== undefined &&
      older.client === line.client &&
      story.nowMs - older.heardAtMs >= limits.ackOverdueMaxMs
    const isTaking = isReplacing && !isItsOwn
    const expected = refusal(story, locker, known, fields.channel, isTaking)
    const asked = story.system.life.hub.attach(line, {
      app,
      device,
      channel: fields.channel,
      uplinkEpoch: locker.uplinkEpoch,
      ...(fields.window !== undefined && { windowMaxCommands: fields.window }),
      ...(fields.keepaliveMs !== undefined && { keepaliveMs: fields.keepaliveMs }),
      ...(resumeFrom !== undefined && { resumeFrom }),
    })
    const attached: Attached = await asked
    if (attached.kind === 'refused') {
      const { reason } = attached
      story.figures.moved(`attach refused: ${reason}`)
      // The older one is told before the newer is let in.
      if (isReplacing && older.isClosed) story.attachChanged(key)
      assert.ok(
        (expected ?? []).includes(reason) || (story.broken && reason === 'unavailable'),
        `${key}: refused as ${reason}, not ${expected?.join(' or ') ?? 'attached'}`,
      )
      if (reason === 'conflict' && before.heldUntilMs <= story.nowMs) {
        locker.heldUntilMs = story.nowMs + limits.conflictHoldMs
        locker.takeovers = []
        story.ledger.curious.push({
          kind: 'session.conflict',
          device: `${app}/${device}`,
          atMs: story.nowMs,
        })
        story.attachChanged(key)
      }
      return
    }
    assert.ok(
      expected === undefined || expected.includes('attached'),
      `${key}: attached, not refused as ${expected?.join(' or ')}`,
    )
    story.attachChanged(key)
    if (isReplacing) {
      assert.ok(older.closed?.reason === 'taken-over', `${key}: the older link was not told`)
    }
    if (isTaking) {
      locker.takeovers = [
        ...locker.takeovers.filter((at) => story.nowMs - at < limits.takeoverWindowMs),
        story.nowMs,
      ]
    }
    const { session } = attached
    locker.line = line
    line.session = session
    line.start = session.position
    line.keepaliveMs = session.keepaliveMs
    line.top = session.position.offset
    story.arrived(key, line.carriesMaxBytes)
    judgeWelcome(story, line, session.resumed, resumeFrom)
    if (!fields.starts) return
    line.started = true
    session.start()
  },

  async acknowledge(story: Story, { which, upTo, at, pick }: Of<'acknowledge'>) {
    const line = lineOf(story, which)
    if (line === undefined) return
    const out = [...line.out.keys()]
    const offset = {
      first: out[0],
      last: out.at(-1),
      any: nth(out, pick),
      beyond: line.top + 1 + (pick % 3),
      old: Math.max(1, line.start.offset - (pick % 3)),
    }[at]
    if (offset === undefined) return
    line.heard()
    const answer = upTo ? line.session!.acknowledgeUpTo(offset) : line.session!.acknowledge(offset)
    assert.equal(
      answer,
      offset <= line.top ? 'ok' : 'unknown',
      `${line.id}: acknowledge ${offset} of ${line.top}`,
    )
    if (answer === 'ok') acknowledged(story, line, offset, upTo)
  },

  async reply(story: Story, fields: Of<'reply'>) {
    const { which, pick, recent, status, stamped } = fields
    const lockers = [...story.lockers.values()].filter(({ received }) => received.size > 0)
    const withLine = lockers.filter(({ line }) => line?.talks !== undefined)
    const locker = nth(withLine, which)
    if (locker === undefined) return
    const line = locker.line!
    const all = [...locker.received.values()]
    const { command } = recent ? all.at(-1)! : nth(all, pick)!
    const reason = status === 'done' ? undefined : fields.reason
    const reply: DeviceReply = {
      ...{ epoch: command.epoch, offset: command.offset, status },
      ...(reason !== undefined && { reason }),
      ...{ payload: Buffer.from('{"ok":true}'), contentType: 'application/json' },
      ...(stamped && { stamp: { epoch: locker.uplinkEpoch, sequence: ++locker.sequence } }),
    }
    line.heard()
    const known = story.apps.get(locker.app)!.commands.get(command.id)!
    const fact: Fact & typeof reply = { ...story.fact(), ...reply }
    const isForgotten = known.end !== undefined && known.end.atMs <= story.nowMs - story.forgetsMs
    const wasOpen = isOpen(known)
    if (wasOpen) known.replies.push(fact)
    else if (!isForgotten) known.lateDue.push({ ...story.fact(), proof: 'reply' })
    else return
    line.out.delete(command.offset)
    line.doubted.delete(command.offset)
    const outcomes: string[] = []
    line.session!.reply(reply, (outcome) => outcomes.push(outcome))
    await story.system.quiet()
    if (!story.broken && story.system.life.engine.state === 'ready' && !story.failing)
      assert.deepEqual(outcomes, ['kept'], `${line.id}: a reply to ${command.id}`)
    const told: Fact = wasOpen ? fact : known.lateDue.at(-1)!
    if (outcomes[0] !== 'kept') told.maybe = true
  },

  async report(story: Story, { which, count, stamped, again }: Of<'report'>) {
    const line = lineOf(story, which)
    if (line === undefined) return
    const { locker } = line
    // What comes again comes in its order: nothing newer may have been said since.
    const isAgain =
      again &&
      locker.lastReport.length > 0 &&
      locker.lastReport.at(-1)!.stamp?.sequence === locker.sequence
    if (!isAgain) {
      locker.lastReport = Array.from({ length: count }, () => ({
        name: `u${++story.names}`,
        payload: Buffer.from(`{"n":${story.names}}`),
        contentType: 'application/json',
        ...(stamped && { stamp: { epoch: locker.uplinkEpoch, sequence: ++locker.sequence } }),
      }))
    }
    const uplinks = locker.lastReport
    line.heard()
    const facts = uplinks.map(({ name, stamp }) => {
      const fact = story.fact()
      const known = story.ledger.uplinks.get(name)
      if (known !== undefined) known.facts.push(fact)
      else {
        const device = `${locker.app}/${locker.device}`
        story.ledger.uplinks.set(name, {
          device,
          facts: [fact],
          stamped: stamp !== undefined,
          told: 0,
        })
      }
      return fact
    })
    const outcomes: string[] = []
    line.session!.receive(uplinks, (outcome) => outcomes.push(outcome))
    await story.system.quiet()
    const quota = story.apps.get(locker.app)!.quota?.eventsPerSecond !== undefined
    const isWell = !story.broken && story.system.life.engine.state === 'ready' && !story.failing
    // At the store's bound events are refused; adapters close a link that was answered so.
    const isLow = story.spaceDoubt || story.system.space?.low === true
    const isRefused = isLow && outcomes[0] === 'unavailable'
    if (isWell && !quota && !isRefused) assert.deepEqual(outcomes, ['kept'], `${line.id}: a report`)
    if (isRefused && line === locker.line) leave(story, line, false)
    if (outcomes[0] === 'unavailable')
      for (const fact of facts) Object.assign(fact, { maybe: true })
  },

  async leave(story: Story, { which, graceful }: Of<'leave'>) {
    const line = lineOf(story, which)
    if (line !== undefined) leave(story, line, graceful)
  },

  async drain(story: Story, { which, stall }: Of<'drain'>) {
    const line = lineOf(story, which)
    if (line === undefined) return
    line.takes = stall ? 'full' : 'open'
    line.heard()
    if (!stall) line.session!.drained()
  },

  /** A sign of life; and, where it had not, the device says that it knows it is attached. */
  async say(story: Story, { which }: Of<'say'>) {
    const line = lineOf(story, which)
    if (line === undefined) return
    line.heard()
    if (line.started) return
    line.started = true
    line.session!.start()
  },
}

function leave(story: Story, line: Line, graceful: boolean): void {
  line.locker.line = undefined
  story.attachChanged(keyOf(line.locker))
  line.session!.detach(graceful)
}

function claimed(
  story: Story,
  { stand, stoodBefore, ...locker }: Locker,
  claim: Claim,
): Position | undefined {
  if (claim === 'true') return stand
  if (claim === 'older') return stoodBefore
  if (claim === 'unknown') return { epoch: 0xffff_fff0, offset: 3 }
  if (claim === 'none' || stand === undefined) return undefined
  // A place it was never given, but that exists: it says it has what it does not have.
  const app = story.apps.get(locker.app)!
  const last = mailbox(app, locker.device, locker.channel).at(-1)?.place
  return last ?? stand
}

function refusal(
  story: Story,
  locker: Locker,
  device: { readonly disabled: boolean; readonly channels: object } | undefined,
  channel: string,
  isTaking: boolean,
): readonly string[] | undefined {
  if (device === undefined || device.disabled) return ['unauthorized']
  if (!hasChannel(device as never, channel)) return ['unknown-channel']
  if (locker.heldUntilMs > story.nowMs) return ['conflict']
  const { quota, quotaChangedAtMs } = story.apps.get(locker.app)!
  const lately = story.nowMs - quotaChangedAtMs < 60_000
  const mayBeCrowded = quota?.sessions !== undefined || lately
  const recent = locker.takeovers.filter((at) => story.nowMs - at < limits.takeoverWindowMs)
  if (isTaking && recent.length + 1 >= limits.takeoversMax)
    return mayBeCrowded ? ['conflict', 'overloaded'] : ['conflict']
  return mayBeCrowded ? ['overloaded', 'attached'] : undefined
}

/** Rules 13 and 14: where delivery starts, and what the device has acknowledged by where it stands. */
function judgeWelcome(
  story: Story,
  line: Line,
  resumed: string,
  claim: Position | undefined,
): void {
  const { locker, start } = line
  const about = `${line.id} of ${keyOf(locker)}, standing at ${JSON.stringify(claim)}`
  const app = story.apps.get(locker.app)!
  const isUnknown = line.claim === 'unknown'
  if (isUnknown) {
    const device = `${locker.app}/${locker.device}`
    story.ledger.curious.push({ kind: 'position.unknown', device, atMs: story.nowMs })
  }
  assert.equal(resumed, isUnknown ? 'tail-lost' : claim === undefined ? 'fresh' : 'resumed', about)
  if (resumed === 'resumed')
    assert.ok(start.offset >= claim!.offset, `${about}: starts at ${start.offset}`)
  for (const command of mailbox(app, locker.device, locker.channel)) {
    const { offset } = command.place!
    if (command.acks.length > 0) continue
    if (offset <= start.offset) {
      assert.ok(
        resumed === 'resumed' && offset <= claim!.offset,
        `${about}: ${command.id} is passed over`,
      )
      command.acks.push(story.fact())
    } else command.exposed = true
  }
}

/** What the device's acknowledgement is to the commands it is about. */
function acknowledged(story: Story, line: Line, offset: number, upTo: boolean): void {
  const { locker } = line
  const app = story.apps.get(locker.app)!
  for (const command of app.commands.values()) {
    if (command.device !== locker.device || command.spec.channel !== locker.channel) continue
    const at = command.place?.offset
    if (at === undefined || !line.written.has(at) || !(at === offset || (upTo && at <= offset)))
      continue
    if (isOpen(command)) {
      if (command.acks.length === 0) command.acks.push(story.fact())
    } else if (line.doubted.delete(at))
      command.lateDue.push({ ...story.fact(), proof: 'acknowledged' })
  }
  line.acknowledged(offset, upTo)
}
