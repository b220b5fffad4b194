import assert from 'node:assert/strict'
import { eventJson } from '../../src/api/index.ts'
import { deviceKey, type Found, isFailure, locateCommand } from '../../src/contract/index.ts'
import { limits } from './limits.ts'
import { type App, type Broadcast, type Command, type Fact, isOpen, type Spec } from './state.ts'
import type { Lost, Story } from './story.ts'
import type { Delivery } from './wire.ts'

interface Uplink {
  readonly device: string
  /** Arrivals that must be, and may be, in the log. */
  readonly facts: Fact[]
  readonly stamped: boolean
  told: number
}

/** What the product tells of itself: the events, its commands, its broadcasts. */
export class Ledger {
  readonly #story: Story
  readonly uplinks = new Map<string, Uplink>()
  readonly #presence = new Map<string, { readonly state: string; readonly atMs: number }>()
  /** Fights and unknown positions that are to be told, by kind. */
  readonly #replied = new Set<string>()
  readonly curious: { kind: string; device: string; atMs: number }[] = []

  constructor(story: Story) {
    this.#story = story
  }

  /** Presence is of a process; the next begins with nobody there. */
  lose(): void {
    const { settledStep } = this.#story
    for (const { facts } of this.uplinks.values())
      for (const fact of facts) if (fact.step > settledStep) fact.maybe = true
  }

  forget(app: string): void {
    for (const key of [...this.#presence.keys()])
      if (key.startsWith(`${app}/`)) this.#presence.delete(key)
  }

  /** Commands that came to be by themselves: of broadcasts, and of those whose time has come. */
  async adopt(): Promise<void> {
    const { engine } = this.#story.system.life
    for (const app of this.#story.apps.values()) {
      for (const broadcast of app.broadcasts.values()) {
        if (broadcast.state !== 'running') continue
        const query = { limit: 1_000 }
        const { items } = await engine.broadcasts.members(app.name, broadcast.id, query)
        for (const { device, command } of items) {
          assert.ok(
            broadcast.members.has(device),
            `${broadcast.id}: ${device} is none of its members`,
          )
          if (command === undefined || broadcast.members.get(device) !== undefined) continue
          broadcast.members.set(device, await this.#member(app, broadcast, device, command))
        }
      }
      for (const command of app.commands.values()) {
        if (!isOpen(command) || command.place !== undefined) continue
        if (this.#story.nowMs < command.spec.notBeforeMs!) continue
        const found = await this.find(app, command.id)
        assert.ok(found, `${command.id} is lost`)
        if (found.command.epoch !== 0)
          this.#story.placed(command, placeOf(found), this.#story.nowMs)
      }
    }
  }

  async find(app: App, id: string): Promise<Found | undefined> {
    const place = locateCommand(app.name, id)
    assert.ok(place, `${id} is no command id`)
    return this.#story.system.life.engine.mailbox.find(place.channel, place.epoch, place.offset)
  }

  async #member(app: App, broadcast: Broadcast, device: string, id: string): Promise<Command> {
    const found = await this.find(app, id)
    assert.ok(found, `${id} of ${broadcast.id} is lost`)
    const { spec } = broadcast
    const { command } = found
    sameCommand(command, spec, `${id} of ${broadcast.id}`)
    assert.equal(command.broadcast, broadcast.id)
    assert.equal(command.expiresAtMs, command.acceptedAtMs + spec.ttlMs, `${id}: deadline`)
    const { acceptedAtMs, expiresAtMs } = command
    const { askedBy } = broadcast
    assert.equal(command.askedBy, askedBy)
    return this.#story.accept(
      {
        id,
        app: app.name,
        device,
        spec,
        askedBy,
        acceptedAtMs,
        expiresAtMs,
        broadcast: broadcast.id,
      },
      placeOf(found),
      acceptedAtMs,
    )
  }

  /** What was written to a link must be known, or be what a lost call asked for. */
  written({ line, downlink }: Delivery): Command | undefined {
    const app = this.#story.apps.get(line.locker.app)!
    const { id, epoch, offset } = downlink.command
    const command = app.commands.get(id)
    if (command === undefined) return undefined
    if (command.place === undefined)
      this.#story.placed(command, { epoch, offset }, this.#story.nowMs)
    assert.deepEqual(command.place, { epoch, offset }, `${id}: place`)
    return command
  }

  /** A command of which only this is known belongs to a call whose answer was lost. */
  async claim(lost: Lost, isAfterLoss = true): Promise<boolean> {
    const { app, device, spec, askedBy, idempotency } = lost
    const known = [...app.commands.values(), ...app.broadcasts.values()]
    // It was repeated since, with its key.
    if (known.some((one) => one.spec.name === spec.name)) return true
    const { mailbox, broadcasts } = this.#story.system.life.engine
    if (device === undefined) {
      const all = broadcasts.list(app.name, { limit: 1_000 }).items
      const found = all.find(({ command }) => command.name === spec.name)
      if (found === undefined) return false
      const { items } = await broadcasts.members(app.name, found.id, { limit: 1_000 })
      const { tag, rate, stopAfterFailures } = lost
      assert.equal(found.tag, tag)
      app.broadcasts.set(found.id, {
        ...{ id: found.id, app: app.name, tag: tag!, spec, askedBy, rate, stopAfterFailures },
        createdAtMs: found.createdAtMs,
        members: new Map(items.map((item) => [item.device, undefined])),
        stopAskedAt: undefined,
        state: 'running',
        lives: 1,
      })
      if (idempotency !== undefined)
        app.remembered.set(idempotency.key, {
          hash: idempotency.hash,
          id: found.id,
          atMs: found.createdAtMs,
        })
      return true
    }
    const page = await mailbox.history(deviceKey(app.name, device), { limit: 1_000 })
    const found = page.items.find(({ command }) => command.name === spec.name)
    if (found === undefined) return false
    const { command } = found
    sameCommand(command, spec, command.id)
    const { id, acceptedAtMs, expiresAtMs } = command
    const made = this.#story.accept(
      { id, app: app.name, device, spec, askedBy, acceptedAtMs, expiresAtMs, broadcast: undefined },
      command.epoch === 0 ? undefined : placeOf(found),
      acceptedAtMs,
    )
    // Whether it was sent before the process was lost nobody knows yet.
    if (isAfterLoss) made.exposed = made.doubt = true
    if (idempotency !== undefined)
      app.remembered.set(idempotency.key, { hash: idempotency.hash, id, atMs: acceptedAtMs })
    return true
  }

  /** New events of every app, each against the model. @returns what they say has ended. */
  async read(): Promise<readonly Command[]> {
    const ended: Command[] = []
    for (const app of this.#story.apps.values()) {
      for (;;) {
        const { log } = app
        const page = await this.#story.system.life.engine.events.read(app.name, {
          limit: 500,
          ...(log.cursor !== undefined && { after: log.cursor }),
        })
        assert.equal(page.kind, 'page', `${app.name}: the log before ${log.cursor} is gone`)
        if (page.kind !== 'page') break
        for (const kept of page.items) {
          const event = JSON.parse(eventJson(kept))
          assert.ok(!log.told.some(({ id }) => id === event.id), `event ${event.id} was told twice`)
          log.told.push(event)
          this.#story.figures.event(event.type)
          const command = this.#judge(app, event)
          if (command !== undefined) ended.push(command)
        }
        log.cursor = page.next
        if (page.caughtUp) break
      }
    }
    return ended
  }

  // biome-ignore lint/suspicious/noExplicitAny: events are looked into field by field
  #judge(app: App, event: any): Command | undefined {
    const atMs = Date.parse(event.at)
    const { type, device } = event
    assert.equal(event.app, app.name)
    assert.ok(atMs <= this.#story.nowMs, `${event.id} is of the future`)
    if (type === 'event') {
      const uplink = this.uplinks.get(event.name)
      assert.ok(
        uplink?.device === `${app.name}/${device}`,
        `${event.id}: nobody reported ${event.name}`,
      )
      uplink.told++
      return undefined
    }
    if (type === 'presence') {
      const key = `${app.name}/${device}`
      const before = this.#presence.get(key) ?? { state: 'offline', atMs: 0 }
      // It is of a process; and of a store that was away nobody told who came or went.
      const isOfOne = !this.#story.losses.some((at) => before.atMs <= at && at <= atMs)
      if (isOfOne) assert.notEqual(before.state, event.state, `${key} is ${event.state} twice`)
      this.#presence.set(key, { state: event.state, atMs })
      return undefined
    }
    if (type === 'session.conflict' || type === 'position.unknown') {
      const known = this.curious.findIndex(
        (one) => one.kind === type && one.device === `${app.name}/${device}` && one.atMs === atMs,
      )
      assert.notEqual(known, -1, `${event.id}: ${type} came without its cause`)
      this.curious.splice(known, 1)
      return undefined
    }
    const command = app.commands.get(event.command)
    assert.ok(command, `${event.id}: ${type} of ${event.command}, which nobody asked for`)
    assert.equal(device, command.device)
    assert.equal(event.channel, command.spec.channel)
    if (type === 'reply') {
      assert.ok(!this.#replied.has(`${app.name}/${command.id}`), `${command.id} was answered twice`)
      this.#replied.add(`${app.name}/${command.id}`)
      assert.equal(command.end, undefined, `${command.id} was answered after its end`)
      const known = command.replies.some(
        ({ status, reason, atMs: then }) =>
          status === event.status && reason === event.reason && then === atMs,
      )
      assert.ok(known, `${command.id}: its device did not answer ${event.status} then`)
      return undefined
    }
    if (type === 'command.late') {
      assert.ok(command.end, `${command.id}: late proof of what has not ended`)
      const due = command.lateDue.some((one) => one.atMs === atMs && one.proof === event.proof)
      assert.ok(due, `${command.id}: its device gave no such proof (${event.proof})`)
      command.lateTold++
      return undefined
    }
    assert.equal(type, 'command.ended')
    assert.equal(
      command.end,
      undefined,
      `${command.id} ended twice: ${command.end?.status}, ${event.status}`,
    )
    this.#ended(command, event, atMs)
    const ended = app.ended.get(command.end!.status) ?? 0
    app.ended.set(command.end!.status, ended + 1)
    this.#story.figures.ended(event.status, event.reason)
    return command
  }

  // biome-ignore lint/suspicious/noExplicitAny: events are looked into field by field
  #ended(command: Command, event: any, atMs: number): void {
    const { spec, askedBy, acceptedAtMs, expiresAtMs } = command
    const { status, reason, timeline } = event
    command.end = { status, reason, atMs, event: event.id }
    const said = [
      event.name,
      event.askedBy,
      event.delivery,
      event.expect,
      event.acceptedAt,
      event.expiresAt,
    ]
    const times = [acceptedAtMs, expiresAtMs].map((ms) => new Date(ms).toISOString())
    assert.deepEqual(said, [spec.name, askedBy, spec.delivery, spec.expect, ...times], command.id)
    judgeTimeline(timeline, command)
  }

  /** Everything that must have been told has been, once. */
  judgeDue(): void {
    for (const [name, { facts, told, stamped }] of this.uplinks) {
      const sure = facts.filter(({ maybe }) => maybe !== true).length
      const most = stamped ? 1 : facts.length
      const least = stamped ? Math.min(1, sure) : sure
      assert.ok(
        told >= least && told <= most,
        `${name} was kept ${told} times, not ${least} to ${most}`,
      )
    }
    for (const app of this.#story.apps.values())
      for (const { id, lateDue, lateTold } of app.commands.values()) {
        const sure = lateDue.filter(({ maybe }) => maybe !== true).length
        const fits = lateTold >= sure && lateTold <= lateDue.length
        assert.ok(
          fits,
          `${id}: ${lateTold} late proofs were told, not ${sure} to ${lateDue.length}`,
        )
      }
    const due = this.curious.filter(({ atMs }) => atMs <= this.#story.nowMs)
    assert.deepEqual(due, [], 'was not told')
  }

  /** Its report is the sum of what became of its members (rule 27). */
  judgeBroadcast(broadcast: Broadcast): void {
    const { id, members, rate, stopAfterFailures, createdAtMs, lives } = broadcast
    const app = this.#story.apps.get(broadcast.app)!
    const report = this.#story.system.life.engine.broadcasts.find(app.name, id)
    if (report === undefined) {
      const running = broadcast.state === 'running'
      assert.ok(!running && app.broadcasts.size > limits.broadcastsMaxKept, `${id} is lost`)
      app.broadcasts.delete(id)
      return
    }
    const placed = [...members.values()].filter((command) => command !== undefined)
    const waiting = members.size - placed.length
    const ended: Record<string, number> = {}
    for (const { end } of placed)
      if (end !== undefined) ended[end.status] = (ended[end.status] ?? 0) + 1
    const open = placed.filter(isOpen).length
    const said = [report.devices, report.waiting, report.open]
    assert.deepEqual(said, [members.size, waiting, open], `${id}: devices, waiting, open`)
    const known = Object.fromEntries(Object.entries(report.ended).filter(([, n]) => n !== 0))
    assert.deepEqual(known, ended, `${id}: ended`)
    const failed = placed.filter(({ end }) => end !== undefined && isFailure(end.status)).length
    const mayStop = broadcast.stopAskedAt !== undefined || (stopAfterFailures ?? 1e9) <= failed
    if (report.state === 'stopped') assert.ok(mayStop, `${id} was stopped, and nobody wanted that`)
    else assert.equal(report.state, waiting === 0 ? 'placed' : 'running', `${id}: state`)
    if (broadcast.state === 'stopped') assert.equal(report.state, 'stopped', `${id} goes on`)
    const elapsedMs = this.#story.nowMs - createdAtMs
    if (rate !== undefined)
      assert.ok(placed.length <= lives + (elapsedMs * rate) / 1_000 + 1e-6, `${id} is too quick`)
    const isLow = this.#story.spaceDoubt || this.#story.system.space?.low === true
    const held = rate !== undefined || app.quota?.commandsPerSecond !== undefined || isLow
    const quotaLately = this.#story.nowMs - app.quotaChangedAtMs < 60_000
    if (!held && !quotaLately && this.#story.losses.at(-1) !== this.#story.nowMs)
      assert.notEqual(report.state, 'running', `${id} does not go on`)
    broadcast.state = report.state
  }
}

const placeOf = ({ command }: Found) => ({ epoch: command.epoch, offset: command.offset })

function sameCommand(
  command: { name: string; delivery: string; expect: string },
  spec: Spec,
  about: string,
): void {
  const said = [command.name, command.delivery, command.expect]
  assert.deepEqual(said, [spec.name, spec.delivery, spec.expect], about)
}

/** From `queued` to the end, in order of time; what follows is late proof. */
export function judgeTimeline(
  timeline: readonly { status: string; at: string; reason?: string; late?: true }[],
  { id, acceptedAtMs, end, lateDue }: Command,
): void {
  const life = timeline.filter(({ late }) => late !== true)
  const [first] = life
  assert.equal(first?.status, 'queued', `${id}: begins queued`)
  assert.equal(Date.parse(first!.at), acceptedAtMs, `${id}: queued when it was accepted`)
  const times = timeline.map(({ at }) => Date.parse(at))
  const sorted = [...times].sort((a, b) => a - b)
  assert.deepEqual(times, sorted, `${id}: in order of time`)
  if (end === undefined) return
  const last = life.at(-1)!
  assert.deepEqual(
    [last.status, last.reason, Date.parse(last.at)],
    [end.status, end.reason, end.atMs],
    `${id}: its last step is its end`,
  )
  const late = timeline.length - life.length
  assert.ok(late <= Math.min(limits.lateStepsMax, lateDue.length), `${id}: ${late} late steps`)
}
