import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PikeClient } from '../../devices/client.ts'
import type { ClientSession, SessionEvents, SessionParts } from '../../devices/session.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turns } from '../support/turns.ts'

/** A connection that may die without telling anybody. */
class Fragile implements ClientSession {
  usable = true
  ended: boolean | undefined
  readonly closed = Promise.resolve()
  readonly dueMs = Number.POSITIVE_INFINITY

  constructor({ heartbeat, nowMs }: SessionParts, events: SessionEvents) {
    setImmediate(() => {
      heartbeat.begin(60_000, nowMs())
      events.ready({ baseMs: 500, maxMs: 60_000 })
    })
  }

  tick(): void {}
  checkLife(): void {}
  writeUnreliable(): 'written' {
    return 'written'
  }
  scheduleFlush(): void {}
  end(politely: boolean): void {
    this.ended = politely
  }
}

test('a connection that is gone without a word is found by the patrol within a heartbeat, and made anew', async () => {
  const clock = new ManualClock()
  const sessions: Fragile[] = []
  const client = new PikeClient({
    host: '127.0.0.1',
    port: 1,
    device: 'locker',
    secret: 'correct horse',
    clock,
    random: () => 0.5,
    session: (parts, events) => {
      const session = new Fragile(parts, events)
      sessions.push(session)
      return session
    },
  })
  client.start()
  await turns(5)
  assert.equal(client.state.kind, 'running')
  clock.advance(150_000)
  assert.equal(client.state.kind, 'running', 'it works, and is left alone')
  sessions[0]!.usable = false
  clock.advance(30_000)
  assert.equal(sessions[0]!.ended, false, 'what may lie in its buffers must not arrive later')
  await turns(5)
  clock.advance(1_000)
  await turns(5)
  assert.equal(sessions.length, 2)
  assert.equal(client.state.kind, 'running')
  await client.stop()
  sessions[1]!.usable = false
  clock.advance(600_000)
  assert.equal(client.state.kind, 'stopped', 'what was stopped on purpose stays so')
  assert.equal(sessions.length, 2)
})
