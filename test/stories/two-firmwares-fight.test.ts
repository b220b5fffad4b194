import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '../../src/contract/index.ts'
import { namesOf, type Protocol, Street } from './street.ts'

const pairs: readonly (readonly [Protocol, Protocol])[] = [
  ['mqtt', 'mqtt'],
  ['mqtt5', 'pike'],
  ['coap', 'http'],
  ['http', 'mqtt'],
]

for (const [one, other] of pairs) {
  test(`two firmwares with one id that fight, ${one} and ${other}: both are held off, and no command is lost`, async (t) => {
    const street = await Street.make(t)
    const { rig } = street
    const fighters = [street.locker(one), street.locker(other)]
    const outcomes: string[] = []
    for (let i = 0; i <= limits.takeoversMax; i++) {
      outcomes.push(await street.answer(fighters[i % 2]!.connect()))
    }
    assert.deepEqual(outcomes, ['attached', 'attached', 'attached', 'refused'])
    await rig.until("the channel is nobody's", () => fighters.every(({ attached }) => !attached))
    const conflicts = (await rig.events('session.conflict')).map((event) =>
      event.kind === 'session.conflict' ? `${event.device}/${event.channel}` : '',
    )
    assert.ok(conflicts.includes('locker/main'), String(conflicts))
    const id = await rig.submit({ name: 'meanwhile' })
    for (const each of fighters) assert.equal(await street.answer(each.connect()), 'refused')
    for (const each of fighters) await each.drop()
    await rig.pass(limits.conflictHoldMs + 1_000)
    const winner = fighters[1]!
    assert.equal(await street.answer(winner.connect()), 'attached')
    assert.equal((await rig.ended(id)).status, 'delivered')
    assert.deepEqual(fighters.flatMap(namesOf), ['meanwhile'])
  })
}
