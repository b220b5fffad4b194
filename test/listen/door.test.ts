import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Door } from '../../src/listen/door.ts'

function doorAt(lateMs: number) {
  let nowMs = 0
  const clock = { nowMs: () => nowMs } as never
  const door = new Door({ clock, waitMaxMs: 10_000, lateMs: () => lateMs })
  return {
    door,
    /** So many are let in in the next second. */
    second(letIn: number): void {
      door.admits(0)
      for (let i = 0; i < letIn; i++) door.letIn()
      nowMs += 1_000
      door.admits(0)
    },
  }
}

test('while the process is on time whoever is silent shuts the door on nobody', () => {
  assert.equal(doorAt(0).door.admits(1_000_000), true)
})

test('late, as many may wait as are let in while a device waits, half of its time', () => {
  const { door, second } = doorAt(400)
  second(300)
  assert.equal(door.admits(1_499), true)
  assert.equal(door.admits(1_500), false)
})

test('some may always wait, however slow it is', () => {
  const { door, second } = doorAt(9_000)
  second(0)
  assert.equal(door.admits(499), true)
  assert.equal(door.admits(500), false)
})

test('those sent away come again at different times, and none at once', () => {
  const { door } = doorAt(400)
  const times = Array.from({ length: 100 }, () => door.comeBackMs())
  assert.ok(Math.min(...times) >= 5_000 && Math.max(...times) <= 15_000, 'within 5 to 15 s')
  assert.ok(new Set(times.map(Math.round)).size > 50, 'spread')
})
