import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HeldBytes } from '../../src/webhooks/held-bytes.ts'
import type { Held, Lane, LanePolicy } from '../../src/webhooks/lane.ts'
import { laneOf } from '../../src/webhooks/match.ts'
import { type Place, placeOf } from '../../src/webhooks/place.ts'
import { decodeKept, encodeKept, startingAt } from '../../src/webhooks/progress.ts'
import { type Offered, Spread } from '../../src/webhooks/spread.ts'

const laneCount = 8
const policy: LanePolicy = {
  batchMaxEvents: 3,
  batchMaxBytes: 100,
  heldMaxBytes: 60,
  lingerMs: 50,
  retryMinMs: 1_000,
  retryMaxMs: 60_000,
  deadAfterMs: 3_600_000,
}

interface Event {
  readonly sequence: number
  readonly device: string
  readonly atMs: number
  readonly bytes: number
}

/**
 * A log, lanes, and a receiver that fails as it likes: any order of keeping, reading, sending,
 * answering, crashing and waiting. What is true at the end of each such story:
 * nothing is lost, order per device holds, each event is taken or set aside, one batch is under way
 * in a lane, and no lane holds more than its share.
 */
class Story {
  nowMs = 1_000_000
  readonly log: Event[] = []
  /** What a crash leaves. */
  kept: string
  spread: Spread
  held = new HeldBytes(300)
  flying = new Map<Lane, readonly Held[]>()
  /** Asked for, not yet answered. */
  reading: { from: Place; events: readonly Event[]; next: Place } | undefined
  readonly delivered: number[] = []
  readonly dead = new Set<number>()
  crashes = 0
  /** Devices whose events are never taken. */
  readonly stuck = new Set<string>()

  constructor() {
    const at = this.place(0)
    this.spread = this.make(startingAt(at, laneCount))
    this.kept = this.encoded()
  }

  place(sequence: number): Place {
    return placeOf(`e-${sequence.toString(36).padStart(10, '0')}`)
  }

  make(progress: Parameters<typeof encodeKept>[0]['progress']): Spread {
    const live = this.place(this.log.length)
    return new Spread(progress, live, laneCount, policy, this.nowMs, this.held)
  }

  encoded(): string {
    const progress = this.spread.progress(this.nowMs)
    return encodeKept({ progress, createdAtMs: 0, delivered: 0, failedAttempts: 0 })
  }

  offer({ sequence, device, atMs, bytes }: Event): Offered {
    const place = this.place(sequence)
    const { id } = place
    return {
      place,
      lane: laneOf(device, laneCount),
      held: () => ({ id, place, device, kind: 'event', atMs, json: '', bytes }),
    }
  }

  keep(device: string, bytes: number): void {
    const event = { sequence: this.log.length + 1, device, atMs: this.nowMs, bytes }
    this.log.push(event)
    this.spread.heard(this.offer(event), this.nowMs)
  }

  askPage(): void {
    const from = this.spread.wanted()
    if (this.reading !== undefined || from === undefined) return
    const events = this.log.slice(from.sequence, from.sequence + 5)
    this.reading = { from, events, next: this.place(from.sequence + events.length) }
  }

  getPage(): void {
    if (this.reading === undefined) return
    const { from, events, next } = this.reading
    this.reading = undefined
    this.spread.page(
      from,
      events.map((event) => this.offer(event)),
      next,
      this.nowMs,
    )
  }

  send(index: number): void {
    const lane = this.spread.lanes[index]!
    const batch = lane.start(this.nowMs)
    if (batch === undefined) return
    assert.ok(!this.flying.has(lane), 'two requests under way in a lane')
    this.flying.set(lane, batch)
  }

  answer(index: number, takes: boolean): void {
    const lane = this.spread.lanes[index]!
    const batch = this.flying.get(lane)
    if (batch === undefined) return
    this.flying.delete(lane)
    const refused = batch.some(({ device }) => this.stuck.has(device))
    if (takes && !refused) {
      for (const { place } of batch) this.delivered.push(place.sequence)
      lane.taken()
    } else for (const { place } of lane.failed(this.nowMs, 1)) this.dead.add(place.sequence)
  }

  save(): void {
    this.kept = this.encoded()
  }

  crash(): void {
    this.crashes++
    this.spread.close()
    assert.equal(this.held.bytes, 0)
    this.flying.clear()
    this.reading = undefined
    this.spread = this.make(decodeKept(this.kept)!.progress)
  }

  check(): void {
    const share = policy.heldMaxBytes + 40
    let sum = 0
    for (const lane of this.spread.lanes) {
      assert.ok(lane.heldBytes <= share, `a lane holds ${lane.heldBytes}`)
      sum += lane.heldBytes
    }
    assert.equal(this.held.bytes, sum)
  }

  /** Everything works from now on. */
  finish(): void {
    for (let round = 0; ; round++) {
      assert.ok(round < 20_000, 'it never ends')
      this.askPage()
      this.getPage()
      for (let lane = 0; lane < laneCount; lane++) {
        this.send(lane)
        this.answer(lane, true)
      }
      this.check()
      this.nowMs += this.stuck.size > 0 ? 60_000 : 1_000
      const { live, lanes } = this.spread
      if (lanes.every((lane) => lane.cursor(live).sequence === this.log.length)) return
    }
  }
}

const device = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')
const lane = fc.nat(laneCount - 1)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(device, fc.integer({ min: 1, max: 40 })).map(
      ([name, bytes]) =>
        (story: Story) =>
          story.keep(name, bytes),
    ),
  },
  { weight: 2, arbitrary: fc.constant((story: Story) => story.askPage()) },
  { weight: 2, arbitrary: fc.constant((story: Story) => story.getPage()) },
  { weight: 5, arbitrary: lane.map((index) => (story: Story) => story.send(index)) },
  {
    weight: 5,
    arbitrary: fc.tuple(lane, fc.boolean()).map(
      ([index, takes]) =>
        (story: Story) =>
          story.answer(index, takes),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(10, 50, 1_000, 600_000).map((ms) => (story: Story) => {
      story.nowMs += ms
    }),
  },
  { weight: 1, arbitrary: fc.constant((story: Story) => story.save()) },
  { weight: 1, arbitrary: fc.constant((story: Story) => story.spread.forget()) },
)
const crash = fc.constant((story: Story) => story.crash())
const stepOrCrash = fc.oneof({ weight: 25, arbitrary: step }, { weight: 1, arbitrary: crash })

function tell(steps: readonly ((story: Story) => void)[], stuck: readonly string[]): Story {
  const story = new Story()
  for (const name of stuck) story.stuck.add(name)
  for (const one of steps) {
    one(story)
    story.check()
  }
  story.finish()
  return story
}

function judge(story: Story): void {
  const done = new Set([...story.delivered, ...story.dead])
  for (const { sequence } of story.log)
    assert.ok(done.has(sequence), `event ${sequence} of ${story.log.length} is lost`)
  if (story.crashes === 0) {
    assert.equal(
      new Set(story.delivered).size,
      story.delivered.length,
      'sent twice without a crash',
    )
    assert.equal(done.size, story.delivered.length + story.dead.size, 'taken and set aside')
  }
  // In order per device: the first delivery of each, since a crash may repeat some.
  const last = new Map<string, number>()
  for (const sequence of new Set(story.delivered)) {
    const { device: name } = story.log[sequence - 1]!
    assert.ok(sequence > (last.get(name) ?? 0), `${name}: ${sequence} after ${last.get(name)}`)
    last.set(name, sequence)
  }
}

test('whatever happens, nothing is lost and order per device holds', () => {
  fc.assert(
    fc.property(fc.array(stepOrCrash, { maxLength: 400, size: 'max' }), (steps) =>
      judge(tell(steps, [])),
    ),
    { numRuns: 1_000 },
  )
})

test('without a crash nothing is sent twice', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
      const story = tell(steps, [])
      assert.equal(story.crashes, 0)
      judge(story)
    }),
    { numRuns: 1_000 },
  )
})

test('what is never taken is set aside, in order, and holds up only its lane', () => {
  fc.assert(
    fc.property(
      fc.array(stepOrCrash, { maxLength: 200, size: 'max' }),
      fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
      (steps, stuck) => {
        const story = tell(steps, stuck)
        judge(story)
        for (const { sequence, device: name } of story.log)
          if (stuck.includes(name)) assert.ok(story.dead.has(sequence), 'taken though refused')
      },
    ),
    { numRuns: 300 },
  )
})
