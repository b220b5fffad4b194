import assert from 'node:assert/strict'
import { isOpen } from './state.ts'
import type { Story } from './story.ts'

/**
 * After a start that followed on a crash, and after a repair of the store: what was answered is
 * there, what was refused is not, and of what nobody knows either is right. From here on it is known.
 */
export async function reconcile(story: Story): Promise<void> {
  for (const lost of story.lost.splice(0)) await story.ledger.claim(lost)
  story.absorb()
  for (const resolve of story.doubts.splice(0)) await resolve()
  for (const app of story.apps.values()) {
    for (const command of app.commands.values()) {
      if (!isOpen(command)) continue
      const found = await story.ledger.find(app, command.id)
      const about = `${command.id} (${command.spec.name}), after a crash or repair,`
      assert.ok(found, `${about} is lost`)
      if (found.kind === 'ended') continue // its event tells, and is judged
      const { epoch, offset, deliveredAtMs, maybeSent } = found.command
      if (epoch !== 0 && command.place === undefined)
        story.placed(command, { epoch, offset }, story.nowMs)
      if (deliveredAtMs === undefined) {
        const sure = command.acks.some(({ maybe }) => maybe !== true)
        assert.ok(!sure, `${about} has forgotten that its device has it`)
        command.acks = []
      } else {
        command.acks = command.acks.filter(({ atMs }) => atMs === deliveredAtMs)
        assert.ok(command.acks.length > 0, `${about} is delivered, and its device did not say so`)
      }
      command.replies = command.replies.filter(({ maybe }) => maybe !== true)
      command.cancels = command.cancels.filter(({ maybe }) => maybe !== true)
      if (maybeSent || deliveredAtMs !== undefined)
        assert.ok(command.exposed || command.writes > 0, `${about} counts as sent, never was`)
      else assert.equal(command.writes, 0, `${about} counts as never sent, and was`)
      command.doubt = false
      command.saidSent = maybeSent
      const isSpent = command.spec.delivery === 'now' && command.writes > 0
      assert.ok(!isSpent || deliveredAtMs !== undefined, `${about} is a "now" that is still open`)
    }
  }
}
