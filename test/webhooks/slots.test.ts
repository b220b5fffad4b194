import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type SlotOwner, Slots } from '../../src/webhooks/slots.ts'

/** One that wants so many, and takes what it gets. */
class Owner implements SlotOwner {
  slots = 0
  wants: number
  readonly #all: Slots

  constructor(all: Slots, wants: number) {
    this.#all = all
    this.wants = wants
  }

  slotFree(): void {
    while (this.wants > 0 && this.#all.take(this)) this.wants--
  }

  done(): void {
    this.#all.give(this)
  }
}

test('one that takes all there is leaves each other a few, and the rest in turn', () => {
  const slots = new Slots(20)
  const [greedy, modest, late] = [40, 8, 2].map((wants) => new Owner(slots, wants))
  for (const owner of [greedy!, modest!, late!]) owner.slotFree()
  assert.deepEqual([greedy!.slots, modest!.slots, late!.slots], [20, 4, 2])
  for (let i = 0; i < 4; i++) modest!.done()
  assert.equal(modest!.wants, 0, 'its own turn comes first while it has few')
  for (let i = 0; i < 20; i++) greedy!.done()
  assert.ok(greedy!.wants < 20)
  assert.ok(slots.taken <= 26)
})

test('whoever has nothing to send any more passes its turn on', () => {
  const slots = new Slots(6)
  const [holder, gone, waits] = [6, 5, 5].map((wants) => new Owner(slots, wants))
  for (const owner of [holder!, gone!, waits!]) owner.slotFree()
  assert.deepEqual([gone!.slots, waits!.slots], [4, 4])
  gone!.wants = 0
  for (let i = 0; i < 6; i++) holder!.done()
  for (let i = 0; i < 4; i++) gone!.done()
  assert.equal(waits!.wants, 0)
  for (let i = 0; i < 5; i++) waits!.done()
  assert.equal(slots.taken, 0)
})
