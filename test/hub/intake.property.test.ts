import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Intake, Session, Uplink } from '../../src/contract/index.ts'
import { turn } from '../support/turns.ts'
import { type MemoryLink, uplink, World } from '../support/world.ts'

const pikeEpoch = 7
const postEpoch = 9

/**
 * One device that brings uplinks of one channel by a session and by two sources at once, the same
 * ones again and out of order, through crashes and a failing store; it sends what it is not told.
 */
class Run {
  world!: World
  session: Session | undefined
  link: MemoryLink | undefined
  readonly intakes: (Intake | undefined)[] = [undefined, undefined]
  /** What the device was told is kept, by name. */
  readonly told = new Set<string>()
  /** Highest number it has given out by each way. */
  pikeNext = 1
  postHigh = 0

  static async begin(): Promise<Run> {
    const run = new Run()
    run.world = await World.open()
    await run.world.register()
    return run
  }

  async attach(): Promise<void> {
    const { link, attached } = await this.world.tryAttach({ uplinkEpoch: pikeEpoch })
    this.link = link
    this.session = attached.kind === 'session' ? attached.session : undefined
    if (this.session === undefined) return
    // What it is told is kept it never sends again; the rest it sends in order.
    for (let sequence = 1; sequence <= this.session.uplinkKept; sequence++) {
      this.told.add(`${pikeEpoch}.${sequence}`)
    }
    this.pikeNext = this.session.uplinkKept + 1
  }

  get isLive(): boolean {
    return this.session !== undefined && this.link?.isClosed === false
  }

  async admit(which: number): Promise<void> {
    const { admitted } = await this.world.tryAdmit({ stays: which === 1 })
    this.intakes[which] = admitted.kind === 'intake' ? admitted.intake : undefined
  }

  pike(count: number): void {
    const uplinks = Array.from({ length: count }, () => stamped(pikeEpoch, this.pikeNext++))
    this.session?.receive(uplinks, (outcome) => this.heard(uplinks, outcome))
  }

  post(which: number, sequences: readonly number[], epoch = postEpoch): void {
    const uplinks = sequences.map((sequence) => stamped(epoch, sequence))
    this.intakes[which]?.receive('main', uplinks, (outcome) => this.heard(uplinks, outcome))
  }

  named(which: number, name: string): void {
    const uplinks = [{ ...uplink(`once.${name}`), once: name }]
    this.intakes[which]?.receive('main', uplinks, (outcome) => this.heard(uplinks, outcome))
  }

  heard(uplinks: readonly Uplink[], outcome: string): void {
    if (outcome === 'kept') for (const { name } of uplinks) this.told.add(name)
  }

  async crash(): Promise<void> {
    this.world = await this.world.crash()
    this.session = undefined
    this.intakes.fill(undefined)
  }

  async check(): Promise<void> {
    const kept = new Map<string, number>()
    for (const event of await this.world.events('event')) {
      if (event.kind === 'event') kept.set(event.name, (kept.get(event.name) ?? 0) + 1)
    }
    for (const [name, count] of kept) assert.equal(count, 1, `${name} is kept ${count} times`)
    for (const name of this.told) assert.ok(kept.has(name), `${name} was acknowledged, and is lost`)
  }

  /** Whatever happened: what it goes on sending is kept. */
  async finish(): Promise<void> {
    this.world.engine.recover()
    await this.world.pass(120_000)
    await this.attach()
    await this.admit(0)
    assert.ok(this.session !== undefined, 'no session')
    this.pike(3)
    this.post(0, [this.postHigh + 1, this.postHigh + 3, this.postHigh + 2])
    for (let n = 0; n < 4; n++) this.named(0, `n${n}`)
    await this.world.quiet()
    await this.check()
    for (let sequence = 1; sequence < this.pikeNext; sequence++) {
      assert.ok(this.told.has(`${pikeEpoch}.${sequence}`), `pike ${sequence} was never kept`)
    }
    for (let n = 1; n <= 3; n++) {
      assert.ok(this.told.has(`${postEpoch}.${this.postHigh + n}`), `post ${n} was never kept`)
    }
    for (let n = 0; n < 4; n++) assert.ok(this.told.has(`once.n${n}`), `once ${n} was never kept`)
  }
}

const stamped = (epoch: number, sequence: number): Uplink =>
  uplink(`${epoch}.${sequence}`, epoch, sequence)

type Step =
  | { do: 'pike'; count: number }
  | { do: 'post'; which: number; ahead: number[] }
  | { do: 'pike-again'; which: number; back: number }
  | { do: 'named'; which: number; name: number }
  | { do: 'attach' | 'detach' | 'turn' | 'quiet' | 'crash' | 'fail' | 'recover' }
  | { do: 'admit' | 'leave'; which: number }

const which = fc.nat(1)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pike' as const),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('post' as const),
      which,
      ahead: fc.array(fc.integer({ min: -6, max: 4 }), { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('pike-again' as const), which, back: fc.nat(3) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('named' as const), which, name: fc.nat(3) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'turn' as const,
        'turn' as const,
        'quiet' as const,
        'attach' as const,
        'detach' as const,
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('admit' as const, 'admit' as const, 'leave' as const),
      which,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('crash' as const, 'crash' as const, 'fail' as const, 'recover' as const),
    }),
  },
)

async function take(run: Run, one: Step): Promise<void> {
  switch (one.do) {
    case 'pike':
      run.pike(one.count)
      break
    case 'post': {
      const sequences = one.ahead.map((ahead) => Math.max(1, run.postHigh + ahead))
      run.postHigh = Math.max(run.postHigh, ...sequences)
      run.post(one.which, sequences)
      break
    }
    case 'pike-again': {
      // The same uplinks by another way: only what the session has brought already.
      const sequence = run.pikeNext - 1 - one.back
      if (run.isLive && sequence >= 1) run.post(one.which, [sequence], pikeEpoch)
      break
    }
    case 'named':
      run.named(one.which, `n${one.name}`)
      break
    case 'attach':
      await run.attach()
      break
    case 'detach':
      run.session?.detach(false)
      run.session = undefined
      break
    case 'turn':
      await turn()
      break
    case 'quiet':
      await run.world.quiet()
      break
    case 'crash':
      await run.crash()
      break
    case 'fail':
      if (run.world.engine.state === 'ready') run.world.engine.fail('down')
      break
    case 'recover':
      if (run.world.engine.state !== 'ready') run.world.engine.recover()
      break
    case 'admit':
      await run.admit(one.which)
      break
    case 'leave':
      run.intakes[one.which]?.leave(false)
      break
  }
}

test('rule 17: stamped uplinks from two sources and a session, crashes among them, are kept exactly once', async () => {
  const begin: Step[] = [{ do: 'attach' }, { do: 'admit', which: 0 }, { do: 'admit', which: 1 }]
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50, size: 'max' }), async (steps) => {
      const run = await Run.begin()
      for (const one of [...begin, ...steps]) await take(run, one)
      await run.finish()
      await run.world.hub.stop()
    }),
    { numRuns: Number(process.env.PIKE_RUNS ?? 150) },
  )
})
